"""Counters of several processes or engines as one account.

Works on what `Efficiency.as_dict` gives, as `manifest.json` keeps it; a file of an older version
may know fewer counters. Knows no run folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_MAXIMA = frozenset({"peak_kv_bytes", "peak_memory_bytes", "rows_max"})
_RATIOS = {
    "sharing_ratio": ("naive_tokens", "forward_tokens"),
    "tokens_per_second": ("forward_tokens", "seconds"),
    "answers_per_second": ("requests", "seconds"),
}


def total_counters(accounts: Sequence[Mapping[str, Any]]) -> dict[str, float | int | None]:
    """All accounts together: peaks are maxima, ratios are made of the sums, the rest are sums.

    A counter that one account does not know is unknown in the total, never counted as 0.

    Args:
        accounts: at least one, each with the counters of one process.
    """
    names = sorted({name for account in accounts for name in account} - set(_RATIOS))
    total: dict[str, float | int | None] = {}
    for name in names:
        values = [account.get(name) for account in accounts]
        known = [value for value in values if value is not None]
        together = max if name in _MAXIMA else sum
        total[name] = together(known) if len(known) == len(values) else None
    for name, (above, below) in _RATIOS.items():
        upper, lower = total.get(above), total.get(below)
        total[name] = upper / lower if upper and lower else None
    return total
