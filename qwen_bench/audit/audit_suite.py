"""Audits a suite: one pass over its dialogues for everything that can watch them stream by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from qwen_bench.audit.balance import Balance
from qwen_bench.audit.composition import Composition
from qwen_bench.audit.findings import AuditLine, Check, Rebuild
from qwen_bench.audit.leaks import Conflicts, Leaks
from qwen_bench.audit.maintenance import Key, Named, WindowCurve, find_maintenance
from qwen_bench.audit.metamorphic import Twins, metamorphic
from qwen_bench.audit.separability import Separability
from qwen_bench.audit.shape import Lengths, Nesting
from qwen_bench.audit.shortcuts import WINDOWS, Expected
from qwen_bench.audit.solvability import Solvability
from qwen_bench.audit.solver_rules import ENOUGH_CLUSTERS, JudgedTable
from qwen_bench.audit.solver_scores import SolverTable
from qwen_bench.audit.told import teller
from qwen_bench.probes.probe import Dialogue
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Suite
from qwen_bench.solvers.solver_engine import SOLVERS

ELSEWHERE = (
    AuditLine("output cap", "skipped", "read off a run: the report warns from 1 % truncated on"),
    AuditLine("statistics", "skipped", "simulations of the test suite: tests/stats"),
)


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything an audit of a suite gives.

    Attributes:
        suite: that was audited.
        probes: probes seen.
        table: what the solvers scored.
        judged: the same after the gates.
        curves: of the windows by (turns, family, language); none outside a checkout.
        composition: what is asked at every history length; None where solvers were chosen.
        separability: evidence against the rest; None where solvers were chosen.
        lines: one for each audit.
    """

    suite: Suite
    probes: int
    table: SolverTable
    judged: JudgedTable
    curves: Mapping[Key, WindowCurve]
    composition: Composition | None
    separability: Separability | None
    lines: tuple[AuditLine, ...]

    @property
    def families(self) -> tuple[str, ...]:
        """Families asked in the main condition, in the order of the suite."""
        return tuple(name for name in self.suite.families if name in self.table.kinds)

    @property
    def failed(self) -> tuple[AuditLine, ...]:
        """Audits that found something."""
        return tuple(line for line in self.lines if line.status == "fail")


def audit_suite(
    suite: Suite,
    selection: Selection,
    rebuild: Rebuild,
    *,
    solvers: Sequence[str] = (),
    models: Sequence[Named] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Run all audits over a suite.

    Args:
        suite: what to audit.
        selection: it was built with.
        rebuild: builds a suite by name with another selection.
        solvers: only these, and no other audit; empty for everything.
        models: label and tokenizer of models, for the audits of tokens.
        progress: is told what comes next.
    """
    expected = Expected({name: suite.sources.families[name] for name in suite.families})
    maintenance = find_maintenance()
    table = SolverTable(solvers or (*SOLVERS, *WINDOWS), maintenance.window)
    composition = Composition(suite.levels, len(suite.sources.levels), suite.rotations)
    separability = Separability()
    checks: list[Check] = [] if solvers else [*_checks(suite), composition, separability]
    for rendering in _renderings(suite, progress):
        table.see(rendering)
        for check in checks:
            check.see(rendering)
    progress("gates")
    judged = JudgedTable(table, expected)
    curves = maintenance.curves(suite)
    enough = min(table.clusters.values(), default=0) >= ENOUGH_CLUSTERS
    lines = [*judged.lines(), *table.lines()]
    if curves or not solvers:
        lines += maintenance.forgetting(curves, enough=enough)
    lines += [check.line() for check in checks]
    if not solvers:
        small = replace(selection, limit=1)
        first = rebuild(suite.name, small)
        progress("metamorphic")
        lines.append(metamorphic(first))
        for step, inspect in maintenance.inspections(first, small, rebuild, models).items():
            progress(step)
            lines += inspect()
        lines += ELSEWHERE
    return Audit(
        suite=suite,
        probes=table.probes,
        table=table,
        judged=judged,
        curves=curves,
        composition=None if solvers else composition,
        separability=None if solvers else separability,
        lines=tuple(lines),
    )


def _checks(suite: Suite) -> list[Check]:
    families, split = suite.sources.families, suite.sources.split
    return [
        Leaks(teller(suite)),
        Conflicts(families, split),
        Solvability(),
        Twins(),
        Balance(families, split, suite.programmes),
        Lengths(),
        Nesting(),
    ]


def _renderings(suite: Suite, progress: Callable[[str], None]) -> Iterator[list[Dialogue]]:
    """Dialogues of one cluster in one language at a time."""
    clusters = 0
    by_rendering = groupby(suite.dialogues(), key=lambda d: (d.cluster, d.lang))
    last = None
    for (cluster, _), dialogues in by_rendering:
        if cluster != last:
            last, clusters = cluster, clusters + 1
            if clusters % 24 == 1:
                progress(f"skeleton {cluster}")
        yield list(dialogues)
