"""How much one model keeps: accuracy, retention, effective history length and half-life of a run.

One scorer, one set of families and one language (or all) at a time; nothing is averaged over
scorers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen_bench.record.outcome import final_outcomes
from qwen_bench.stats.bootstrap import REPLICATES, Resampler
from qwen_bench.stats.effective_length import EffectiveLengths, effective_lengths
from qwen_bench.stats.half_life import REPLICATES as FITS
from qwen_bench.stats.half_life import HalfLife, half_life
from qwen_bench.stats.retention import (
    Curve,
    Retention,
    control_rates,
    curve,
    unmeasurable,
)
from qwen_bench.stats.retention_change import Shift, position_indices
from qwen_bench.stats.slices import (
    Bin,
    Rows,
    distance_slices,
    length_slices,
    load_slices,
    make_rows,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from qwen_bench.record.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Profile:
    """What one run says about how much a model keeps.

    Attributes:
        families: in view, sorted.
        lang: language in view; None for all of the run.
        blind, adjacent: pooled g and acc0; None without such rows. A slice whose family shares
            differ from those of the controls has g and acc0 of its own, see `Retention`.
        note: why R is not measurable; empty if it is.
        by_length: accuracy and R over history length.
        by_distance: the same over distance bins at the largest history length.
        by_load: the same for near evidence (distance 2 or less) over history length.
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
    recency: Shift
    primacy: Shift
    history: EffectiveLengths
    half_life: HalfLife


@dataclass(frozen=True, slots=True)
class Curves:
    """R over the three axes, with the replicates of each."""

    by_length: Curve[int]
    by_distance: Curve[Bin]
    by_load: Curve[int]


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


def curves(rows: Rows, resampler: Resampler) -> Curves:
    """R over history length, distance and load.

    Args:
        rows: of one model.
        resampler: source of the draws.
    """
    return Curves(
        by_length=curve(rows, length_slices(rows), resampler),
        by_distance=curve(rows, distance_slices(rows), resampler),
        by_load=curve(rows, load_slices(rows), resampler),
    )


def assemble(
    rows: Rows, found: Curves, half: HalfLife, resampler: Resampler, *, lang: str | None
) -> Profile:
    """The profile of one model from its parts.

    Args:
        rows: of the model.
        found: its curves.
        half: its half-life.
        resampler: source of the draws for the position indices.
        lang: language in view; None for all of the run.
    """
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
        recency=recency,
        primacy=primacy,
        history=effective_lengths(found.by_length),
        half_life=half,
    )
