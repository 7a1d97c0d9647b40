"""Tests of no difference, and the correction for making several.

Labels of two models are exchangeable within a cluster when they do not differ, so the sign of each
cluster's contribution may flip. Probes of one cluster are never tested as if independent.
"""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING

import numpy as np

from qwen_bench.stats.seeds import child_generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.stats.clusters import Floats

EXACT_CLUSTERS = 16
PATTERNS = 20_000
_TOLERANCE = 1e-12
_ENTRIES_AT_ONCE = 1 << 22


def sign_flip_p(
    contributions: Floats | Sequence[float], *, seed: int = 0, patterns: int = PATTERNS
) -> float:
    """Two-sided cluster sign-flip permutation p-value.

    Share of sign patterns whose absolute sum reaches the observed one: all patterns up to 16
    non-zero contributions, otherwise (1 + hits) / (1 + patterns) over random ones, which is never 0
    (Phipson & Smyth 2010).

    Args:
        contributions: (clusters,) z_c or any multiple of it.
        seed: of the random patterns.
        patterns: number of random patterns.

    Returns:
        1.0 when no contribution differs from 0; never below 2^(1 - K*).
    """
    values = np.asarray(contributions, dtype=np.float64)
    values = values[np.abs(values) > _TOLERANCE]
    observed = abs(values.sum()) - _TOLERANCE
    if len(values) <= EXACT_CLUSTERS:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
        return float((np.abs(sums) >= observed).mean())
    generator = child_generator(seed, "sign-flip", len(values))
    width = -(-len(values) // 8)
    rows = max(1, _ENTRIES_AT_ONCE // len(values))
    hits = 0
    for start in range(0, patterns, rows):
        packed = generator.integers(0, 256, (min(rows, patterns - start), width), dtype=np.uint8)
        flipped = np.unpackbits(packed, axis=1)[:, : len(values)].astype(np.float64)
        hits += int((np.abs(values.sum() - 2.0 * (flipped @ values)) >= observed).sum())
    return (1 + hits) / (1 + patterns)


def mcnemar_p(gained: int, lost: int) -> float:
    """Exact two-sided McNemar p-value; needs one pair per cluster (McNemar 1947).

    min(1, 2 P(X <= min(gained, lost))) with X ~ Binomial(gained + lost, 1/2); 1.0 without a flip.
    """
    flipped = gained + lost
    tail = sum(comb(flipped, k) for k in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / (1 << flipped))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down adjustment (Holm 1979), in the order given.

    Adjusted p of the j-th smallest is the maximum over l <= j of min(1, (m - l + 1) p(l)), so equal
    p-values share one adjusted value.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)
