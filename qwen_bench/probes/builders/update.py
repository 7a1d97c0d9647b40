"""Three entities get a value each, then all are overwritten (update_latest, update_previous).

With three evidence turns the asked entity alone is overwritten once more in between, so "previous"
means the value directly before the current one. In the last turn all three change and the asked
one's place there is balanced, so the last value mentioned is right in one third only.

Twin: the values that an entity takes over time rotate, and both entity orders rotate by one.
"""

from __future__ import annotations

from typing import Any

from qwen_bench.probes.instance import (
    Brief,
    Builder,
    Instance,
    Owner,
    Question,
    Templates,
    Valued,
    Words,
)
from qwen_bench.probes.seeded_draws import Draw, rotated, with_first_at

ENTITIES = 3


class UpdateTurns(Words):
    """Templates of the three kinds of evidence turn."""

    set: Templates
    single: Templates
    change: Templates


class UpdateWords(Valued):
    """Words of one split.

    `entities` are things that have one value at a time. `value_suffix` may be left out by an answer
    (a room's 厅).
    """

    entities: list[Owner]
    value_suffix: str = ""
    evidence: list[UpdateTurns]
    questions: list[str]
    only: str

    @property
    def keys(self) -> list[str]:
        """What has a value."""
        return [entity.say for entity in self.entities]


class QuestionWords(Words):
    """Words of a family that only asks about another family's evidence."""

    questions: list[str]
    only: str


def build(brief: Brief, words: UpdateWords) -> Instance:
    """Evidence of two or three turns; the latest value and the one before it."""
    draw = brief.draw
    overwrites = brief.stages - 1
    owners = draw.some("entities", words.entities, ENTITIES)
    values = draw.some("values", words.values, 2 * ENTITIES + overwrites - 1)
    # The asked entity is the first; it takes `overwrites + 1` values over time, the others two.
    own, rest = values[: overwrites + 1], values[overwrites + 1 :]
    over_time = [own, rest[:2], rest[2:]]
    first_orders = [_order(draw, "set"), _order(draw, "change")]
    latest_a, latest_b = over_time[0][-1], rotated(over_time[0], 1)[-1]
    if brief.variant == "B":
        over_time = [rotated(taken, 1) for taken in over_time]
        first_orders = [rotated(order, 1) for order in first_orders]
    set_order, change_order = first_orders

    def item(entity: int, when: int) -> dict[str, Any]:
        return {**owners[entity].model_dump(), "value": over_time[entity][when]}

    stages = draw.balanced("evidence template", words.evidence)
    turns = [
        stages.set.turn(draw, "set", {"bindings": [item(entity, 0) for entity in set_order]}),
        *(
            stages.single.turn(draw, "single", {"item": item(0, when)})
            for when in range(1, overwrites)
        ),
        stages.change.turn(
            draw, "change", {"bindings": [item(entity, -1) for entity in change_order]}
        ),
    ]
    others = [value for value in values if value not in (latest_a, latest_b)]
    shuffled = draw.stream("options").shuffled(others)
    candidates = draw.listed([latest_a, latest_b, *shuffled])
    suffix = words.value_suffix
    aliases = {
        value: (value.removesuffix(suffix),) for value in candidates if suffix and value != suffix
    }
    last = len(turns) - 1
    asks = (("latest", over_time[0][-1], (last,)), ("previous", over_time[0][-2], (last - 1, last)))
    return Instance(
        evidence=tuple(turns),
        questions=tuple(
            Question(
                family=family,
                name=name,
                context={"asked": owners[0].model_dump()},
                gold=gold,
                candidates=candidates,
                needs=needs,
                aliases=aliases,
                key_words=(owners[0].say,),
            )
            for family, (name, gold, needs) in zip(brief.families, asks, strict=False)
        ),
    )


def _order(draw: Draw, stage: str) -> list[int]:
    """Order of the entities in a turn, the asked one (0) at a balanced place."""
    others = draw.stream(f"order in {stage}").shuffled([1, 2])
    return with_first_at([0, *others], draw.counted(f"asked place in {stage}", ENTITIES))


BUILDER = Builder(UpdateWords, build)
QUESTIONS = Builder(QuestionWords, build)
