"""Paired differences as dots and intervals on the margin.

The strip shows the overall one in the verdict card; the forest has a row a history length, a row a
family, then all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen_bench.record.formats import bare, points, points_interval, turns
from qwen_bench.report.charts.svg import (
    BAD,
    FONT_SIZE,
    GOOD,
    GRID,
    MARGIN,
    MUTED,
    PAPER,
    SMALL,
    Chart,
    make_chart,
    mark_points,
    new_axes,
    new_figure,
)
from qwen_bench.report.untrusted_text import one_line, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qwen_bench.stats.results import Cell, ModeComparison

_ROW = 27
_GAP = 30
_LEFT = 190
_RIGHT = 300
_TOP = 30
_BOTTOM = 40


@dataclass(frozen=True, slots=True)
class ForestGroup:
    """Rows under one heading, as (name, cell)."""

    heading: str
    rows: tuple[tuple[str, Cell], ...]
    strong: bool = False


def strip_chart(slug: str, cell: Cell, margin: float) -> Chart:
    """The overall difference with its interval against the margin, for the verdict card."""
    return make_chart(
        lambda: _draw_strip(cell, margin=margin),
        slug,
        title="Overall difference against the margin",
        finding=f"{points(cell.difference)} points, 95 % interval "
        f"{points_interval(cell.low, cell.high)}, margin {bare(margin)}.",
    )


def forest_chart(slug: str, candidate: str, comparison: ModeComparison, margin: float) -> Chart:
    """Paired differences per length and family, and overall."""
    by_length, overall = comparison.by_length, comparison.overall
    groups = [
        ForestGroup("history length", tuple((turns(n), by_length[n]) for n in sorted(by_length))),
        ForestGroup("family", tuple(comparison.by_family.items())),
        ForestGroup("", (("all", overall),), strong=True),
    ]
    groups = [group for group in groups if group.rows]
    finding = (
        f"{plain(candidate)} against the baseline over all probes: {points(overall.difference)} "
        f"points, 95 % interval {points_interval(overall.low, overall.high)}. "
        f"{_lowest(by_length)}"
    ).strip()
    return make_chart(
        lambda: draw_forest(groups, margin=margin),
        slug,
        title=f"Paired difference: {plain(candidate)} minus baseline",
        finding=finding,
        hints={
            f"row-{number}-{place}": f"{name}: {points(cell.difference)} points "
            f"({points_interval(cell.low, cell.high)}), n {cell.n}"
            for number, group in enumerate(groups)
            for place, (name, cell) in enumerate(group.rows)
        },
    )


def _lowest(by_length: Mapping[int, Cell]) -> str:
    """The length with the lowest difference; a description, not a claim across rows."""
    if len(by_length) < 2:
        return ""
    length = min(by_length, key=lambda n: (by_length[n].difference, n))
    return (
        f"The lowest difference stands at {turns(length)}: "
        f"{points(by_length[length].difference)} points."
    )


def _draw_strip(cell: Cell, *, margin: float) -> Figure:
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


def draw_forest(groups: Sequence[ForestGroup], *, margin: float) -> Figure:
    """Draw dot and interval per row, the margin shaded, numbers and word in a column.

    The axis is symmetric around 0 and never cuts an interval. A row without an interval has a
    hollow mark and says so.

    Args:
        groups: top to bottom; headings are set in small muted type.
        margin: as a fraction.
    """
    height = sum(_GAP + _ROW * len(group.rows) for group in groups)
    figure = new_figure(900, _TOP + height + _BOTTOM)
    axes = new_axes(figure, left=_LEFT, right=_RIGHT, top=_TOP, bottom=_BOTTOM)
    limit = _limit([cell for group in groups for _, cell in group.rows], margin)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(height, 0)
    mark_points(axes, limit)
    axes.set_yticks([])
    axes.tick_params(colors=MUTED, labelsize=SMALL)
    axes.axvspan(-margin, margin, color=MARGIN, linewidth=0, gid="margin")
    axes.grid(axis="x", color=GRID, linewidth=1)
    axes.axvline(0, color=MUTED, linewidth=1.4)
    axes.set_xlabel("candidate minus baseline, points", color=MUTED, fontsize=SMALL, labelpad=6)
    for x, words, anchor in ((1.27, "points", "right"), (1.34, "95 % interval", "left")):
        axes.text(limit * x, -12, words, color=MUTED, fontsize=SMALL, ha=anchor, va="center")
    axes.text(0, -12, "margin", color=MUTED, fontsize=SMALL, ha="center", va="center")

    y = 0.0
    for number, group in enumerate(groups):
        axes.text(
            -limit * 1.05, y + _GAP * 0.58, group.heading, ha="right", va="center",
            color=MUTED, fontsize=SMALL,
        )  # fmt: skip
        y += _GAP
        for place, (name, cell) in enumerate(group.rows):
            _row(
                axes,
                y + _ROW / 2,
                name,
                cell,
                limit,
                gid=f"row-{number}-{place}",
                strong=group.strong,
            )
            y += _ROW
    return figure


def _row(
    axes: Axes, y: float, name: str, cell: Cell, limit: float, *, gid: str, strong: bool
) -> None:
    colour, marker = {"regressed": (BAD, "v"), "improved": (GOOD, "^")}.get(
        cell.word or "", ("#000000", "o")
    )
    weight = "bold" if strong else "normal"
    known = cell.low is not None and cell.high is not None
    if cell.low is not None and cell.high is not None:
        axes.plot(
            [cell.low, cell.high],
            [y, y],
            color=colour,
            linewidth=3 if strong else 2,
            solid_capstyle="round",
        )
    axes.plot(
        [cell.difference],
        [y],
        marker=marker,
        markersize=11 if strong else 9,
        color=colour if known else PAPER,
        markeredgecolor=PAPER if known else colour,
        markeredgewidth=1,
        clip_on=False,
        gid=gid,
    )
    axes.text(
        -limit * 1.05,
        y,
        one_line(name),
        ha="right",
        va="center",
        fontsize=FONT_SIZE,
        fontweight=weight,
    )
    axes.text(
        limit * 1.27, y, points(cell.difference), ha="right", va="center",
        fontsize=FONT_SIZE, fontweight=weight, color=colour,
    )  # fmt: skip
    axes.text(
        limit * 1.34, y, points_interval(cell.low, cell.high), va="center", fontsize=SMALL,
        color=MUTED,
    )  # fmt: skip
    if cell.word:
        axes.text(
            limit * 1.94, y, cell.word, va="center", fontsize=SMALL, color=colour, fontweight=weight
        )


def _limit(cells: Sequence[Cell], margin: float) -> float:
    """Half width of the axis: every interval and the margin fit with some air."""
    ends = [margin, 0.02]
    for cell in cells:
        ends += [abs(end) for end in (cell.low, cell.high, cell.difference) if end is not None]
    return 1.08 * max(ends)
