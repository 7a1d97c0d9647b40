"""Tests of no difference, and the correction for making several.

Labels of two models are exchangeable within a cluster when they do not differ, so the sign of each
cluster's contribution may flip. Probes of one cluster are never tested as if independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from qwen_bench.stats.bootstrap import child_generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.stats.arrays import Floats

EXACT_CLUSTERS = 16
PATTERNS = 20_000
_TOLERANCE = 1e-12
# So many fit the cache. The generator makes four bytes at a time, so that batches of a multiple of
# four rows draw what one batch of all rows would.
_ENTRIES_AT_ONCE = 1 << 18
_ROWS = 8


@dataclass(frozen=True, slots=True)
class SignFlip:
    """Cluster sign-flip permutation test.

    Attributes:
        two_sided: share of sign patterns whose absolute sum reaches the observed one.
        loss: share whose sum is as low as the observed one.
    """

    two_sided: float
    loss: float


def sign_flip(
    contributions: Floats | Sequence[float], *, seed: int = 0, patterns: int = PATTERNS
) -> SignFlip:
    """Cluster sign-flip permutation p-values, two-sided and for a loss.

    All sign patterns up to 16 non-zero contributions, otherwise (1 + hits) / (1 + patterns) over
    random ones, which is never 0 (Phipson & Smyth 2010).

    Args:
        contributions: (clusters,) z_c or any multiple of it.
        seed: of the random patterns.
        patterns: number of random patterns.

    Returns:
        Both 1.0 when no contribution differs from 0; two-sided never below 2^(1 - K*).
    """
    values = np.asarray(contributions, dtype=np.float64)
    values = values[np.abs(values) > _TOLERANCE]
    total = float(values.sum())
    observed = abs(total) - _TOLERANCE
    if len(values) <= EXACT_CLUSTERS:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
        as_low = float((sums <= total + _TOLERANCE).mean())
        return SignFlip(float((np.abs(sums) >= observed).mean()), as_low)
    generator = child_generator(seed, "sign-flip", len(values))
    width = -(-len(values) // 8)
    rows = max(1, _ENTRIES_AT_ONCE // len(values) // _ROWS) * _ROWS
    hits, low = 0, 0
    for start in range(0, patterns, rows):
        packed = generator.integers(0, 256, (min(rows, patterns - start), width), dtype=np.uint8)
        flipped = np.unpackbits(packed, axis=1)[:, : len(values)].astype(np.float64)
        sums = total - 2.0 * (flipped @ values)
        hits += int((np.abs(sums) >= observed).sum())
        low += int((sums <= total + _TOLERANCE).sum())
    return SignFlip((1 + hits) / (1 + patterns), (1 + low) / (1 + patterns))


def sign_flip_p(
    contributions: Floats | Sequence[float], *, seed: int = 0, patterns: int = PATTERNS
) -> float:
    """Two-sided p-value of `sign_flip`, the one that decides."""
    return sign_flip(contributions, seed=seed, patterns=patterns).two_sided


def mcnemar_p(gained: int, lost: int) -> float:
    """Exact two-sided McNemar p-value; needs one pair per cluster (McNemar 1947).

    min(1, 2 P(X <= min(gained, lost))) with X ~ Binomial(gained + lost, 1/2); 1.0 without a flip.
    """
    flipped = gained + lost
    tail = sum(comb(flipped, k) for k in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / (1 << flipped))


def mcnemar_mid_p(gained: int, lost: int) -> float:
    """Two-sided mid-p McNemar: half the weight of the observed table; shown, never decides.

    min(1, 2 P(X <= min(gained, lost)) - P(X = min(gained, lost))), X ~ Binomial(flips, 1/2).
    """
    flipped, fewer = gained + lost, min(gained, lost)
    tail = sum(comb(flipped, k) for k in range(fewer + 1))
    return min(1.0, (2 * tail - comb(flipped, fewer)) / (1 << flipped))


def mcnemar_loss_p(gained: int, lost: int) -> float:
    """One-sided exact McNemar p-value of a loss, P(X >= lost); shown, never decides."""
    flipped = gained + lost
    return sum(comb(flipped, k) for k in range(lost, flipped + 1)) / (1 << flipped)


def odds_ratio(gained: int, lost: int) -> float | None:
    """Matched odds ratio of a loss against a gain, lost / gained.

    With 0.5 added to both where one of them is 0; None without a flip.
    """
    if gained + lost == 0:
        return None
    return lost / gained if gained and lost else (lost + 0.5) / (gained + 0.5)


def cohens_g(gained: int, lost: int) -> float | None:
    """Cohen's g, how far the larger share of the flips lies above one half; None without a flip."""
    flipped = gained + lost
    return max(gained, lost) / flipped - 0.5 if flipped else None


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
