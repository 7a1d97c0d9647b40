"""Where a curve that should only fall crosses one half.

The fit is non-increasing (pool adjacent violators), the crossing linear between two points; nothing
is extrapolated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qwen_bench.stats.results import Cell

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where a falling curve crosses a level.

    Attributes:
        state: `at` a place between two points, `beyond` the last point, or `before` the first.
        at: the place; the last or the first point where it lies outside.
    """

    state: Literal["at", "beyond", "before"]
    at: float


def non_increasing(values: Sequence[float], weights: Sequence[float]) -> tuple[float, ...]:
    """Weighted least-squares non-increasing fit by pooling adjacent violators.

    Args:
        values: (points,) in the order of the axis.
        weights: (points,) positive, usually numbers of probes.
    """
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        mean, total, size = value, weight, 1
        while blocks and blocks[-1][0] < mean:
            last_mean, last_total, last_size = blocks.pop()
            mean = (last_mean * last_total + mean * total) / (last_total + total)
            total, size = last_total + total, last_size + size
        blocks.append((mean, total, size))
    return tuple(mean for mean, _, size in blocks for _ in range(size))


def crossing(
    places: Sequence[float],
    values: Sequence[float],
    weights: Sequence[float],
    level: float = 0.5,
) -> Crossing:
    """First crossing of a level by the non-increasing fit.

    Args:
        places: (points,) increasing, for example history lengths.
        values: (points,) the curve.
        weights: (points,) positive.
        level: height to cross; a point exactly there has not crossed.

    Raises:
        ValueError: no points.
    """
    if not places:
        raise ValueError("a curve without points crosses nothing")
    fit = non_increasing(values, weights)
    below = [value < level - _ROUNDING for value in fit]
    if below[0]:
        return Crossing("before", places[0])
    if not below[-1]:
        return Crossing("beyond", places[-1])
    k = below.index(True)
    share = (fit[k - 1] - level) / (fit[k - 1] - fit[k])
    return Crossing("at", places[k - 1] + share * (places[k] - places[k - 1]))


def falls_under_half(by_length: Mapping[int, Cell]) -> tuple[Crossing, Crossing] | None:
    """Where plain accuracy of baseline and candidate falls under 50 % over history length.

    Args:
        by_length: cells of the main condition; weights are their numbers of pairs.

    Returns:
        Baseline and candidate, in user turns; None without lengths.
    """
    if not by_length:
        return None
    lengths = sorted(by_length)
    weights = [by_length[length].n for length in lengths]
    base = crossing(lengths, [by_length[length].base for length in lengths], weights)
    candidate = crossing(lengths, [by_length[length].candidate for length in lengths], weights)
    return base, candidate


def crosses_elsewhere(
    place: Crossing, places: Sequence[float], values: Sequence[float], level: float = 0.5
) -> bool:
    """Whether a point lies on the other side of the level than the crossing of the fit says.

    Args:
        place: from `crossing`.
        places: (points,) the axis.
        values: (points,) the curve itself.
        level: as for `crossing`.
    """
    first_below = {"before": -math.inf, "at": place.at, "beyond": math.inf}[place.state]
    return any(
        (value < level - _ROUNDING) != (at > first_below)
        for at, value in zip(places, values, strict=True)
    )


def crossing_words(place: Crossing) -> str:
    """Words for "falls under 50 %: base ..."; lengths in user turns."""
    turns = round(place.at)
    unit = "turn" if turns == 1 else "turns"
    if place.state == "beyond":
        return f"beyond {turns} {unit}"
    if place.state == "before":
        return f"already at {turns} {unit}"
    return f"at about {turns} {unit}"
