"""Differences of two R: between the ends and the middle of a history, and between two models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from qwen_bench.stats.clusters import Bools, Floats
from qwen_bench.stats.retention import NOT_MEASURABLE, Curve, Retention, curve, interval
from qwen_bench.stats.slices import FEWEST_BINS, Rows, distance_slices

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from qwen_bench.stats.bootstrap import Resampler

LOST_ABILITY = "lost ability"
GAINED_ABILITY = "gained ability"

Key = TypeVar("Key", bound="Hashable")


@dataclass(frozen=True, slots=True)
class Shift:
    """A difference of two R with its 95 % interval; `note` says why a number is missing."""

    value: float | None
    low: float | None
    high: float | None
    note: str = ""


def position_indices(rows: Rows, resampler: Resampler) -> tuple[Shift, Shift]:
    """Recency and primacy at the largest history length.

    Recency is R(nearest bin) - R(middle bins), primacy R(farthest bin) - R(middle bins), the middle
    bins pooled.

    Args:
        rows: of one model.
        resampler: source of the draws.
    """
    bins = list(distance_slices(rows).values())
    if len(bins) < FEWEST_BINS:
        missing = Shift(None, None, None, f"{NOT_MEASURABLE}: fewer than 3 distance bins")
        return missing, missing
    middle: Bools = np.logical_or.reduce(bins[1:-1])
    parts = curve(rows, {"near": bins[0], "middle": middle, "far": bins[-1]}, resampler)
    points, drawn = parts.points, parts.replicates
    return (
        _shift(points["middle"], points["near"], drawn[:, 1], drawn[:, 0]),
        _shift(points["middle"], points["far"], drawn[:, 1], drawn[:, 2]),
    )


def shifts(one: Curve[Key], two: Curve[Key]) -> dict[Key, Shift]:
    """R of the candidate minus R of the baseline, from the same resampled clusters.

    Where only one model is measurable there is no difference; the note is then "lost ability" or
    "gained ability".

    Args:
        one: the baseline's, over rows from `paired_rows`.
        two: the candidate's over the same slices, with a resampler of the same seed.
    """
    found: dict[Key, Shift] = {}
    for place, (key, before) in enumerate(one.points.items()):
        after = two.points[key]
        if (before.value is None) != (after.value is None):
            note = LOST_ABILITY if after.value is None else GAINED_ABILITY
            found[key] = Shift(None, None, None, note)
            continue
        drawn = [side.replicates[:, place] for side in (one, two)]
        found[key] = _shift(before, after, *drawn)
    return found


def change(
    base: Rows, candidate: Rows, slices: Mapping[Key, Bools], resampler: Resampler
) -> dict[Key, Shift]:
    """`shifts` from the rows.

    Args:
        base: baseline from `paired_rows`.
        candidate: its partner.
        slices: masks over the rows, the same for both.
        resampler: source of the draws.
    """
    return shifts(curve(base, slices, resampler), curve(candidate, slices, resampler))


def _shift(before: Retention, after: Retention, first: Floats, second: Floats) -> Shift:
    """Second R minus first R, with the interval of the paired replicates."""
    if before.value is None or after.value is None:
        return Shift(None, None, None, before.note or after.note)
    low, high, note = interval(second - first, min(before.clusters, after.clusters))
    return Shift(after.value - before.value, low, high, note)
