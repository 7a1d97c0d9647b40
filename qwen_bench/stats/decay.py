"""Maximum-likelihood fit of p(d) = g + (a - g) 2^(-d/h): accuracy that decays with distance.

g is given, a lies in [g + 0.01, 1], h in [0.25, 8 d_max]. The optimiser is deterministic and free
of derivatives: on log-spaced h the best a by golden section (the likelihood is concave in a), then
golden section in ln h around the best grid point. Many data sets over the same distances are fitted
at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qwen_bench.stats.arrays import Floats, Ints
from qwen_bench.stats.isotonic import Crossing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GRID = 241
LOWEST = 0.25
BEYOND = 8.0
LEAST_SPAN = 0.01
WORST_FIT = 3.0
_STRIDE = 8
_STEPS_A = 24
_STEPS_H = 22
_CLIP = 1e-9
_AT_BOUND = 1e-4
_SHRINK = (5**0.5 - 1) / 2
_BATCH = 100


@dataclass(frozen=True, slots=True)
class Decay:
    """A fitted curve.

    Attributes:
        h: half-life in the unit of the distances.
        a: accuracy at distance 0 behind the longest history.
        g: guess rate it was fitted with.
        deviance, df: G2 over the bins, and bins - 2.
        deviance_exact, df_exact: the same over single distances.
        shortest: smallest positive distance.
        longest: largest distance.
    """

    h: float
    a: float
    g: float
    deviance: float
    df: int
    deviance_exact: float
    df_exact: int
    shortest: float
    longest: float

    @property
    def place(self) -> Crossing:
        """The half-life, censored to the distances that were asked; nothing is extrapolated."""
        return censored(self.h, self.shortest, self.longest)

    @property
    def flat(self) -> bool:
        """The curve does not rise above the guess rate even at distance 0, so h means nothing."""
        return self.a <= self.g + LEAST_SPAN + _AT_BOUND

    @property
    def at_bound(self) -> bool:
        """The search ended at an end of its interval, so the curve is that of the end."""
        return not (LOWEST * (1 + _AT_BOUND) < self.h < BEYOND * self.longest * (1 - _AT_BOUND))

    @property
    def exponential(self) -> bool:
        """G2 / df is at most 3, over the bins and over single distances.

        Bins hide what happens inside them: a model that sees the last two turns only is cut inside
        the bin 1-3, and G2 / df over the bins is 2.7 on the turn plan of the suite core, 3.8 over
        single distances. On simulated exponential decays with correlated probes single distances
        flag at most 1 % of the runs, bins 3 to 11 %.

        At a bound nothing is tested: a model that forgets nothing over 32 turns would fail for not
        having the half-life of 248 turns at which the search ends.
        """
        checks = ((self.deviance, self.df), (self.deviance_exact, self.df_exact))
        return self.at_bound or all(df < 1 or g2 / df <= WORST_FIT for g2, df in checks)


def censored(h: float, shortest: float, longest: float) -> Crossing:
    """A half-life within the distances asked: `before` the smallest positive, `beyond` the last."""
    if h > longest:
        return Crossing("beyond", longest)
    if h < shortest:
        return Crossing("before", shortest)
    return Crossing("at", h)


def fit(
    distances: Sequence[float],
    right: Sequence[float],
    asked: Sequence[float],
    guess: float,
    bins: Sequence[int] | None = None,
) -> Decay:
    """Fit one curve.

    Args:
        distances: (D,) distinct, increasing, in turns or any other unit; at least one positive.
        right: (D,) right answers at each distance; fractions are allowed.
        asked: (D,) probes at each distance, positive.
        guess: g, below 1.
        bins: (D,) bin of each distance for the fit check, not decreasing; None makes each distance
            a bin.

    Raises:
        ValueError: no positive distance.
    """
    d, k, n = (np.array(column, dtype=np.float64) for column in (distances, right, asked))
    h, a = fit_many(d, k[None], n[None], np.array([guess]), stride=1)
    chance = _chances(np.exp2(-d / h[0]), np.array(a[0]), np.array(guess))
    single = np.arange(len(d))
    groups = single if bins is None else np.array(bins, dtype=np.int64)
    return Decay(
        h=float(h[0]),
        a=float(a[0]),
        g=guess,
        deviance=_deviance(k, n, chance, groups),
        df=len(np.unique(groups)) - 2,
        deviance_exact=_deviance(k, n, chance, single),
        df_exact=len(d) - 2,
        shortest=float(d[d > 0].min()),
        longest=float(d.max()),
    )


def fit_many(
    distances: Floats, right: Floats, asked: Floats, guess: Floats, *, stride: int = _STRIDE
) -> tuple[Floats, Floats]:
    """Fit many data sets over the same distances.

    Args:
        distances: (D,) at least one positive.
        right: (fits, D) right answers.
        asked: (fits, D) probes; 0 where a data set lacks the distance.
        guess: (fits,) g.
        stride: 1 looks at every grid point. A larger divisor of 240 looks at every `stride`-th
            first and then at those around the best, which finds the same point of a likelihood
            with one peak in a fraction of the time.

    Returns:
        h and a, (fits,) each.

    Raises:
        ValueError: no positive distance.
    """
    if not (distances > 0).any():
        raise ValueError("a decay needs a positive distance")
    grid = np.linspace(np.log(LOWEST), np.log(BEYOND * distances.max()), GRID)
    found = [
        _fit_batch(
            _Likelihood(distances, right[part], asked[part], guess[part]), grid, stride=stride
        )
        for part in (slice(i, i + _BATCH) for i in range(0, len(right), _BATCH))
    ]
    return np.concatenate([h for h, _ in found]), np.concatenate([a for _, a in found])


class _Likelihood:
    """Log-likelihoods of some data sets over the same distances."""

    def __init__(self, distances: Floats, right: Floats, asked: Floats, guess: Floats) -> None:
        self.distances = distances
        self.right = right[:, :, None]
        self.wrong = (asked - right)[:, :, None]
        self.guess = guess[:, None]
        self.lowest = np.minimum(self.guess + LEAST_SPAN, 1.0)

    def best(self, log_h: Floats) -> tuple[Floats, Floats]:
        """Best a and its log-likelihood at some ln h.

        Args:
            log_h: (fits or 1, points)

        Returns:
            a and log-likelihoods, (fits, points) each.
        """
        left = np.exp2(-self.distances / np.exp(log_h)[:, :, None])

        def value(a: Floats) -> Floats:
            chance = _chances(left, a[:, :, None], self.guess[:, :, None])
            total = np.log(chance) @ self.right + np.log(1.0 - chance) @ self.wrong
            return np.asarray(total[:, :, 0], dtype=np.float64)

        shape = (len(self.guess), log_h.shape[1])
        return _golden(value, np.broadcast_to(self.lowest, shape), np.ones(shape), _STEPS_A)


def _chances(left: Floats, a: Floats, guess: Floats) -> Floats:
    """P(right) where the share `left` = 2^(-d/h) of the memory is left, clipped for logarithms."""
    return np.asarray(np.clip(guess + (a - guess) * left, _CLIP, 1.0 - _CLIP), dtype=np.float64)


def _fit_batch(likelihood: _Likelihood, grid: Floats, *, stride: int) -> tuple[Floats, Floats]:
    """Best h and a of each data set."""
    peak = stride * np.argmax(likelihood.best(grid[None, ::stride])[1], axis=1)
    if stride > 1:
        around = np.clip(peak[:, None] + np.arange(1 - stride, stride), 0, len(grid) - 1)
        at = np.argmax(likelihood.best(grid[around])[1], axis=1)
        peak = around[np.arange(len(around)), at]
    low, high = grid[np.maximum(peak - 1, 0)], grid[np.minimum(peak + 1, len(grid) - 1)]
    log_h, _ = _golden(
        lambda log_h: likelihood.best(log_h)[1], low[:, None], high[:, None], _STEPS_H
    )
    return np.exp(log_h[:, 0]), likelihood.best(log_h)[0][:, 0]


def _golden(
    value: Callable[[Floats], Floats], low: Floats, high: Floats, steps: int
) -> tuple[Floats, Floats]:
    """Place and height of the peak between low and high, all of one shape, ends included."""
    ends = (low, high)
    inner, outer = high - _SHRINK * (high - low), low + _SHRINK * (high - low)
    at_inner, at_outer = value(inner), value(outer)
    for _ in range(steps):
        left = at_inner >= at_outer
        low, high = np.where(left, low, inner), np.where(left, outer, high)
        probe = np.where(left, high - _SHRINK * (high - low), low + _SHRINK * (high - low))
        height = value(probe)
        inner, outer = np.where(left, probe, outer), np.where(left, inner, probe)
        at_inner, at_outer = np.where(left, height, at_outer), np.where(left, at_inner, height)
    place, best = np.where(at_inner >= at_outer, inner, outer), np.maximum(at_inner, at_outer)
    # A peak at an end is only approached from inside; a tie goes to the end.
    for end in ends:
        height = value(end)
        place, best = np.where(height >= best, end, place), np.maximum(height, best)
    return place, best


def _deviance(right: Floats, asked: Floats, chance: Floats, bins: Ints) -> float:
    """G2 = 2 sum over bins [k ln(k / np) + (n - k) ln((n - k) / n(1 - p))] with 0 ln 0 = 0.

    The expected counts of a bin are summed over its exact distances.
    """
    codes = np.unique(bins, return_inverse=True)[1]
    sides = ((right, asked * chance), (asked - right, asked * (1.0 - chance)))
    total = 0.0
    for seen, expected in sides:
        k, e = np.bincount(codes, weights=seen), np.bincount(codes, weights=expected)
        some = k > 0
        total += 2.0 * float((k[some] * np.log(k[some] / e[some])).sum())
    return max(0.0, total)
