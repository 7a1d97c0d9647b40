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
    Evidence,
    Instance,
    Question,
    Templates,
    Words,
    acknowledgement,
    pick,
)
from qwen_bench.probes.seeded_draws import Draw, rotated, with_first_at

ENTITIES = 3


class Entity(Words):
    """A thing that has one value at a time; `own` is its possessive."""

    say: str
    own: str


class Stages(Words):
    """Templates of the three kinds of evidence turn."""

    set: Templates
    single: Templates
    change: Templates


class UpdateWords(Words):
    """Words of one split. `value_suffix` may be left out by an answer (a room's 厅)."""

    entities: list[Entity]
    values: list[str]
    value_suffix: str = ""
    evidence: list[Stages]
    questions: list[str]
    only: str

    @property
    def answers(self) -> list[str]:
        """All values."""
        return self.values

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
    people = pick(words.entities, draw.stream("entities").sample(len(words.entities), ENTITIES))
    count = 2 * ENTITIES + (overwrites - 1)
    values = pick(words.values, draw.stream("values").sample(len(words.values), count))
    # The asked entity is the first; it takes `overwrites + 1` values over time, the others two.
    over_time = [values[: overwrites + 1]]
    rest = values[overwrites + 1 :]
    over_time += [rest[0:2], rest[2:4]]
    first_orders = [_order(draw, "set"), _order(draw, "change")]
    latest_a, latest_b = over_time[0][-1], rotated(over_time[0], 1)[-1]
    if brief.variant == "B":
        over_time = [rotated(taken, 1) for taken in over_time]
        first_orders = [rotated(order, 1) for order in first_orders]
    set_order, change_order = first_orders

    def item(entity: int, when: int) -> dict[str, Any]:
        return {
            "say": people[entity].say,
            "own": people[entity].own,
            "value": over_time[entity][when],
        }

    stages = words.evidence[draw.level("evidence template", len(words.evidence))]
    turns = [
        Evidence(
            stages.set.user,
            acknowledgement(draw, stages.set, "set"),
            {"bindings": [item(entity, 0) for entity in set_order]},
        )
    ]
    turns += [
        Evidence(
            stages.single.user,
            acknowledgement(draw, stages.single, "single"),
            {"item": item(0, when)},
        )
        for when in range(1, overwrites)
    ]
    turns.append(
        Evidence(
            stages.change.user,
            acknowledgement(draw, stages.change, "change"),
            {"bindings": [item(entity, -1) for entity in change_order]},
        )
    )
    others = [value for value in values if value not in (latest_a, latest_b)]
    listed = [latest_a, latest_b, *draw.stream("options").shuffled(others)]
    candidates = tuple(with_first_at(listed, draw.level("gold place", count)))
    suffix = words.value_suffix
    aliases = {
        value: (value.removesuffix(suffix),) for value in candidates if suffix and value != suffix
    }
    asked = {"say": people[0].say, "own": people[0].own}
    last = len(turns) - 1
    asks = (("latest", over_time[0][-1], (last,)), ("previous", over_time[0][-2], (last - 1, last)))
    return Instance(
        evidence=tuple(turns),
        questions=tuple(
            Question(
                family=family,
                name=name,
                context={"asked": asked},
                gold=gold,
                candidates=candidates,
                needs=needs,
                aliases=aliases,
                key_words=(people[0].say,),
            )
            for family, (name, gold, needs) in zip(brief.families, asks, strict=False)
        ),
    )


def _order(draw: Draw, stage: str) -> list[int]:
    """Order of the entities in a turn, the asked one (0) at a balanced place."""
    others = draw.stream(f"order in {stage}").shuffled([1, 2])
    return with_first_at([0, *others], draw.level(f"asked place in {stage}", ENTITIES))


BUILDER = Builder(UpdateWords, build)
QUESTIONS = Builder(QuestionWords, build)
