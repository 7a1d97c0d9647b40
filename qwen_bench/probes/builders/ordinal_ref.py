"""The assistant names four like items; asked for the i-th (ordinal_ref).

One evidence turn holds all four, or four turns with one and the same request hold one each, so no
lexical cue tells them apart (MRCR). Nothing is numbered. Twin: the list rotates by one place.
"""

from __future__ import annotations

from qwen_bench.probes.instance import Brief, Builder, Instance, Question, Templates, Valued, Words
from qwen_bench.probes.seeded_draws import rotated

ITEMS = 4
THIRD = 2


class ListingTurns(Words):
    """Templates of the one turn with all items and of the repeated turn with one item."""

    packed: Templates
    spread: Templates


class RankQuestions(Words):
    """Question templates by wording: the rank from the start, or the one before the last."""

    nth: list[str]
    before_last: list[str]


class OrdinalWords(Valued):
    """Words of one split. `ranks` are the four noun phrases from the first item to the fourth."""

    games: list[str]
    ranks: list[str]
    evidence: list[ListingTurns]
    questions: RankQuestions
    only: str

    @property
    def keys(self) -> list[str]:
        """The occasions items are named for."""
        return self.games


def build(brief: Brief, words: OrdinalWords) -> Instance:
    """Four items in one turn or in four, and one question."""
    draw = brief.draw
    game = draw.one("game", words.games)
    listed_in_a = draw.some("values", words.values, ITEMS)
    listed = listed_in_a if brief.variant == "A" else rotated(listed_in_a, 1)
    rank = draw.counted("rank", ITEMS)
    # Every block of four rotations asks for the third item once, so its wording changes by block.
    from_the_end = rank == THIRD and draw.counted("before the last", 2, every=ITEMS) == 1
    turns = draw.balanced("evidence template", words.evidence)
    packed = brief.stages == 1
    templates = turns.packed if packed else turns.spread
    # All requests get one and the same reply.
    reply = draw.counted("reply to request", len(templates.assistant))
    question = Question(
        family=brief.family,
        name="rank",
        context={"game": game, "rank": words.ranks[rank]},
        gold=listed[rank],
        candidates=draw.listed(rotated(listed_in_a, rank)),
        needs=(0,) if packed else _needed(rank, from_the_end=from_the_end),
        wording="before_last" if from_the_end else "nth",
        key_words=(game,),
    )
    return Instance(
        evidence=tuple(
            templates.replied(reply, {"game": game, "listed": part})
            for part in ([listed] if packed else [[item] for item in listed])
        ),
        questions=(question,),
    )


def _needed(rank: int, *, from_the_end: bool) -> tuple[int, ...]:
    """Turns that settle a rank: all up to it, or from it to the last when counted from the end."""
    return tuple(range(rank, ITEMS) if from_the_end else range(rank + 1))


BUILDER = Builder(OrdinalWords, build)
