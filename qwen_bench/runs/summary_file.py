"""`summary.json`: what statistics make of a run, kept for people and scripts.

It is derived; readers of this package compute it again from the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qwen_bench.record.counters import total_counters
from qwen_bench.stats.summary import summarise, summary_as_dict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qwen_bench.record.manifest import Invocation
    from qwen_bench.runs.store import StoredRun

SUMMARY_NAME = "summary.json"


def total_efficiency(invocations: Iterable[Invocation]) -> dict[str, Any] | None:
    """Counters of all invocations together; None when none is known.

    `invocations_without_counters` tells how many were killed before they could say.
    """
    efficiencies = [item.efficiency for item in invocations]
    known = [counters for counters in efficiencies if counters is not None]
    if not known:
        return None
    return total_counters(known) | {"invocations_without_counters": len(efficiencies) - len(known)}


def run_summary(run: StoredRun) -> dict[str, Any]:
    """What `summary.json` holds: names, counts, one summary a scorer, efficiency."""
    manifest = run.manifest
    return {
        "schema_version": 1,
        "run_id": manifest.run_id,
        "label": manifest.model.label,
        "fingerprint": manifest.model.fingerprint,
        "suite": {"name": manifest.suite.name, "version": manifest.suite.version},
        "primary": manifest.suite.primary,
        "expected": manifest.expected.rows,
        "modes": summary_as_dict(summarise(run.outcomes)),
        "efficiency": total_efficiency(manifest.invocations),
    }
