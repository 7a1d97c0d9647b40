"""Rules and abstention of every run as tables: how long a rule holds, and when a model abstains.

Also which families a model answers without the history. Computes no statistic: the figures are
those of `stats.survival` and `stats.sanity`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen_bench.report.facts import FactRow, Value
from qwen_bench.report.text import percent
from qwen_bench.stats.sanity import guessable_warnings
from qwen_bench.stats.survival import Checkpoint, abstention, instruction_survival

if TYPE_CHECKING:
    from qwen_bench.record.outcome import Outcome

RULE_FAMILIES = ("instruction_retention", "system_rule")
ABSTENTION = "abstention"


@dataclass(frozen=True, slots=True)
class Survival:
    """How long the rule of one family holds, by history length, one curve a run."""

    family: str
    lengths: tuple[int, ...]
    runs: tuple[Mapping[int, Checkpoint], ...]


def survivals(runs: Sequence[Sequence[Outcome]]) -> tuple[Survival, ...]:
    """Survival of the rules in each rule family that was asked.

    Args:
        runs: final rows of one scorer, a run each.
    """
    found = []
    for family in RULE_FAMILIES:
        curves = tuple(
            instruction_survival(row for row in rows if row.family == family) for rows in runs
        )
        lengths = sorted({length for curve in curves for length in curve})
        if lengths:
            found.append(Survival(family, tuple(lengths), curves))
    return tuple(found)


def abstention_rows(runs: Sequence[Sequence[Outcome]]) -> tuple[FactRow, ...]:
    """Balanced accuracy and both ways to be wrong; empty where the family was not asked.

    Args:
        runs: final rows of one scorer, a run each.
    """
    found = [abstention(row for row in rows if row.family == ABSTENTION) for rows in runs]
    if not any(found):
        return ()

    def row(name: str, field: str, count: str, about: str) -> FactRow:
        values = tuple(
            Value("not asked")
            if one is None
            else Value(
                percent(getattr(one, field)),
                f"n {getattr(one, count):,}" if count else "",
                getattr(one, field),
            )
            for one in found
        )
        return FactRow(name, values, about)

    return (
        row("balanced accuracy", "balanced_accuracy", "", "mean of the two kinds of question"),
        row("abstains although it was said", "false_abstain", "stated", "of the answers stated"),
        row(
            "invents an answer",
            "invented",
            "absent",
            "of the answers never stated: one value and no word of doubt",
        ),
    )


def guessable_families(
    runs: Sequence[Sequence[Outcome]], chances: Mapping[str, float]
) -> tuple[str, ...]:
    """Families that some run answers without the history far above chance.

    Args:
        runs: final rows of one scorer, a run each.
        chances: score of a uniform guess by family.
    """
    families = sorted({row.family for rows in runs for row in rows})
    return tuple(
        family
        for family in families
        if any(
            guessable_warnings("", [row for row in rows if row.family == family], chances)
            for rows in runs
        )
    )
