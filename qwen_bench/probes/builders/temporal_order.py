"""News told in two turns, each with a day; asked for the order of two of them (temporal_order).

The level is the number of pieces, half of them in each turn. An instance asks for the order of
telling or for the order of the days, once for the earlier and once for the later, so a fixed pick
gets exactly one of the two right. Of the two asked for one stands in each turn. Twin: they change
places where telling is asked for, and days where days are; either turns agreement of the two
orders into disagreement. The other pieces stay as they are.
"""

from __future__ import annotations

from typing import NamedTuple

from pydantic import Field

from qwen_bench.probes.instance import (
    Brief,
    Builder,
    Evidence,
    Instance,
    Question,
    Templates,
    Words,
)
from qwen_bench.probes.seeded_draws import Draw, rotated

KINDS = ("told", "happened")
FEWEST_DAYS_BETWEEN = 5
MOST_DAYS_BETWEEN = 14


class News(Words):
    """A thing, what was done to it, and how a paraphrase asks for the thing."""

    thing: str
    event: str
    ask: str = ""


class OrderQuestions(Words):
    """Question templates by order asked for, by the earlier or the later of two, by wording."""

    told_first_lexical: list[str]
    told_first_paraphrase: list[str]
    told_last_lexical: list[str]
    told_last_paraphrase: list[str]
    happened_first_lexical: list[str]
    happened_first_paraphrase: list[str]
    happened_last_lexical: list[str]
    happened_last_paraphrase: list[str]


class OrderWords(Words):
    """Words of one split.

    Attributes:
        days: consecutive days of a month, the earliest first.
        pasted: the forms of the two highest levels, as lists of dated lines.
    """

    entities: list[News]
    days: list[str]
    evidence: list[Templates]
    pasted: list[Templates] = Field(default=[])
    questions: OrderQuestions
    only: str

    @property
    def answers(self) -> list[str]:
        """All things."""
        return [entity.thing for entity in self.entities]

    @property
    def keys(self) -> list[str]:
        """What was done to the things."""
        return [entity.event for entity in self.entities]


class Piece(NamedTuple):
    """One piece of news and the number of its day."""

    news: News
    day: int


def build(brief: Brief, words: OrderWords) -> Instance:
    """Two turns of one frame; the earlier and the later of two pieces, by telling or by day."""
    draw = brief.draw
    kind = draw.balanced("kind", KINDS)
    asked, others = _pieces(draw, words, brief.load)
    in_a = _ordered(asked, kind)
    if brief.variant == "B":
        (one, day), (two, other) = asked
        asked = [Piece(one, other), Piece(two, day)] if kind == "happened" else asked[::-1]
    offered = in_a if draw.counted("gold place", 2) == 0 else in_a[::-1]
    options = tuple(news.thing for news in offered)
    return Instance(
        evidence=_turns(brief, words, asked, others),
        questions=tuple(
            Question(
                family=brief.family,
                name=f"{kind}_{end}",
                context={"options": [news.model_dump() for news in offered]},
                gold=gold.thing,
                candidates=options,
                needs=(0, 1),
                templates=f"{kind}_{end}_{brief.wording}",
                rank_candidates=options,
                key_words=options,
            )
            for end, gold in zip(("first", "last"), _ordered(asked, kind), strict=True)
        ),
    )


def _pieces(draw: Draw, words: OrderWords, count: int) -> tuple[list[Piece], list[Piece]]:
    """The two pieces asked for, as variant A tells them, their days clearly apart; the others."""
    first, second, *others = draw.some("entities", words.entities, count)
    stream = draw.stream("days")
    gap = FEWEST_DAYS_BETWEEN + stream.index(MOST_DAYS_BETWEEN - FEWEST_DAYS_BETWEEN + 1)
    early = stream.index(len(words.days) - gap)
    days = rotated([early, early + gap], draw.counted("orders disagree", 2))
    free = stream.shuffled([day for day in range(len(words.days)) if day not in days])
    asked = [Piece(first, days[0]), Piece(second, days[1])]
    return asked, [Piece(news, day) for news, day in zip(others, free, strict=False)]


def _turns(
    brief: Brief, words: OrderWords, asked: list[Piece], others: list[Piece]
) -> tuple[Evidence, ...]:
    """Both turns, with the piece asked for at a counterbalanced place among the others."""
    draw, half = brief.draw, len(others) // 2
    templates = draw.balanced("evidence template", brief.forms(words))
    replies = len(templates.assistant)
    reply = draw.counted("reply to first", replies)
    following = reply + 1 + draw.counted("reply to second", replies - 1)
    turns = []
    for number, (piece, said) in enumerate(zip(asked, (reply, following), strict=True)):
        told = others[number * half : (number + 1) * half]
        told.insert(draw.counted(f"place in turn {number}", half + 1), piece)
        news = [{**p.news.model_dump(), "day": words.days[p.day]} for p in told]
        turns.append(templates.replied(said, {"news": news}))
    return tuple(turns)


def _ordered(told: list[Piece], kind: str) -> list[News]:
    """The two pieces asked for, in the order asked for."""
    ordered = told if kind == "told" else sorted(told, key=lambda piece: piece.day)
    return [piece.news for piece in ordered]


BUILDER = Builder(OrderWords, build)
