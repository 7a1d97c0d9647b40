"""The half-lives of two models side by side, and their ratio from the same resampled clusters."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING, Literal

import numpy as np

from qwen_bench.stats.half_life import (
    AT_GUESS_RATE,
    NOT_EXPONENTIAL,
    DistanceSlice,
    HalfLife,
    distance_slice,
    expanded_tails,
    outside,
    ranked_quantile,
    with_interval,
)
from qwen_bench.stats.intervals import FEWEST_CLUSTERS
from qwen_bench.stats.retention import (
    MAX_UNSTABLE_SHARE,
    UNSTABLE,
)
from qwen_bench.stats.retention_change import GAINED_ABILITY, LOST_ABILITY

if TYPE_CHECKING:
    from qwen_bench.stats.bootstrap import Resampler
    from qwen_bench.stats.clusters import Floats, Ints
    from qwen_bench.stats.isotonic import Crossing
    from qwen_bench.stats.slices import Rows

MAX_CENSORED_SHARE = 0.05
NOT_ASKED = "interval not computed"

Direction = Literal["longer", "shorter", "same", "open"]


@dataclass(frozen=True, slots=True)
class HalfLifeRatio:
    """Half-life of the candidate over that of the baseline.

    Attributes:
        value: h_C / h_B; None where either is censored or not measurable, or more than 5 % of the
            replicates are censored.
        low, high: 95 % bounds; None without one, or where that side is open because censored
            replicates reach it.
        direction: of the candidate's half-life; `open` where both are censored alike or one is not
            measurable.
        note: why a number is missing, or "not exponential".
    """

    value: float | None
    low: float | None
    high: float | None
    direction: Direction
    note: str


@dataclass(frozen=True, slots=True)
class HalfLives:
    """Half-life of both models and their ratio."""

    base: HalfLife
    candidate: HalfLife
    ratio: HalfLifeRatio


def half_lives(base: Rows, candidate: Rows, resampler: Resampler | None) -> HalfLives:
    """Half-lives of two models and their ratio by the paired bootstrap on the log scale.

    Args:
        base: baseline from `paired_rows`.
        candidate: its partner.
        resampler: source of the draws, the same clusters for both models; None leaves out the
            intervals, and with them the ratio, which needs to know how often it is censored.
    """
    one, two = distance_slice(base), distance_slice(candidate)
    first, second = (
        None if isinstance(data, str) or resampler is None else data.replicates(resampler)
        for data in (one, two)
    )
    before, after = with_interval(one, first), with_interval(two, second)
    if isinstance(one, str) or isinstance(two, str):
        note = one if isinstance(one, str) else str(two)
        if isinstance(one, str) != isinstance(two, str):
            note = GAINED_ABILITY if isinstance(one, str) else LOST_ABILITY
        return HalfLives(before, after, HalfLifeRatio(None, None, None, "open", note))
    return HalfLives(before, after, _ratio(one, before, after, first, second))


def half_life_ratio(base: Rows, candidate: Rows, resampler: Resampler) -> HalfLifeRatio:
    """The ratio alone, see `half_lives`."""
    return half_lives(base, candidate, resampler).ratio


def _ratio(
    data: DistanceSlice,
    before: HalfLife,
    after: HalfLife,
    first: Floats | None,
    second: Floats | None,
) -> HalfLifeRatio:
    """Ratio of two measurable half-lives.

    Args:
        data: slice of the baseline; the candidate has the same rows.
        before: half-life of the baseline.
        after: half-life of the candidate.
        first: (B,) replicates of the baseline; None without.
        second: (B,) those of the candidate, from the same draws; None without.
    """
    if before.decay is None or after.decay is None:
        return HalfLifeRatio(None, None, None, "open", AT_GUESS_RATE)
    places = before.decay.place, after.decay.place
    direction = _direction(*places)
    if {place.state for place in places} != {"at"}:
        return HalfLifeRatio(None, None, None, direction, "censored")
    if first is None or second is None:
        return HalfLifeRatio(None, None, None, direction, NOT_ASKED)
    stable = ~(np.isnan(first) | np.isnan(second))
    one, two = first[stable], second[stable]
    sides = outside(one, before.decay), outside(two, after.decay)
    if not len(one) or ((sides[0] != 0) | (sides[1] != 0)).mean() > MAX_CENSORED_SHARE:
        return HalfLifeRatio(None, None, None, direction, "too many censored replicates")
    exponential = before.decay.exponential and after.decay.exponential
    notes = [] if exponential else [NOT_EXPONENTIAL]
    low, high = None, None
    if data.clusters < FEWEST_CLUSTERS:
        notes.append("too few clusters")
    elif len(one) < (1 - MAX_UNSTABLE_SHARE) * len(stable):
        notes.append(UNSTABLE)
    else:
        ranks = _log_ratios(one, two, *sides)
        bounds = [ranked_quantile(ranks, tail) for tail in expanded_tails(data.clusters)]
        low, high = (exp(bound) if np.isfinite(bound) else None for bound in bounds)
    value = after.decay.h / before.decay.h
    return HalfLifeRatio(value, low, high, direction, "; ".join(notes))


def _log_ratios(first: Floats, second: Floats, before: Ints, after: Ints) -> Floats:
    """Sorted ln(second / first), infinite where one is censored; censored alike leaves no order."""
    logs = np.log(second / first)
    logs = np.where(after > before, np.inf, np.where(after < before, -np.inf, logs))
    return np.sort(logs[(after != before) | (before == 0)])


def _direction(before: Crossing, after: Crossing) -> Direction:
    """Where the candidate's half-life lies from the baseline's."""
    order = {"before": 0, "at": 1, "beyond": 2}
    one, two = order[before.state], order[after.state]
    if one != two:
        return "longer" if two > one else "shorter"
    if before.state != "at":
        return "open"
    if after.at == before.at:
        return "same"
    return "longer" if after.at > before.at else "shorter"
