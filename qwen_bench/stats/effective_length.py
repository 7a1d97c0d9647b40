"""Up to which history length a model keeps what it can do at zero distance.

Effective history length (EHL) is the largest checkpoint T such that R(T') >= 0.85 for every
T' <= T (85 % of base as in NoLiMa, chance-corrected); the strict form asks it of the lower 95 %
bound, the absolute form compares plain accuracy with RULER's threshold. "For every shorter length"
settles curves that recover after a drop: the recovery does not count. Nothing is extrapolated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from qwen_bench.stats.clusters import Floats, Ints

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qwen_bench.stats.retention import Curve

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


def effective_lengths(curve: Curve[int]) -> EffectiveLengths:
    """All forms from R over history length.

    A checkpoint at which R is not measurable can neither pass nor fail; it is left out of EHL.

    Args:
        curve: over the length slices, increasing.
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
