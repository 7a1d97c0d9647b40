"""The pass rules of the solver table: what solvers may score, and how far from it they may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from qwen_bench.audit.findings import AuditLine, Findings, RightShare
from qwen_bench.audit.shortcuts import Due, Expected
from qwen_bench.audit.solver_scores import SolverTable

TOLERANCE = 0.05
# Fewer clusters than this and a deviation of 0.05 is chance; a level has a fifth of them.
ENOUGH_CLUSTERS = 40
ENOUGH_AT_A_LEVEL = 8


@dataclass(frozen=True, slots=True)
class JudgedCell:
    """What one solver scores in one family.

    Attributes:
        levels: accuracy at each level.
        due: what it must be there; None where it is only reported.
        groups: whole twin groups right at each level.
    """

    levels: Mapping[int, RightShare]
    due: Mapping[int, Due | None]
    groups: Mapping[int, RightShare]

    @property
    def n(self) -> int:
        """Answers."""
        return sum(share.n for share in self.levels.values())

    @property
    def mean(self) -> float:
        """Mean accuracy over the levels, each counting the same."""
        return sum(share.value for share in self.levels.values()) / len(self.levels)

    @property
    def mean_due(self) -> Due | None:
        """What the mean must be; None unless it is declared for every level."""
        known = [due for due in self.due.values() if due is not None]
        if len(known) < len(self.due):
            return None
        at_most = any(due.at_most for due in known)
        return Due(sum(due.value for due in known) / len(known), at_most=at_most)

    @property
    def whole(self) -> RightShare:
        """Whole twin groups right over all levels."""
        shares = self.groups.values()
        return RightShare(sum(s.right for s in shares), sum(s.n for s in shares))


class JudgedTable:
    """The solver table after its gates.

    Args:
        table: filled.
        expected: what families declare.
    """

    def __init__(self, table: SolverTable, expected: Expected) -> None:
        self._table = table
        self._expected = expected
        self._spread = table.spread()
        groups = table.groups()
        self.cells: dict[tuple[str, str], JudgedCell] = {}
        self.failed: set[tuple[str, str]] = set()
        self._scores, self._wholes = Findings(), Findings()
        for (solver, family), levels in table.by_level().items():
            kind = table.kinds[family]
            cell = JudgedCell(
                levels,
                {level: expected.due(solver, family, kind, level) for level in levels},
                {level: groups.get((solver, family, level), RightShare(0, 0)) for level in levels},
            )
            self.cells[solver, family] = cell
            self._judge(solver, family, cell)

    def lines(self) -> list[AuditLine]:
        """One line for accuracies and one for twin groups."""
        few = [f for f, n in self._table.clusters.items() if n < ENOUGH_CLUSTERS]
        scope = "exact gates" if few else f"exact gates, and means within {TOLERANCE}"
        if few and len(few) < len(self._table.families):
            scope += f" (with tolerance only where there are {ENOUGH_CLUSTERS} skeletons)"
        gated = sum(cell.mean_due is not None for cell in self.cells.values())
        return [
            self._scores.line(
                "solver table",
                f"{len(self.cells)} cells, {gated} of them declared, by level; {scope}",
            ),
            self._wholes.line("twin groups", "0 for every shortcut, 1 for the oracle"),
        ]

    def _judge(self, solver: str, family: str, cell: JudgedCell) -> None:
        for level, share in cell.levels.items():
            due = cell.due[level]
            error, clusters = self._spread[solver, family, level]
            if due is not None:
                error = max(error, _error_by_construction(due, clusters))
            allowed = None if clusters < ENOUGH_AT_A_LEVEL else TOLERANCE + 2 * error
            if due is not None and _is_off(share.value, due, allowed):
                where = f"{share.value:.3f} ({share.right} of {share.n}) at level {level}"
                self._fail(self._scores, solver, family, f"{solver} scores {where}, {_said(due)}")
            self._group(solver, family, level, cell.groups[level])
        due, enough = cell.mean_due, self._table.clusters[family] >= ENOUGH_CLUSTERS
        if due is not None and enough and _is_off(cell.mean, due, TOLERANCE):
            where = f"{cell.mean:.3f} over {len(cell.levels)} levels"
            self._fail(self._scores, solver, family, f"{solver} scores {where}, {_said(due)}")

    def _group(self, solver: str, family: str, level: int, share: RightShare) -> None:
        if solver == "oracle":
            wrong = share.right != share.n
        else:
            wrong = share.right > 0 and self._expected.group_is_zero(solver, family, level)
        if wrong:
            what = f"{solver} has {share.right} of {share.n} twin groups right at level {level}"
            self._fail(self._wholes, solver, family, what)

    def _fail(self, findings: Findings, solver: str, family: str, what: str) -> None:
        self.failed.add((solver, family))
        findings.add(family, what)


def _error_by_construction(due: Due, clusters: int) -> float:
    """Standard error of what is due, were each cluster two answers of their own.

    What is measured is too small where hardly anything, or nearly all, is right.
    """
    return math.sqrt(due.value * (1 - due.value) / (2 * clusters))


def _is_off(value: float, due: Due, allowed: float | None) -> bool:
    """Whether a share is not what is due; without a tolerance only what is exact is judged."""
    if due.exact:
        return value != due.value
    if allowed is None:
        return False
    return value - due.value > allowed or (not due.at_most and due.value - value > allowed)


def _said(due: Due) -> str:
    return f"by construction {'at most ' if due.at_most else ''}{due.value:.3f}"
