"""`summary.json`: what statistics make of a run, kept for people and scripts.

It is derived; readers of this package compute it again from the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qwen_bench.stats.serialise import summary_as_dict
from qwen_bench.stats.summary import summarise

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qwen_bench.runs.manifest import Invocation
    from qwen_bench.runs.store import StoredRun

SUMMARY_NAME = "summary.json"
_MAXIMA = ("peak_memory_bytes",)
_RATIOS = ("sharing_ratio", "tokens_per_second")


def total_efficiency(invocations: Iterable[Invocation]) -> dict[str, Any] | None:
    """Counters of all invocations together; None when none is known.

    Sums, except for peak memory, which is a maximum; the ratios are computed from the sums.
    `invocations_without_counters` tells how many were killed before they could say.
    """
    known = [item.efficiency for item in invocations if item.efficiency is not None]
    if not known:
        return None
    names = sorted({name for counters in known for name in counters} - set(_RATIOS))
    total: dict[str, Any] = {}
    for name in names:
        values = [counters.get(name) or 0 for counters in known]
        total[name] = max(values) if name in _MAXIMA else sum(values)
    forward = total.get("forward_tokens", 0)
    seconds = total.get("seconds", 0)
    total["sharing_ratio"] = total.get("naive_tokens", 0) / forward if forward else None
    total["tokens_per_second"] = forward / seconds if forward and seconds else None
    total["invocations_without_counters"] = sum(
        1 for item in invocations if item.efficiency is None
    )
    return total


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
