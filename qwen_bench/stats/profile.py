"""How much one model keeps: accuracy, retention, effective history length and half-life of a run.

One scorer, one set of families and one language (or all) at a time; nothing is averaged over
scorers.

Effective history length (EHL) is the largest checkpoint T such that R(T') >= 0.85 for every
T' <= T (85 % of base as in NoLiMa, chance-corrected); the strict form asks it of the lower 95 %
bound, the absolute form compares plain accuracy with RULER's threshold. "For every shorter length"
settles curves that recover after a drop: the recovery does not count. Nothing is extrapolated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from qwen_bench.record.outcome import final_outcomes
from qwen_bench.stats.arrays import Floats, Ints
from qwen_bench.stats.bootstrap import REPLICATES, Resampler
from qwen_bench.stats.clusters import (
    Bin,
    ModelRows,
    distance_slices,
    length_slices,
    level_slices,
    load_slices,
    make_rows,
)
from qwen_bench.stats.half_life import REPLICATES as FITS
from qwen_bench.stats.half_life import HalfLife, half_life
from qwen_bench.stats.retention import (
    Retention,
    RetentionCurve,
    Shift,
    control_rates,
    curve,
    position_indices,
    unmeasurable,
)
from qwen_bench.stats.span import Span, spans

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from qwen_bench.record.outcome import Outcome

RETAINED = 0.85
RULER = 0.856
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class EffectiveLength:
    """A step of the checkpoints.

    Attributes:
        state: `before` if the first checkpoint fails already, `beyond` if all pass, else `at`.
        turns: the first checkpoint, the last one, or the largest that passes.
    """

    state: Literal["before", "at", "beyond"]
    turns: int

    @property
    def text(self) -> str:
        """As it is printed: ``< 1``, ``8`` or ``>= 32``."""
        sign = {"before": "< ", "at": "", "beyond": ">= "}[self.state]
        return f"{sign}{self.turns}"


@dataclass(frozen=True, slots=True)
class EffectiveLengths:
    """The three forms of the effective history length of one model.

    Attributes:
        ehl: None where fewer than two checkpoints are measurable.
        strict: None where a lower bound is missing as well.
        absolute: None with fewer than two checkpoints; needs no controls.
        shares: share of the bootstrap replicates by text of the step, in the order of the steps;
            EHL is a step function and has neither interval nor p-value.
        checkpoints: history lengths with a measurable R, those EHL is read from.
    """

    ehl: EffectiveLength | None
    strict: EffectiveLength | None
    absolute: EffectiveLength | None
    shares: Mapping[str, float]
    checkpoints: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """What one run says about how much a model keeps.

    Attributes:
        families: in view, sorted.
        lang: language in view; None for all of the run.
        blind, adjacent: g and acc0 over all that was asked; None without such rows. Every slice
            has its own, see `Retention`.
        note: why R is not measurable; empty if it is.
        by_length: accuracy and R over history length.
        by_distance: the same over distance bins at the largest history length.
        by_load: the same for near evidence (distance 2 or less) over history length.
        by_level: the same over levels; empty where the suite has none.
        spans: highest level kept by history length; empty where the suite has no levels.
        recency: R in the nearest distance bin minus R in the middle ones.
        primacy: R in the farthest distance bin minus R in the middle ones.
        history: effective history length in its three forms.
        half_life: with its fit check and the isotonic crossing.
    """

    families: tuple[str, ...]
    lang: str | None
    blind: float | None
    adjacent: float | None
    note: str
    by_length: Mapping[int, Retention]
    by_distance: Mapping[Bin, Retention]
    by_load: Mapping[int, Retention]
    by_level: Mapping[int, Retention]
    spans: Mapping[int, Span]
    recency: Shift
    primacy: Shift
    history: EffectiveLengths
    half_life: HalfLife


@dataclass(frozen=True, slots=True)
class RetentionCurves:
    """R over the four axes, with the replicates of each."""

    by_length: RetentionCurve[int]
    by_distance: RetentionCurve[Bin]
    by_load: RetentionCurve[int]
    by_level: RetentionCurve[int]


def profile(
    outcomes: Iterable[Outcome],
    *,
    mode: str,
    families: Collection[str] | None = None,
    lang: str | None = None,
    seed: int = 0,
    replicates: int = REPLICATES,
    fits: int = FITS,
) -> Profile:
    """Profile of one run under one scorer.

    Args:
        outcomes: rows of the run in any order, superseded ones may be among them.
        mode: scorer, `generate` or `rank`.
        families: those in view; None for all of the run.
        lang: language in view; None for all of the run.
        seed: of the bootstrap, 0 or more.
        replicates: bootstrap replicates of R.
        fits: bootstrap replicates of the half-life; each is a fit.

    Raises:
        ValueError: no row of the main condition is in view.
    """
    rows = make_rows(
        row
        for row in final_outcomes(outcomes)
        if row.mode == mode
        and (families is None or row.family in families)
        and (lang is None or row.lang == lang)
    )
    half = half_life(rows, Resampler(seed, fits))
    resampler = Resampler(seed, replicates)
    return assemble(rows, curves(rows, resampler), half, resampler, lang=lang)


def curves(rows: ModelRows, resampler: Resampler) -> RetentionCurves:
    """R over history length, distance, load and level."""
    return RetentionCurves(
        by_length=curve(rows, length_slices(rows), resampler),
        by_distance=curve(rows, distance_slices(rows), resampler),
        by_load=curve(rows, load_slices(rows), resampler),
        by_level=curve(rows, level_slices(rows), resampler, alone=True),
    )


def assemble(
    rows: ModelRows,
    found: RetentionCurves,
    half: HalfLife,
    resampler: Resampler,
    *,
    lang: str | None,
) -> Profile:
    """The profile of one model from its parts."""
    recency, primacy = position_indices(rows, resampler)
    blind, adjacent = control_rates(rows)
    return Profile(
        families=rows.families,
        lang=lang,
        blind=blind,
        adjacent=adjacent,
        note=unmeasurable(blind, adjacent),
        by_length=found.by_length.points,
        by_distance=found.by_distance.points,
        by_load=found.by_load.points,
        by_level=found.by_level.points,
        spans=spans(rows, resampler),
        recency=recency,
        primacy=primacy,
        history=effective_lengths(found.by_length),
        half_life=half,
    )


def steps_kept(values: Floats, threshold: float) -> Ints:
    """The rule: number of leading checkpoints that reach the threshold.

    Args:
        values: (..., checkpoints) by increasing history length.
        threshold: a value exactly there passes.

    Returns:
        (...) 0 to the number of checkpoints.
    """
    passed = np.asarray(values) >= threshold - _ROUNDING
    return np.asarray(np.cumprod(passed, axis=-1).sum(axis=-1), dtype=np.int64)


def step(lengths: Sequence[int], kept: int) -> EffectiveLength:
    """The effective length when the first `kept` of the increasing checkpoints pass."""
    if kept == 0:
        return EffectiveLength("before", lengths[0])
    return EffectiveLength("beyond" if kept == len(lengths) else "at", lengths[kept - 1])


def effective_length(
    lengths: Sequence[int], values: Sequence[float], threshold: float = RETAINED
) -> EffectiveLength | None:
    """Effective history length of one curve.

    Args:
        lengths: increasing checkpoints in user turns.
        values: R, its lower bounds, or plain accuracies, one a checkpoint.
        threshold: 0.85 for R, 0.856 for plain accuracy.

    Returns:
        None with fewer than two checkpoints.
    """
    if len(lengths) < 2:
        return None
    return step(lengths, int(steps_kept(np.array(values, dtype=np.float64), threshold)))


def effective_lengths(curve: RetentionCurve[int]) -> EffectiveLengths:
    """All forms from R over increasing history lengths.

    A checkpoint at which R is not measurable can neither pass nor fail; it is left out of EHL.
    """
    places = [i for i, point in enumerate(curve.points.values()) if point.value is not None]
    lengths = tuple(curve.points)
    accuracies = [point.accuracy for point in curve.points.values()]
    kept = tuple(lengths[i] for i in places)
    points = [curve.points[length] for length in kept]
    lows = [point.low for point in points if point.low is not None]
    return EffectiveLengths(
        ehl=effective_length(kept, [point.value for point in points if point.value is not None]),
        strict=effective_length(kept, lows) if len(lows) == len(points) else None,
        absolute=effective_length(lengths, accuracies, RULER),
        shares=step_shares(kept, curve.replicates[:, places]),
        checkpoints=kept,
    )


def step_shares(lengths: Sequence[int], replicates: Floats) -> dict[str, float]:
    """Share of bootstrap replicates at each step, steps without one left out.

    Args:
        lengths: increasing checkpoints.
        replicates: (B, checkpoints) R; replicates with an unstable (NaN) checkpoint are left out.
    """
    stable = replicates[~np.isnan(replicates).any(axis=1)]
    if len(lengths) < 2 or not len(stable):
        return {}
    counts = np.bincount(steps_kept(stable, RETAINED), minlength=len(lengths) + 1)
    return {
        step(lengths, kept).text: float(count) / len(stable)
        for kept, count in enumerate(counts)
        if count
    }
