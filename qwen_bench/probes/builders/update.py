"""Three groups get a value each and are overwritten again and again (update_latest, _previous).

The level is the number of overwrites, of the asked group and of both others. The first turn tells
the first half of the history, the second turn the rest, in either direction of time: in sentences
each group's values stand together, in a pasted log each round of changes. So neither the last value
told nor the first is right more often than by chance.

Twin: every value stays at its place and the groups rotate by one. So the two newest values of one
group change places with those of another, and these four are ranked.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from qwen_bench.probes.instance import (
    Brief,
    Builder,
    Evidence,
    Instance,
    Question,
    Templates,
    Valued,
    Wordings,
    Words,
    four_to_rank,
)
from qwen_bench.probes.seeded_draws import Draw, rotated, with_first_at

GROUPS = 3


class Group(Words):
    """What has one value at a time, and how a paraphrase asks for it; lures are never asked for."""

    say: str
    ask: str = ""


class UpdateTurns(Words):
    """Templates of the turn that begins the history and of the one that goes on."""

    set: Templates
    change: Templates


class UpdateWords(Valued):
    """Words of one split; `pasted` are the forms of the two highest levels, as logs.

    `value_suffix` may be left out by an answer (a room's 厅).
    """

    entities: list[Group]
    value_suffix: str = ""
    evidence: list[UpdateTurns]
    pasted: list[UpdateTurns] = Field(default=[])
    questions: Wordings
    only: str

    @property
    def keys(self) -> list[str]:
        """What has a value."""
        return [entity.say for entity in self.entities]


class QuestionWords(Words):
    """Words of a family that only asks about another family's evidence."""

    questions: Wordings
    only: str


def build(brief: Brief, words: UpdateWords) -> Instance:
    """Two turns; asked for the latest value of a group and for the one before it."""
    draw, overwrites = brief.draw, brief.load
    groups = draw.some("entities", words.entities, GROUPS)
    values = draw.some("values", words.values, GROUPS * (overwrites + 1))
    histories = [values[place::GROUPS] for place in range(GROUPS)]
    # The asked group is the first: it owns the first history in A and the last one in B.
    owners = groups if brief.variant == "A" else rotated(groups, 1)
    in_a, in_b = histories[0], histories[-1]
    asked = in_a if brief.variant == "A" else in_b
    newest_first = draw.counted("newest first", 2) == 1
    middle = overwrites // 2 + 1

    def told(templates: Templates, stage: str, first: int, end: int) -> Evidence:
        """The turn that tells what the groups had from the round `first` to the one before `end`.

        Templates write either `chains`, the values by group, or `rounds`, the changes by round.
        """
        order = _order(draw, stage)
        others = draw.stream(f"other orders in {stage}")
        orders = {
            when: order if when == end - 1 else others.shuffled(order) for when in range(first, end)
        }
        times = sorted(orders, reverse=newest_first)
        context: dict[str, Any] = {
            "newest_first": newest_first,
            "more": len(times) > 1,
            "chains": [
                {"say": owners[i].say, "held": [histories[i][when] for when in times]}
                for i in order
            ],
            "rounds": [
                [{"say": owners[i].say, "value": histories[i][when]} for i in orders[when]]
                for when in times
            ],
        }
        return templates.turn(draw, stage, context)

    forms = brief.forms(words)
    turns = draw.balanced("evidence template", forms)
    evidence = (
        told(turns.set, "set", 0, middle),
        told(turns.change, "change", middle, overwrites + 1),
    )
    ranked = four_to_rank(draw, (in_a[-1], in_b[-1]), (in_a[-2], in_b[-2]), ())
    suffix = words.value_suffix
    aliases = {value: (value.removesuffix(suffix),) for value in values if suffix}
    # The value before the latest stands in the second turn if that tells of two rounds or more.
    before = (1,) if overwrites - 1 >= middle else (0, 1)
    asks = (("latest", asked[-1], (1,)), ("previous", asked[-2], before))
    return Instance(
        evidence,
        tuple(
            Question(
                family=family,
                name=name,
                context={"asked": {"say": groups[0].say, "ask": groups[0].ask or groups[0].say}},
                gold=gold,
                candidates=tuple(values),
                needs=needs,
                aliases=aliases,
                templates=brief.wording,
                rank_candidates=ranked,
                key_words=(groups[0].say,),
            )
            for family, (name, gold, needs) in zip(brief.families, asks, strict=False)
        ),
    )


def _order(draw: Draw, stage: str) -> list[int]:
    """Order of the groups in the newest round of a turn, the asked one (0) at a balanced place."""
    others = draw.stream(f"order in {stage}").shuffled([1, 2])
    return with_first_at([0, *others], draw.counted(f"asked place in {stage}", GROUPS))


BUILDER = Builder(UpdateWords, build)
QUESTIONS = Builder(QuestionWords, build)
