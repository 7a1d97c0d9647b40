"""The word for a difference.

Rules, first match wins (L and U are the 95 % bounds of candidate minus baseline, m the margin):
inconclusive without an interval or when test and interval disagree; regressed when p <= alpha,
U < 0 and L < -m; improved when p <= alpha, L > 0 and U > m; within noise when L >= -m and U <= m;
not worse when L >= -m; inconclusive otherwise. A large p alone never yields "within noise", a small
p alone never yields "regressed".
"""

from __future__ import annotations

from math import ceil, log
from typing import TYPE_CHECKING

from qwen_bench.stats.intervals import FEWEST_CLUSTERS, Z95

if TYPE_CHECKING:
    from qwen_bench.stats.results import Word

# z(0.975) + z(0.80): a difference this many standard errors wide is seen in 80 % of runs.
_POWER_80 = Z95 + 0.8416212335729143
_NO_FLIP_TAIL = 0.025
_ROUNDING = 1e-12
DISAGREE = "test and interval disagree"


def word(
    p: float,
    low: float | None,
    high: float | None,
    margin: float,
    alpha: float,
    *,
    no_interval: str = "too few clusters",
) -> tuple[Word, str]:
    """The verdict word of a paired difference and the note that belongs to it.

    Args:
        p: two-sided p-value, adjusted where several are read together.
        low: lower 95 % bound of candidate minus baseline, a fraction; None without an interval.
        high: upper bound, None together with `low`.
        margin: loss that does not matter, a fraction, 0 or more.
        alpha: level of the test.
        no_interval: note when there is no interval.
    """
    if low is None or high is None:
        return "inconclusive", no_interval
    inside_below = low >= -margin - _ROUNDING
    inside_above = high <= margin + _ROUNDING
    lower = high < 0 and not inside_below
    higher = low > 0 and not inside_above
    if (lower or higher) and p > alpha:
        return "inconclusive", DISAGREE
    if lower or higher:
        clearly = (high < -margin - _ROUNDING) if lower else (low > margin + _ROUNDING)
        return "regressed" if lower else "improved", "by more than the margin" if clearly else ""
    if inside_below and inside_above:
        side = "lower" if high < 0 else "higher" if low > 0 else ""
        return "within noise", f"{side}, inside the margin" if side else ""
    return ("not worse" if inside_below else "inconclusive"), ""


def more_probes(
    difference: float,
    standard_error: float,
    margin: float,
    *,
    n: int,
    clusters: int,
    flipped: bool,
) -> int | None:
    """Further probes after which an inconclusive difference would be settled.

    Settled means that the interval excludes 0 or a loss beyond the margin, whichever needs less, in
    80 % of runs if the observed difference is the true one: SE <= max(D + m, -D) / 2.801585.
    Without any flip it is the number of clusters whose exact bound lies inside the margin.

    Args:
        difference: observed D, a fraction.
        standard_error: of the difference, from the clusters.
        margin: a fraction.
        n: probes so far.
        clusters: clusters so far.
        flipped: whether any cluster changed.

    Returns:
        None when more probes of the same kind would not settle it.
    """
    if not flipped:
        if not 0 < margin < 1:
            return None
        needed = ceil(log(_NO_FLIP_TAIL) / log(1 - margin))
    else:
        target = max(difference + margin, -difference) / _POWER_80
        if target <= 0:
            return None
        needed = max(ceil(clusters * (standard_error / target) ** 2), FEWEST_CLUSTERS)
    return ceil((needed - clusters) * n / clusters) if needed > clusters else None
