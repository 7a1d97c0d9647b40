"""Two pieces of news in two turns, each with a day; asked for their order (temporal_order).

An instance asks for the order of telling or for the order of the days, once for the earlier and
once for the later, so a fixed pick gets exactly one of the two right. Twin: the news told swap
their turns, the news asked by day swap their days; either turns agreement of the two orders into
disagreement.
"""

from __future__ import annotations

from qwen_bench.probes.instance import Brief, Builder, Instance, Question, Templates, Words
from qwen_bench.probes.seeded_draws import Stream

KINDS = ("told", "happened")
FEWEST_DAYS_BETWEEN = 5
MOST_DAYS_BETWEEN = 14


class News(Words):
    """A thing and what was done to it."""

    thing: str
    event: str


class OrderQuestions(Words):
    """Question templates by order asked for, and for the earlier or the later of the two."""

    told_first: list[str]
    told_last: list[str]
    happened_first: list[str]
    happened_last: list[str]


class OrderWords(Words):
    """Words of one split. `days` are consecutive days of a month, the earliest first."""

    entities: list[News]
    days: list[str]
    evidence: list[Templates]
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


def build(brief: Brief, words: OrderWords) -> Instance:
    """Two turns of one frame; the earlier and the later of the two, by telling or by day."""
    draw = brief.draw
    kind = draw.balanced("kind", KINDS)
    told = draw.some("entities", words.entities, 2)
    days = _two_days(draw.stream("days"), len(words.days))
    if draw.counted("orders disagree", 2):
        days.reverse()
    ordered_in_a = _things(told, days, kind)
    if brief.variant == "B":
        days.reverse()
        if kind == "told":
            told.reverse()
    ordered = _things(told, days, kind)
    templates = draw.balanced("evidence template", words.evidence)
    replies = len(templates.assistant)
    first = draw.counted("reply to first", replies)
    second = first + 1 + draw.counted("reply to second", replies - 1)
    options = ordered_in_a if draw.counted("gold place", 2) == 0 else ordered_in_a[::-1]
    return Instance(
        evidence=tuple(
            templates.replied(reply, {"item": {**entity.model_dump(), "day": words.days[day]}})
            for entity, day, reply in zip(told, days, (first, second), strict=True)
        ),
        questions=tuple(
            Question(
                family=brief.family,
                name=f"{kind}_{end}",
                context={"options": options},
                gold=gold,
                candidates=options,
                needs=(0, 1),
                wording=f"{kind}_{end}",
                key_words=options,
            )
            for end, gold in zip(("first", "last"), ordered, strict=True)
        ),
    )


def _two_days(stream: Stream, count: int) -> list[int]:
    """Indices of two days that lie clearly apart, the earlier first."""
    gap = FEWEST_DAYS_BETWEEN + stream.index(MOST_DAYS_BETWEEN - FEWEST_DAYS_BETWEEN + 1)
    first = stream.index(count - gap)
    return [first, first + gap]


def _things(told: list[News], days: list[int], kind: str) -> tuple[str, ...]:
    """The two things in the order asked for."""
    things = [entity.thing for entity in told]
    if kind == "happened" and days[0] > days[1]:
        things.reverse()
    return tuple(things)


BUILDER = Builder(OrderWords, build)
