"""95 % intervals: Wilson, percentile bootstrap, bootstrap-t, and the exact bound without a flip.

Which one is right depends on the number of clusters: with 10 clusters the nominal 95 % percentile
interval covered 89 to 91 % in simulation, bootstrap-t 95 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np

from qwen_bench.stats.bootstrap import Resampler, replicate, standard_error

if TYPE_CHECKING:
    from qwen_bench.stats.clusters import Table

Z95 = 1.959963984540054
PERCENTILE_CLUSTERS = 30
FEWEST_CLUSTERS = 10
_TAIL = 0.025
_ZERO = 1e-12
_MAX_ZERO_SHARE = 0.05

Kind = Literal["wilson", "percentile", "bootstrap-t", "no flip", "zero variance", "none"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval and how it was made.

    Attributes:
        low, high: fractions; both None exactly when `kind` is "none".
        reason: why there is no interval; empty otherwise.
        redrawn: bootstrap replicates that lacked a family and were drawn again.
    """

    low: float | None
    high: float | None
    kind: Kind
    reason: str = ""
    redrawn: int = 0


def wilson(correct: int, n: int) -> tuple[float, float]:
    """Wilson score interval of a share, 95 % (Wilson 1927).

    Args:
        correct: successes, 0 to n.
        n: independent trials, at least 1.

    Raises:
        ValueError: no trials.
    """
    if n < 1:
        raise ValueError("a share of nothing has no interval")
    share = correct / n
    scale = 1 + Z95**2 / n
    centre = (share + Z95**2 / (2 * n)) / scale
    half = Z95 * sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2)) / scale
    # Rounding must not leave 1e-17 where the bound is exactly 0 or 1.
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == n else min(1.0, centre + half)
    return low, high


def no_flip_bound(clusters: int) -> float:
    """Exact 97.5 % bound on the rate of an event never seen in K clusters: 1 - 0.025^(1/K)."""
    return 1.0 - float(_TAIL ** (1.0 / clusters))


def accuracy_interval(table: Table, resampler: Resampler) -> Interval:
    """Interval of an accuracy: Wilson for one independent family, else the cluster bootstrap.

    Where every row is right, or every row wrong, the bootstrap collapses; Wilson over the clusters
    takes its place.

    Args:
        table: values 0 or 1.
        resampler: source of the draws.
    """
    right, n = int(table.sums.sum()), int(table.counts.sum())
    if right in (0, n):
        low, high = wilson(table.clusters if right else 0, table.clusters)
        return Interval(low, high, "wilson")
    if n == table.clusters and table.families == 1:
        return Interval(*wilson(right, n), "wilson")
    return _clustered(table, resampler, floor=0.0)


def difference_interval(table: Table, resampler: Resampler, *, reach: float = 1.0) -> Interval:
    """Interval of a paired macro-averaged difference, by the number of clusters.

    Without any cluster that changed, the bound of an event never seen holds at any number of
    clusters; below 10 clusters there is no other interval.

    Args:
        table: values from -reach to reach.
        resampler: source of the draws.
        reach: largest possible value: 1 for a difference, 2 for a difference of differences.
    """
    if not (np.abs(table.contributions) > _ZERO).any():
        bound = reach * no_flip_bound(table.clusters)
        return Interval(-bound, bound, "no flip")
    return _clustered(table, resampler, floor=-reach, ceiling=reach)


def _clustered(
    table: Table, resampler: Resampler, *, floor: float, ceiling: float = 1.0
) -> Interval:
    """Bootstrap interval clipped to [floor, ceiling]."""
    if table.clusters < FEWEST_CLUSTERS:
        return Interval(None, None, "none", "too few clusters")
    value, error = table.macro, standard_error(table)
    if error == 0.0:
        # A family in a single cluster shows no variance because it has none to show.
        if ((table.counts > 0).sum(axis=0) < 2).any():
            return Interval(None, None, "none", "families in too few clusters")
        return Interval(value, value, "zero variance")
    studentised = table.clusters < PERCENTILE_CLUSTERS
    drawn = replicate(table, resampler, errors=studentised)
    if drawn is None:
        return Interval(None, None, "none", "families in too few clusters")
    if studentised:
        varied = drawn.errors > 0.0
        if 1.0 - varied.mean() > _MAX_ZERO_SHARE:
            return Interval(None, None, "none", "too few clusters that differ", drawn.redrawn)
        ratios = (drawn.values[varied] - value) / drawn.errors[varied]
        below, above = np.quantile(ratios, [_TAIL, 1 - _TAIL])
        low, high = value - above * error, value - below * error
    else:
        low, high = np.quantile(drawn.values, [_TAIL, 1 - _TAIL])
    kind: Kind = "bootstrap-t" if studentised else "percentile"
    return Interval(max(floor, float(low)), min(ceiling, float(high)), kind, redrawn=drawn.redrawn)
