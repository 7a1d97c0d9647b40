"""How much of a model's ability at zero distance is left, once guessing is taken out.

R(x) = (acc(x) - g) / (acc0 - g) with acc the accuracy in slice x of the main condition, g the blind
and acc0 the adjacent accuracy. NoLiMa divides by a base score and leaves chance in; LongBench v2
measures a rate without context and subtracts nothing; R does both.

Rows are pooled over the families in view. g and acc0 are those of the very questions of the slice,
each as often as the slice asks it (`controls`): a model that loses nothing has R = 1 in every
slice, whatever the slice is made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from qwen_bench.stats.clusters import FEWEST_BINS, ModelRows, distance_slices
from qwen_bench.stats.intervals import FEWEST_CLUSTERS

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from qwen_bench.stats.arrays import Bools, Floats, Ints
    from qwen_bench.stats.bootstrap import Multiplicities, Resampler
    from qwen_bench.stats.controls import Controls

MEASURABLE = 0.2
STABLE = 0.05
GUESSABLE = 0.10
NOT_MEASURABLE = "not measurable"
UNSTABLE = "unstable: accuracy at distance 0 is near blind accuracy"
MAX_UNSTABLE_SHARE = 0.01
TAILS = (0.025, 0.975)
_ROUNDING = 1e-12

Key = TypeVar("Key", bound="Hashable")


def guess_corrected(accuracy: float, blind: float, adjacent: float) -> float | None:
    """R = (accuracy - blind) / (adjacent - blind), not clipped.

    Args:
        accuracy: share of right answers in the slice.
        blind: g, without the history.
        adjacent: acc0, with the evidence alone directly before the question.

    Returns:
        None where it is not measurable: with adjacent - blind < 0.2 the task is not solved even at
        distance 0, and a ratio would be noise.
    """
    if adjacent - blind < MEASURABLE - _ROUNDING:
        return None
    return (accuracy - blind) / (adjacent - blind)


def guessable(blind: float, chance: float) -> bool:
    """Whether a family's blind accuracy lies more than 0.10 above its declared chance."""
    return blind > chance + GUESSABLE + _ROUNDING


@dataclass(frozen=True, slots=True)
class Retention:
    """One slice of one model.

    Attributes:
        n: probes, failures included.
        clusters: clusters with a probe in the slice.
        accuracy: pooled.
        blind, adjacent: g and acc0 of the questions of the slice; None without control rows.
        value: R; None where it is not measurable.
        low, high: 95 % interval of R, both None without one.
        note: why a number is missing, or "zero variance"; empty otherwise.
    """

    n: int
    clusters: int
    accuracy: float
    blind: float | None
    adjacent: float | None
    value: float | None
    low: float | None
    high: float | None
    note: str


@dataclass(frozen=True, slots=True)
class RetentionCurve(Generic[Key]):
    """R over the slices of one axis.

    Attributes:
        points: by slice, in the order of the slices.
        replicates: (B, points) R of the bootstrap replicates; NaN where adjacent - blind < 0.05.
            B is 0 where R is not measurable.
    """

    points: Mapping[Key, Retention]
    replicates: Floats


@dataclass(frozen=True, slots=True)
class Rates:
    """Accuracies and the controls that belong to them, each (draws, slices); NaN without rows."""

    accuracy: Floats
    blind: Floats
    adjacent: Floats

    @property
    def ratio(self) -> Floats:
        """(draws, slices) R; NaN where adjacent - blind < 0.05."""
        span = self.adjacent - self.blind
        unknown = np.full(span.shape, np.nan)
        stable = span >= STABLE - _ROUNDING
        ratio = np.divide(self.accuracy - self.blind, span, out=unknown, where=stable)
        return np.asarray(ratio, dtype=np.float64)


class Totals:
    """Sums by cluster from which the rates of some slices follow in any resample of clusters.

    Args:
        rows: of one model.
        masks: slices of the main condition, (rows,) each.
    """

    def __init__(self, rows: ModelRows, masks: Sequence[Bools]) -> None:
        columns = []
        for mask in masks:
            asked = np.flatnonzero(mask)
            sides = [(asked, np.ones(len(asked)))]
            sides += [_standing_for(control, mask) for control in (rows.blind, rows.adjacent)]
            for places, weights in sides:
                right = weights * rows.value[places]
                columns += [rows.by_cluster(places, right), rows.by_cluster(places, weights)]
        clusters = sum(size for _, size in rows.strata)
        self.columns = np.column_stack(columns) if columns else np.empty((clusters, 0))

    def rates(self, drawn: Multiplicities | None = None) -> Rates:
        """Rates of every slice.

        Args:
            drawn: (draws, clusters) how often each cluster counts; None takes each once.
        """
        if drawn is None:
            sums = self.columns.sum(axis=0, keepdims=True)
        else:
            sums = (drawn @ self.columns.astype(np.float32)).astype(np.float64)
        parts = sums.reshape(len(sums), sums.shape[1] // 6, 3, 2)
        ratios = _ratio(parts[..., 0], parts[..., 1])
        return Rates(ratios[..., 0], ratios[..., 1], ratios[..., 2])


def _standing_for(controls: Controls, mask: Bools) -> tuple[Ints, Floats]:
    """The controls of a slice and their weights; nothing where a row of it has none."""
    return controls.standing_for(mask if controls.cover(mask) else np.zeros_like(mask))


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Quotient of two arrays, NaN where the whole is 0."""
    unknown = np.full(part.shape, np.nan)
    return np.asarray(np.divide(part, whole, out=unknown, where=whole > 0), dtype=np.float64)


def control_rates(rows: ModelRows) -> tuple[float | None, float | None]:
    """Blind and adjacent accuracy (g, acc0) over all that was asked; None without such rows."""
    rates = Totals(rows, [rows.main]).rates()
    return _known(rates.blind[0, 0]), _known(rates.adjacent[0, 0])


def unmeasurable(blind: float | None, adjacent: float | None) -> str:
    """Why R does not exist at these controls; empty if it does."""
    if blind is None or adjacent is None:
        return f"{NOT_MEASURABLE}: no adjacent or blind rows"
    if guess_corrected(adjacent, blind, adjacent) is None:
        return f"{NOT_MEASURABLE}: accuracy at distance 0 is less than 0.2 above blind accuracy"
    return ""


def curve(
    rows: ModelRows, slices: Mapping[Key, Bools], resampler: Resampler, *, alone: bool = False
) -> RetentionCurve[Key]:
    """R of each slice with the cluster bootstrap of the whole ratio.

    Accuracy, blind and adjacent accuracy of a replicate come from the same resampled clusters.
    Below 10 clusters, or with more than 1 % unstable replicates, there is no interval.

    Args:
        rows: of one model.
        slices: masks over the rows, main condition only.
        resampler: source of the draws.
        alone: slices that differ in what they ask, as levels do, are measurable each by itself;
            otherwise none is where the whole is not.
    """
    totals = Totals(rows, list(slices.values()))
    rates = totals.rates()
    whole = "" if alone else unmeasurable(*control_rates(rows))
    drawn = np.empty((0, len(slices)))
    if slices and not whole:
        pieces = resampler.draws(rows.strata, 0)
        drawn = np.concatenate([totals.rates(piece).ratio for piece in pieces])
    points: dict[Key, Retention] = {}
    for place, (key, mask) in enumerate(slices.items()):
        accuracy = float(rates.accuracy[0, place])
        blind, adjacent = _known(rates.blind[0, place]), _known(rates.adjacent[0, place])
        note = whole or unmeasurable(blind, adjacent)
        value, low, high = None, None, None
        clusters = len(np.unique(rows.cluster[mask]))
        if not note and blind is not None and adjacent is not None:
            value = guess_corrected(accuracy, blind, adjacent)
            low, high, note = interval(drawn[:, place], clusters)
        points[key] = Retention(
            int(mask.sum()), clusters, accuracy, blind, adjacent, value, low, high, note
        )
    return RetentionCurve(points, drawn)


def interval(drawn: Floats, clusters: int) -> tuple[float | None, float | None, str]:
    """Percentile interval of replicates in which NaN is unstable.

    Args:
        drawn: (B,) replicates.
        clusters: number of clusters behind the statistic.

    Returns:
        Low, high and a note; low and high are None below 10 clusters and with more than 1 %
        unstable replicates.
    """
    if clusters < FEWEST_CLUSTERS:
        return None, None, "too few clusters"
    stable = drawn[~np.isnan(drawn)]
    if len(stable) < (1 - MAX_UNSTABLE_SHARE) * len(drawn):
        return None, None, UNSTABLE
    low, high = (float(bound) for bound in np.quantile(stable, TAILS))
    return low, high, "zero variance" if np.ptp(stable) <= _ROUNDING else ""


def _known(number: float) -> float | None:
    """The number as a float, None for NaN."""
    return None if np.isnan(number) else float(number)


@dataclass(frozen=True, slots=True)
class Shift:
    """A difference of two R with its 95 % interval; `note` says why a number is missing."""

    value: float | None
    low: float | None
    high: float | None
    note: str = ""


def position_indices(rows: ModelRows, resampler: Resampler) -> tuple[Shift, Shift]:
    """Recency and primacy at the largest history length.

    Recency is R(nearest bin) - R(middle bins), primacy R(farthest bin) - R(middle bins), the middle
    bins pooled.
    """
    bins = list(distance_slices(rows).values())
    if len(bins) < FEWEST_BINS:
        missing = Shift(None, None, None, f"{NOT_MEASURABLE}: fewer than 3 distance bins")
        return missing, missing
    middle: Bools = np.logical_or.reduce(bins[1:-1])
    parts = curve(rows, {"near": bins[0], "middle": middle, "far": bins[-1]}, resampler)
    points, drawn = parts.points, parts.replicates
    return (
        shift(points["middle"], points["near"], drawn[:, 1], drawn[:, 0]),
        shift(points["middle"], points["far"], drawn[:, 1], drawn[:, 2]),
    )


def shift(before: Retention, after: Retention, first: Floats, second: Floats) -> Shift:
    """Second R minus first R, with the interval of the paired replicates."""
    if before.value is None or after.value is None:
        return Shift(None, None, None, before.note or after.note)
    low, high, note = interval(second - first, min(before.clusters, after.clusters))
    return Shift(after.value - before.value, low, high, note)
