"""The audits whose results are published: suite core, and the families that only full has."""

from __future__ import annotations

from collections.abc import Callable

from qwen_bench.audit.audit_suite import Audit, audit_suite
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite


def released_audits(progress: Callable[[str], None] = lambda _: None) -> list[Audit]:
    """Audit every built-in family once, in the smallest suite with skeletons enough.

    Args:
        progress: is told what comes next.
    """
    core = build_suite("core")
    rest = [name for name in build_suite("full").families if name not in core.families]
    audits = [audit_suite(core, Selection(), build_suite, progress=progress)]
    if rest:
        chosen = Selection(families=tuple(rest))
        full = build_suite("full", chosen)
        audits.append(audit_suite(full, chosen, build_suite, progress=progress))
    return audits
