"""Audits of the benchmark itself, for maintainers: `qwen-bench probes audit` runs them here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qwen_bench.audit.findings import AuditLine, Rebuild
from qwen_bench.audit.maintenance import Inspections, Key, Maintenance, Named, WindowCurve
from qwen_bench.probes.probe import Probe
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Suite
from tools.audit.determinism import across_suites, determinism
from tools.audit.lexicon import lexicon
from tools.audit.parsing import parser
from tools.audit.planted_forgetting import WindowRows, window_line
from tools.audit.purity import judge_free
from tools.audit.token_lengths import token_lines


class Checkout(Maintenance):
    """All audits of a checkout."""

    def __init__(self) -> None:
        self._rows = WindowRows()

    def window(self, turns: int, probe: Probe, score: int) -> None:
        """Keep one answer of `window-<turns>`."""
        self._rows.add(turns, probe, score)

    def curves(self, suite: Suite) -> Mapping[Key, WindowCurve]:
        """The curve of every window, family and language."""
        return self._rows.curves(suite)

    def forgetting(self, curves: Mapping[Key, WindowCurve], *, enough: bool) -> list[AuditLine]:
        """The audit of the curves, where there are several history lengths."""
        return [window_line(curves, enough=enough)] if curves else []

    def inspections(
        self, suite: Suite, selection: Selection, rebuild: Rebuild, models: Sequence[Named]
    ) -> Inspections:
        """Bytes, words, scorer and tokens."""
        return {
            "determinism": lambda: [determinism(suite, selection)],
            "suites": lambda: [across_suites(suite, selection, rebuild)],
            "lexicon": lambda: [lexicon(suite.sources, suite.families)],
            "parser": lambda: [parser(suite)],
            "judge-free": lambda: [judge_free()],
            "tokens": lambda: token_lines(suite, models),
        }
