"""The assistant lists like items on request; asked for the i-th of them (ordinal_ref).

The level is the length of the list. Nothing in it is numbered, and every rank is asked equally
often: those of the first half by counting from the start, those of the second half from the end,
as a person would. Twin: the list rotates by one place, so the same rank names the next item.
"""

from __future__ import annotations

from pydantic import Field

from qwen_bench.probes.instance import (
    Brief,
    Builder,
    Instance,
    Question,
    Templates,
    Valued,
    Wordings,
    Words,
    four_to_rank,
)
from qwen_bench.probes.seeded_draws import rotated


class Occasion(Words):
    """What items are wanted for: as the request says it, and as a paraphrase asks for it."""

    say: str
    ask: str = ""


class OrdinalWords(Valued):
    """Words of one split.

    Attributes:
        counts: how many items are wanted, by level, as the request says it.
        from_start: noun phrases from the first item on.
        from_end: noun phrases from the last item back.
        pasted: the forms of the two highest levels, in which the reply is a list of lines.
    """

    games: list[Occasion]
    counts: list[str]
    from_start: list[str]
    from_end: list[str]
    evidence: list[Templates]
    pasted: list[Templates] = Field(default=[])
    questions: Wordings
    only: str

    @property
    def keys(self) -> list[str]:
        """The occasions items are named for."""
        return [game.say for game in self.games]


def build(brief: Brief, words: OrdinalWords) -> Instance:
    """One request with the list as its reply, and one question."""
    draw, length = brief.draw, brief.load
    game = draw.one("game", words.games)
    in_a = draw.some("values", words.values, length)
    in_b = rotated(in_a, 1)
    listed = in_a if brief.variant == "A" else in_b
    place = draw.counted("rank", length)
    behind = length - 1 - place
    rank = words.from_start[place] if place <= behind else words.from_end[behind]
    templates = draw.balanced("evidence template", brief.forms(words))
    told = {"game": game.say, "count": words.counts[brief.level - 1], "listed": listed}
    ranked = four_to_rank(draw, (in_a[place], in_b[place]), in_a, words.values)
    question = Question(
        family=brief.family,
        name="rank",
        context={"game": game.model_dump(), "rank": rank},
        gold=listed[place],
        candidates=tuple(dict.fromkeys((*in_a, *ranked))),
        needs=(0,),
        templates=brief.wording,
        rank_candidates=ranked,
        key_words=(game.say,),
    )
    return Instance((templates.turn(draw, "request", told),), (question,))


BUILDER = Builder(OrdinalWords, build)
