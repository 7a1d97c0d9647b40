"""The assistant names four like items; asked for the i-th (ordinal_ref).

One evidence turn holds all four, or four turns with one and the same request hold one each, so no
lexical cue tells them apart (MRCR). Nothing is numbered. Twin: the list rotates by one place.
"""

from __future__ import annotations

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
from qwen_bench.probes.seeded_draws import rotated, with_first_at

ITEMS = 4
THIRD = 2


class Stages(Words):
    """Templates of the one turn with all items and of the repeated turn with one item."""

    packed: Templates
    spread: Templates


class Questions(Words):
    """Question templates by wording: the rank from the start, or the one before the last."""

    nth: list[str]
    before_last: list[str]


class OrdinalWords(Words):
    """Words of one split. `ranks` are the four noun phrases from the first item to the fourth."""

    games: list[str]
    values: list[str]
    ranks: list[str]
    evidence: list[Stages]
    questions: Questions
    only: str

    @property
    def answers(self) -> list[str]:
        """What the assistant names."""
        return self.values

    @property
    def keys(self) -> list[str]:
        """The occasions items are named for."""
        return self.games


def build(brief: Brief, words: OrdinalWords) -> Instance:
    """Four items in one turn or in four, and one question."""
    draw = brief.draw
    game = words.games[draw.stream("game").index(len(words.games))]
    listed_in_a = pick(words.values, draw.stream("values").sample(len(words.values), ITEMS))
    listed = listed_in_a if brief.variant == "A" else rotated(listed_in_a, 1)
    rank = draw.level("rank", ITEMS)
    # Every block of four rotations asks for the third item once, so its wording changes by block.
    from_the_end = rank == THIRD and draw.level("before the last", 2, every=ITEMS) == 1
    stages = words.evidence[draw.level("evidence template", len(words.evidence))]
    packed = brief.stages == 1
    templates = stages.packed if packed else stages.spread
    reply = acknowledgement(draw, templates, "request")
    return Instance(
        evidence=tuple(
            Evidence(templates.user, reply, {"game": game, "listed": part})
            for part in ([listed] if packed else [[item] for item in listed])
        ),
        questions=(
            Question(
                family=brief.families[0],
                name="rank",
                context={"game": game, "rank": words.ranks[rank]},
                gold=listed[rank],
                candidates=tuple(
                    with_first_at(rotated(listed_in_a, rank), draw.level("gold place", ITEMS))
                ),
                needs=(0,) if packed else _needed(rank, from_the_end=from_the_end),
                wording="before_last" if from_the_end else "nth",
                key_words=(game,),
            ),
        ),
    )


def _needed(rank: int, *, from_the_end: bool) -> tuple[int, ...]:
    """Turns that settle a rank: all up to it, or from it to the last when counted from the end."""
    return tuple(range(rank, ITEMS) if from_the_end else range(rank + 1))


BUILDER = Builder(OrdinalWords, build)
