"""The overall difference as one interval on the margin: the picture in the verdict card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwen_bench.report.charts.style import (
    BAD,
    GOOD,
    GRID,
    MARGIN,
    MUTED,
    PAPER,
    SMALL,
    mark_points,
    new_axes,
    new_figure,
)
from qwen_bench.stats.results import Cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(cell: Cell, *, margin: float) -> Figure:
    """Draw dot, interval and margin on an axis symmetric around 0.

    Args:
        cell: the overall cell; without an interval only the hollow dot is drawn.
        margin: as a fraction.
    """
    figure = new_figure(400, 108)
    axes = new_axes(figure, left=24, right=24, top=10, bottom=40)
    ends = [abs(end) for end in (cell.low, cell.high, cell.difference) if end is not None]
    limit = 1.15 * max(margin, 0.02, *ends)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    mark_points(axes, limit)
    axes.tick_params(colors=MUTED, labelsize=SMALL)
    axes.set_xlabel("points, margin shaded", color=MUTED, fontsize=SMALL, labelpad=3)
    axes.axvspan(-margin, margin, color=MARGIN, linewidth=0)
    axes.axhline(0, color=GRID, linewidth=1)
    axes.axvline(0, color=MUTED, linewidth=1.4)
    colour = {"regressed": BAD, "improved": GOOD}.get(cell.word or "", "#000000")
    known = cell.low is not None and cell.high is not None
    if cell.low is not None and cell.high is not None:
        axes.plot([cell.low, cell.high], [0, 0], color=colour, linewidth=4, solid_capstyle="round")
    axes.plot(
        [cell.difference],
        [0],
        marker="o",
        markersize=14,
        color=colour if known else PAPER,
        markeredgecolor=PAPER if known else colour,
        markeredgewidth=2.5,
        clip_on=False,
    )
    return figure
