"""Plans get a day each over two turns; asked for the days of two of them by order (topic_return).

The level is the number of plans; the second turn opens at least as many as the first. Questions
say "the first", "the last but one", and name no plan. The two asked places lie half a list apart,
so every place is asked equally often. Twin: the plans move on by one place, each with its day.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from qwen_bench.probes.date_forms import day_forms
from qwen_bench.probes.instance import (
    TO_RANK,
    Brief,
    Builder,
    Instance,
    Question,
    Templates,
    Words,
    four_to_rank,
)
from qwen_bench.probes.probe import Lang
from qwen_bench.probes.seeded_draws import Draw, rotated

# Smaller numbers look like the numbering of a list; larger ones and 1 to 5 are left to lures.
DAYS = range(6, 29)


class PlanTurns(Words):
    """Templates of the two turns that open plans; each can stand alone."""

    first: Templates
    second: Templates


class Places(Words):
    """How a question says a place in the order, counted from either end."""

    from_first: list[str]
    from_last: list[str]


class ThreadWords(Words):
    """Words of one split; `pasted` are the forms of the two highest levels.

    `chinese` writes days as 12号, not as 12th. Lures have days of their own, so that no other turn
    names an answer.
    """

    plans: list[str]
    chinese: bool
    days: list[int] = Field(default=[*DAYS])
    evidence: list[PlanTurns]
    pasted: list[PlanTurns] = Field(default=[])
    places: Places
    questions: list[str]
    only: str

    @property
    def answers(self) -> list[str]:
        """None: days are no words of this family alone, other families tell of days too."""
        return []

    @property
    def keys(self) -> list[str]:
        """The plans."""
        return self.plans


def build(brief: Brief, words: ThreadWords) -> Instance:
    """Plans in two turns, in one order or moved on by one; two of them are asked for."""
    draw, n = brief.draw, brief.load
    plans = draw.some("plans", words.plans, n)
    lang: Lang = "zh" if words.chinese else "en"
    forms = [day_forms(day, lang) for day in _days(draw, words.days, max(n, TO_RANK))]
    days = [canonical for canonical, *_ in forms]
    in_a = [{"plan": plan, "day": day} for plan, day in zip(plans, days, strict=False)]
    in_b = rotated(in_a, 1)
    told = in_a if brief.variant == "A" else in_b
    stages = draw.balanced("evidence template", brief.forms(words))
    half = n // 2
    turns = (
        stages.first.turn(draw, "first", {"plans": told[:half]}),
        stages.second.turn(draw, "second", {"plans": told[half:]}),
    )
    asked = draw.counted("asked place", n)
    questions = []
    for name, place in zip(("earlier", "later"), sorted((asked, (asked + half) % n)), strict=True):
        golds = (in_a[place]["day"], in_b[place]["day"])
        ranked = four_to_rank(draw, golds, days[:n], days[n:])
        questions.append(
            Question(
                family=brief.family,
                name=name,
                context={"which": _said(words.places, place, n)},
                gold=told[place]["day"],
                candidates=tuple(days),
                needs=(0, 1),
                aliases={canonical: tuple(others) for canonical, *others in forms},
                rank_candidates=ranked,
                key_words=tuple(plans),
            )
        )
    return Instance(turns, tuple(questions))


def _said(places: Places, place: int, n: int) -> str:
    """A place, counted from the nearer end; the middle one from the first."""
    from_last = n - 1 - place
    return places.from_last[from_last] if from_last < place else places.from_first[place]


def _days(draw: Draw, pool: Sequence[int], count: int) -> list[int]:
    """Days that end in different digits while there are such: some spellings of 15 hold 5."""
    shuffled = draw.stream("days").shuffled(pool)
    different = {day % 10: day for day in reversed(shuffled)}
    return [*dict.fromkeys([*different.values(), *shuffled])][:count]


BUILDER = Builder(ThreadWords, build)
