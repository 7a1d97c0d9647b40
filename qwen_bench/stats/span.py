"""Span: how much a model keeps at once, by history length.

The span at a history length is the highest level of memory load at which half of the ability is
left, guesses removed, there and at every lower level. A level whose task the model cannot do next
to the evidence is not kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qwen_bench.stats.clusters import length_slices, level_slices
from qwen_bench.stats.intervals import FEWEST_CLUSTERS
from qwen_bench.stats.retention import MEASURABLE, TAILS, Totals

if TYPE_CHECKING:
    from qwen_bench.stats.arrays import Bools, Ints
    from qwen_bench.stats.bootstrap import Resampler
    from qwen_bench.stats.clusters import ModelRows
    from qwen_bench.stats.retention import Rates

KEPT = 0.5
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Span:
    """The span at one history length.

    Attributes:
        level: highest level that is kept; 0 where not even the lowest is.
        highest: highest level asked; a span there is bounded by the suite.
        low, high: 95 % interval, levels; None without one.
        note: why the next level is not kept where that is not forgetting, or why there is no
            interval; empty otherwise.
    """

    level: int
    highest: int
    low: int | None
    high: int | None
    note: str = ""


def level_label(level: int) -> str:
    """A level in words: ``level 4``."""
    return f"level {level}"


def spans(rows: ModelRows, resampler: Resampler) -> dict[int, Span]:
    """Span of one model by history length; nothing where the suite has no levels.

    Args:
        rows: of the model.
        resampler: source of the draws.
    """
    levels = level_slices(rows)
    cells = {
        length: {level: at & mask for level, mask in levels.items() if (at & mask).any()}
        for length, at in length_slices(rows).items()
    }
    masks = [mask for found in cells.values() for mask in found.values()]
    if not masks:
        return {}
    totals = Totals(rows, masks)
    seen = totals.rates()
    drawn = np.concatenate([_kept(totals.rates(one)) for one in resampler.draws(rows.strata, 0)])
    found: dict[int, Span] = {}
    end = 0
    for length, by_level in cells.items():
        part = slice(end, end + len(by_level))
        end = part.stop
        names = (0, *by_level)
        reached = int(_steps(_kept(seen)[:, part])[0])
        notes = []
        if reached < len(by_level) and not _able(seen)[0, part][reached]:
            notes.append(f"{level_label(names[reached + 1])} is not measurable")
        low, high = None, None
        if min(len(np.unique(rows.cluster[mask])) for mask in by_level.values()) < FEWEST_CLUSTERS:
            notes.append("too few clusters")
        else:
            low, high = (names[step] for step in _bounds(_steps(drawn[:, part])))
        found[length] = Span(
            level=names[reached],
            highest=names[-1],
            low=low,
            high=high,
            note="; ".join(notes),
        )
    return found


def _bounds(steps: Ints) -> tuple[int, int]:
    """95 % bounds of the (draws,) replicates; nothing lies between two levels."""
    low, high = TAILS
    return (
        int(np.quantile(steps, low, method="lower")),
        int(np.quantile(steps, high, method="higher")),
    )


def _able(rates: Rates) -> Bools:
    """(draws, slices) where the model can do the task next to the evidence."""
    return np.asarray(rates.adjacent - rates.blind >= MEASURABLE - _ROUNDING)


def _kept(rates: Rates) -> Bools:
    """(draws, slices) where at least half of the ability is left; NaN is not."""
    return np.asarray(_able(rates) & (rates.ratio >= KEPT - _ROUNDING))


def _steps(kept: Bools) -> Ints:
    """(draws,) number of leading levels that are kept."""
    return np.asarray(np.cumprod(kept, axis=1).sum(axis=1), dtype=np.int64)
