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
    INK,
    MARGIN,
    MUTED,
    SMALL,
    Chart,
    make_chart,
    mark_points,
    new_axes,
    new_figure,
    put_mark,
    put_text,
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
    _margin_axis(axes, 1.15 * _widest([cell], margin), margin, "points, margin shaded", pad=3)
    axes.set_ylim(-1, 1)
    axes.axhline(0, color=GRID, linewidth=1)
    axes.axvline(0, color=MUTED, linewidth=1.4)
    colour = {"regressed": BAD, "improved": GOOD}.get(cell.word or "", INK)
    _interval(axes, cell, 0, colour, width=4, size=14, edge=2.5)
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
    limit = 1.08 * _widest([cell for group in groups for _, cell in group.rows], margin)
    axes.set_ylim(height, 0)
    _margin_axis(axes, limit, margin, "candidate minus baseline, points", pad=6, gid="margin")
    axes.grid(axis="x", color=GRID, linewidth=1)
    axes.axvline(0, color=MUTED, linewidth=1.4)
    put_text(axes, limit * 1.27, -12, "points", ha="right")
    put_text(axes, limit * 1.34, -12, "95 % interval", ha="left")
    put_text(axes, 0, -12, "margin", ha="center")

    y = 0.0
    for number, group in enumerate(groups):
        put_text(axes, -limit * 1.05, y + _GAP * 0.58, group.heading, ha="right")
        y += _GAP
        for place, (name, cell) in enumerate(group.rows):
            gid = f"row-{number}-{place}"
            _row(axes, y + _ROW / 2, name, cell, limit, gid=gid, strong=group.strong)
            y += _ROW
    return figure


def _row(
    axes: Axes, y: float, name: str, cell: Cell, limit: float, *, gid: str, strong: bool
) -> None:
    colour, marker = {"regressed": (BAD, "v"), "improved": (GOOD, "^")}.get(
        cell.word or "", (INK, "o")
    )
    width, size = (3, 11) if strong else (2, 9)
    _interval(axes, cell, y, colour, width=width, size=size, edge=1, marker=marker, gid=gid)
    weight = {"fontweight": "bold" if strong else "normal"}
    large = {"ha": "right", "fontsize": FONT_SIZE, **weight}
    put_text(axes, -limit * 1.05, y, one_line(name), color=INK, **large)
    put_text(axes, limit * 1.27, y, points(cell.difference), color=colour, **large)
    put_text(axes, limit * 1.34, y, points_interval(cell.low, cell.high))
    if cell.word:
        put_text(axes, limit * 1.94, y, cell.word, color=colour, **weight)


def _interval(
    axes: Axes, cell: Cell, y: float, colour: str, *, width: float, size: float, edge: float,
    **style: str,
) -> None:  # fmt: skip
    """A difference with its interval; without one its mark is hollow."""
    known = cell.low is not None and cell.high is not None
    if cell.low is not None and cell.high is not None:
        ends = [cell.low, cell.high]
        axes.plot(ends, [y, y], color=colour, linewidth=width, solid_capstyle="round")
    put_mark(axes, cell.difference, y, colour, size, hollow=not known, edge=edge, **style)


def _margin_axis(
    axes: Axes, limit: float, margin: float, label: str, *, pad: float, gid: str | None = None
) -> None:
    """An axis of points, symmetric around 0, with the margin shaded."""
    mark_points(axes, limit)
    axes.set_yticks([])
    axes.tick_params(colors=MUTED, labelsize=SMALL)
    axes.set_xlabel(label, color=MUTED, fontsize=SMALL, labelpad=pad)
    axes.axvspan(-margin, margin, color=MARGIN, linewidth=0, gid=gid)


def _widest(cells: Sequence[Cell], margin: float) -> float:
    """What the axis must show: every interval and the margin."""
    ends = [end for cell in cells for end in (cell.low, cell.high, cell.difference)]
    return max(margin, 0.02, *(abs(end) for end in ends if end is not None))
