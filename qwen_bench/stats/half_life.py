"""Distance at which half of a model's ability is left, at the largest history length.

Two figures stand beside each other: the half-life h of an exponential decay, with a check whether
the curve has that form, and the place where the isotonic fit of R crosses one half, which needs no
form and leads where the check fails. Both are censored to the distances that were asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from qwen_bench.stats.arrays import Floats, Ints
from qwen_bench.stats.clusters import FEWEST_BINS, ModelRows, distance_slices
from qwen_bench.stats.decay import LEAST_SPAN, Decay, censored, fit, fit_many
from qwen_bench.stats.intervals import FEWEST_CLUSTERS
from qwen_bench.stats.isotonic import Crossing, crossing
from qwen_bench.stats.retention import (
    MAX_UNSTABLE_SHARE,
    NOT_MEASURABLE,
    STABLE,
    UNSTABLE,
    Totals,
    control_rates,
    unmeasurable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.stats.arrays import Bools
    from qwen_bench.stats.bootstrap import Resampler

REPLICATES = 1_000
NOT_EXPONENTIAL = "not exponential"
AT_GUESS_RATE = f"{NOT_MEASURABLE}: accuracy is at the guess rate at every distance"
_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class HalfLife:
    """Half-life of one model.

    Attributes:
        decay: the fit; None where it is not measurable.
        low, high: 95 % bounds, censored like the half-life; both None without an interval.
        crossing: where the isotonic fit of R crosses one half, in mean distance of the bins;
            `beyond` names the largest distance.
        censored: share of the bootstrap replicates outside the distances asked.
        note: why a number is missing, or "not exponential"; empty otherwise.
    """

    decay: Decay | None
    low: Crossing | None
    high: Crossing | None
    crossing: Crossing | None
    censored: float
    note: str

    @property
    def text(self) -> str:
        """As it is printed: ``12.0``, ``> 63``, ``< 3`` or ``not exponential; crossing 11.0``."""
        if self.decay is None:
            return NOT_MEASURABLE
        if self.decay.exponential or self.crossing is None:
            return place_text(self.decay.place)
        return f"{NOT_EXPONENTIAL}; crossing {place_text(self.crossing)}"


def place_text(place: Crossing) -> str:
    """A distance as it is printed: ``12.0``, ``> 63``, ``< 3``, ``before the first bin``."""
    if place.state == "at":
        return f"{place.at:.1f}"
    # The first bin is usually distance 0, and nothing is nearer than that.
    if place.state == "before" and place.at < 1:
        return "before the first bin"
    return f"{'>' if place.state == 'beyond' else '<'} {place.at:g}"


def half_life(rows: ModelRows, resampler: Resampler | None) -> HalfLife:
    """Half-life and crossing at the largest history length.

    Args:
        rows: of one model.
        resampler: source of the draws; 1,000 replicates are the default of this statistic, each
            is a fit. None leaves out the interval.
    """
    data = distance_slice(rows)
    if isinstance(data, str) or resampler is None:
        return with_interval(data, None)
    return with_interval(data, data.replicates(resampler))


def with_interval(data: DistanceSlice | str, drawn: Floats | None) -> HalfLife:
    """The half-life of a distance slice.

    Args:
        data: the slice, or why there is no half-life.
        drawn: (B,) half-lives of the bootstrap replicates; None leaves out the interval.
    """
    if isinstance(data, str):
        return HalfLife(None, None, None, None, 0.0, data)
    decay, place = data.fit(), data.crossing()
    if decay.flat:
        return HalfLife(None, None, None, place, 0.0, AT_GUESS_RATE)
    notes = [] if decay.exponential else [NOT_EXPONENTIAL]
    low, high, share = None, None, 0.0
    if drawn is not None:
        stable = drawn[~np.isnan(drawn)]
        side = outside(stable, decay)
        share = float((side != 0).mean()) if len(stable) else 0.0
        if data.clusters < FEWEST_CLUSTERS:
            notes.append("too few clusters")
        elif len(stable) < (1 - MAX_UNSTABLE_SHARE) * len(drawn):
            notes.append(UNSTABLE)
        else:
            ranks = np.sort(np.where(side > 0, np.inf, np.where(side < 0, 0.0, stable)))
            low, high = (
                censored(ranked_quantile(ranks, tail), decay.shortest, decay.longest)
                for tail in expanded_tails(data.clusters)
            )
    return HalfLife(decay, low, high, place, share, "; ".join(notes))


@dataclass(frozen=True, slots=True)
class DistanceSlice:
    """The distance slice of one model.

    Attributes:
        rows: of the model.
        bins: (rows,) mask of each distance bin, nearest first.
        chosen: (rows,) their union.
        distances: (D,) distinct distances, increasing.
        place: (rows chosen,) index of each row's distance.
        guess: g in the family shares of the slice.
    """

    rows: ModelRows
    bins: Sequence[Bools]
    chosen: Bools
    distances: Ints
    place: Ints
    guess: float

    @property
    def clusters(self) -> int:
        """Number of clusters in the slice."""
        return len(np.unique(self.rows.cluster[self.chosen]))

    def fit(self) -> Decay:
        """The fit over exact distances, checked over the bins."""
        counts = self._by_cluster().sum(axis=0)
        of_bin = np.zeros(len(self.distances), dtype=np.int64)
        for number, mask in enumerate(self.bins):
            of_bin[np.isin(self.distances, self.rows.distance[mask])] = number
        right, asked = np.hsplit(counts, 2)
        return fit(
            self.distances.tolist(), right.tolist(), asked.tolist(), self.guess, of_bin.tolist()
        )

    def crossing(self) -> Crossing:
        """First crossing of one half by the isotonic fit of R over the bins."""
        ratios = Totals(self.rows, self.bins).rates().ratio[0]
        known = [i for i in range(len(self.bins)) if not np.isnan(ratios[i])]
        place = crossing(
            [float(self.rows.distance[self.bins[i]].mean()) for i in known],
            [float(ratios[i]) for i in known],
            [int(self.bins[i].sum()) for i in known],
        )
        return Crossing("beyond", float(self.distances[-1])) if place.state == "beyond" else place

    def replicates(self, resampler: Resampler) -> Floats:
        """(B,) half-lives with g estimated anew; NaN where unstable or at the guess rate."""
        columns = self._by_cluster().astype(np.float32)
        controls = Totals(self.rows, [self.chosen])
        found = []
        for piece in resampler.draws(self.rows.strata, 0):
            rates = controls.rates(piece)
            blind, span = rates.blind[:, 0], (rates.adjacent - rates.blind)[:, 0]
            right, asked = np.hsplit((piece @ columns).astype(np.float64), 2)
            h, a = np.full(len(piece), np.nan), np.full(len(piece), np.nan)
            good = (span >= STABLE - _TOLERANCE) & (asked.sum(axis=1) > 0)
            distances = self.distances.astype(np.float64)
            if good.any():
                h[good], a[good] = fit_many(distances, right[good], asked[good], blind[good])
            h[a <= blind + LEAST_SPAN + _TOLERANCE] = np.nan
            found.append(h)
        return np.concatenate(found)

    def _by_cluster(self) -> Floats:
        """(clusters, 2 D) right answers and probes at each distance."""
        clusters, width = sum(size for _, size in self.rows.strata), len(self.distances)
        flat = self.rows.cluster[self.chosen] * width + self.place
        value = self.rows.value[self.chosen].astype(np.float64)
        right = np.bincount(flat, weights=value, minlength=clusters * width)
        asked = np.bincount(flat, minlength=clusters * width)
        shape = (clusters, width)
        return np.hstack([right.reshape(shape), asked.reshape(shape).astype(np.float64)])


def distance_slice(rows: ModelRows) -> DistanceSlice | str:
    """The distance slice, or why there is no half-life."""
    bins = list(distance_slices(rows).values())
    if len(bins) < FEWEST_BINS:
        return f"{NOT_MEASURABLE}: fewer than 3 distance bins"
    chosen: Bools = np.logical_or.reduce(bins)
    rates = Totals(rows, [chosen]).rates()
    blind, adjacent = float(rates.blind[0, 0]), float(rates.adjacent[0, 0])
    missing = np.isnan(blind) or np.isnan(adjacent)
    why = unmeasurable(*control_rates(rows)) or unmeasurable(
        None if missing else blind, None if missing else adjacent
    )
    if why:
        return why
    distances, place = np.unique(rows.distance[chosen], return_inverse=True)
    return DistanceSlice(rows, bins, chosen, distances, place, blind)


def outside(h: Floats, decay: Decay) -> Ints:
    """1 above the largest distance, -1 below the smallest positive one, else 0."""
    above, below = h > decay.longest, h < decay.shortest
    return above.astype(np.int64) - below.astype(np.int64)


def expanded_tails(clusters: int) -> tuple[float, float]:
    """Quantiles of the replicates that bound a 95 % interval: a little outside .025 and .975.

    The plain percentile interval is too short by the factor sqrt((K - 1) / K) and by using the
    normal's tails for Student's. Formula: Phi(-sqrt(K / (K - 1)) t(.975, K - 1)), the expanded
    percentile interval of Hesterberg 2015 (arXiv 1411.5279), with t by the Cornish-Fisher series.

    >>> [round(tail, 4) for tail in expanded_tails(60)]
    [0.0218, 0.9782]
    """
    z, free = NormalDist().inv_cdf(0.975), clusters - 1
    student = (
        z
        + (z**3 + z) / (4 * free)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3)
    )
    tail = NormalDist().cdf(-sqrt(clusters / free) * student)
    return tail, 1 - tail


def ranked_quantile(ranks: Floats, share: float) -> float:
    """Quantile of sorted numbers, linear between order statistics; infinite ones stay so."""
    place = share * (len(ranks) - 1)
    low, high = float(ranks[floor(place)]), float(ranks[min(floor(place) + 1, len(ranks) - 1)])
    part = place - floor(place)
    return low if part == 0 or low == high else low + part * (high - low)
