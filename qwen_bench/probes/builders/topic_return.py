"""Two plans get a day each; asked for the day of the one opened first, and last (topic_return).

Two turns: each opens a plan and gives its day. Three turns: two open the plans, the third gives
the days in the opposite order. Both openings have the same wording, so only their order tells the
plans apart, and no question names one. Twin: the plans swap places, each with its day.
"""

from __future__ import annotations

from qwen_bench.probes.date_forms import day_forms
from qwen_bench.probes.instance import Brief, Builder, Instance, Question, Templates, Words
from qwen_bench.probes.probe import Lang
from qwen_bench.probes.seeded_draws import Draw

FIRST_DAY, LAST_DAY = 5, 28  # 1 to 4 would collide with the numbering of lists


class PlanTurns(Words):
    """Templates of a plan with its day, of a plan without one, and of both days."""

    settle: Templates
    open: Templates
    days: Templates


class PlanQuestions(Words):
    """Question templates by which of the two plans is meant."""

    first: list[str]
    last: list[str]


class ThreadWords(Words):
    """Words of one split. `chinese` writes days as 12号, not as 12th."""

    plans: list[str]
    chinese: bool
    evidence: list[PlanTurns]
    questions: PlanQuestions
    only: str

    @property
    def answers(self) -> list[str]:
        """None: days are no words of this family alone.

        The family that orders dated news states days too, though never in the same dialogue.
        """
        return []

    @property
    def keys(self) -> list[str]:
        """The plans."""
        return self.plans


def build(brief: Brief, words: ThreadWords) -> Instance:
    """Two plans with a day each, in one order or the other; both days are asked."""
    draw = brief.draw
    plans = draw.some("plans", words.plans, 2)
    lang: Lang = "zh" if words.chinese else "en"
    forms = [day_forms(day, lang) for day in _days(draw)]
    items = [{"plan": plan, "day": day[0]} for plan, day in zip(plans, forms, strict=True)]
    opened = items if brief.variant == "A" else items[::-1]
    stages = draw.balanced("evidence template", words.evidence)
    opening = stages.settle if brief.stages == 2 else stages.open
    reply = draw.counted("reply to opening", len(opening.assistant))
    turns = [
        # The second opening gets another reply, lest the assistant repeat itself.
        opening.replied(reply + i, item)
        for i, item in enumerate(opened)
    ]
    if brief.stages > 2:
        turns.append(stages.days.turn(draw, "days", {"dated": opened[::-1]}))
    candidates = draw.listed([canonical for canonical, *_ in forms])
    return Instance(
        evidence=tuple(turns),
        questions=tuple(
            Question(
                family=brief.family,
                name=name,
                context={},
                gold=item["day"],
                candidates=candidates,
                needs=tuple(range(len(turns))),
                aliases={canonical: tuple(others) for canonical, *others in forms},
                wording=name,
                key_words=tuple(plans),
            )
            for name, item in zip(("first", "last"), opened, strict=True)
        ),
    )


def _days(draw: Draw) -> tuple[int, int]:
    """Two days that end in different digits: 5, 15 and 25 hold each other in some spellings."""
    stream = draw.stream("days")
    days = range(FIRST_DAY, LAST_DAY + 1)
    one = days[stream.index(len(days))]
    others = [day for day in days if day % 10 != one % 10]
    return one, others[stream.index(len(others))]


BUILDER = Builder(ThreadWords, build)
