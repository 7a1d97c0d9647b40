"""Lines with 95 % intervals over an ordinal axis, one a model, named at their ends.

Knows no statistic: what the values mean is up to the module that calls it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen_bench.report.charts.style import (
    DASHES,
    GRID,
    MARKER_SCALES,
    MARKERS,
    MUTED,
    PAPER,
    SERIES,
    SMALL,
    new_axes,
    new_figure,
    spread,
)
from qwen_bench.report.text import MINUS, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABEL_GAP = 0.104  # of the height of the axis; two lines of text
_LONGEST_NAME = 25
_AIR = 0.02
_BANDS_UP_TO = 2  # models; more bands cannot be told apart


@dataclass(frozen=True, slots=True)
class Point:
    """A value with its interval; low and high are None without one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One model.

    Attributes:
        points: by key of the axis; a key without a value is left out, and the line has a gap.
        end: second line of the label at the line's end.
        drop: key from which a line falls to the axis; None without.
    """

    label: str
    points: Mapping[str, Point]
    end: str
    drop: str | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line; with a name it is labelled like a model, without it is fine and dotted."""

    value: float
    name: str = ""
    end: str = ""


def draw(
    lines: Sequence[Line],
    ticks: Mapping[str, str],
    *,
    levels: Sequence[Level] = (),
    xlabel: str = "",
) -> Figure:
    """Draw one to five lines.

    The axis reaches from 0 to 100 % and further where a value or an interval does. Up to two models
    get shaded bands, more get bars side by side, which stay readable when they overlap.

    Args:
        lines: in the order of the runs; the order fixes colour, marker and dash.
        ticks: label of each key, in the order of the axis.
        levels: horizontal lines, as fractions.
        xlabel: what the keys are, where the ticks do not say it.
    """
    rows = max((label.count("\n") + 1 for label in ticks.values()), default=1)
    foot = 24 + 18 * rows + (22 if xlabel else 0)
    figure = new_figure(900, 352 + foot)
    axes = new_axes(figure, left=58, right=215, top=16, bottom=foot)
    bottom, top = _reach(lines)
    right = len(ticks) - 1 + 0.35
    axes.set_ylim(bottom - _AIR, top + _AIR)
    axes.set_xlim(-0.35, right)
    step = 0.25 if top - bottom <= 1.5 else 0.5
    marks = [step * k for k in range(math.ceil(bottom / step), math.floor(top / step) + 1)]
    axes.set_yticks(marks, [f"{100 * mark:.0f} %".replace("-", MINUS) for mark in marks])
    axes.tick_params(colors=MUTED, labelsize=SMALL)
    axes.set_xticks(range(len(ticks)), list(ticks.values()))
    for label in axes.get_xticklabels():
        label.set_linespacing(1.45)
    if xlabel:
        axes.set_xlabel(xlabel, color=MUTED, fontsize=SMALL, labelpad=8)
    axes.grid(axis="y", color=GRID, linewidth=1)
    for level in levels:
        dash = (0, (6, 3)) if level.name else (0, (2, 3))
        axes.axhline(level.value, color=MUTED, linewidth=1.2 if level.name else 1, linestyle=dash)
    places = {key: float(place) for place, key in enumerate(ticks)}
    for number, line in enumerate(lines):
        _draw_line(axes, number, line, places, of=len(lines))
    _end_labels(axes, lines, list(ticks), levels, right=right)
    return figure


def _reach(lines: Sequence[Line]) -> tuple[float, float]:
    """Lowest and highest value of the axis; intervals are never cut off."""
    ends = [0.0, 1.0]
    for line in lines:
        for point in line.points.values():
            ends += [end for end in (point.value, point.low, point.high) if end is not None]
    return min(ends), max(ends)


def _draw_line(
    axes: Axes, number: int, line: Line, places: Mapping[str, float], *, of: int
) -> None:
    """Band or bars, line, marks and drop of one model."""
    colour = SERIES[number]
    bands = of <= _BANDS_UP_TO
    shift = 0.0 if bands else 0.07 * (number - (of - 1) / 2)
    keys = [key for key in places if key in line.points]
    x = {key: places[key] + shift for key in keys}
    bounded = [
        (x[key], point.low, point.high)
        for key in keys
        if (point := line.points[key]).low is not None and point.high is not None
    ]
    if bands and len(bounded) > 1:
        axes.fill_between(
            [place for place, _, _ in bounded],
            [low for _, low, _ in bounded],
            [high for _, _, high in bounded],
            color=colour,
            alpha=0.13,
            linewidth=0,
            gid=f"band-{number}",
        )
    else:
        for place, low, high in bounded:
            axes.plot([place, place], [low, high], color=colour, linewidth=1.6, alpha=0.55)
    if line.drop in x:
        # Drops of two models at one place stand side by side.
        at = x[line.drop] + (0.03 * (2 * number - of + 1) if bands else 0.0)
        axes.plot(
            [at, at],
            [axes.get_ylim()[0], line.points[line.drop].value],
            color=colour,
            linewidth=1.6,
            linestyle=DASHES[number],
            gid=f"drop-{number}",
        )
    values = [line.points[key].value if key in line.points else math.nan for key in places]
    axes.plot(
        [place + shift for place in places.values()],
        values,
        color=colour,
        linestyle=DASHES[number],
        linewidth=2.4,
        gid=f"series-{number}",
    )
    for key in keys:
        axes.plot(
            [x[key]],
            [line.points[key].value],
            marker=MARKERS[number],
            markersize=8.5 * MARKER_SCALES[number],
            color=colour,
            markeredgecolor=PAPER,
            markeredgewidth=1.4,
            clip_on=False,
            gid=f"point-{number}-{key}",
        )


def _end_labels(
    axes: Axes,
    lines: Sequence[Line],
    keys: Sequence[str],
    levels: Sequence[Level],
    *,
    right: float,
) -> None:
    """Names at the line ends instead of a legend, moved apart where lines end close together."""
    wanted: list[tuple[float, str, str, bool]] = []
    for number, line in enumerate(lines):
        last = next((key for key in reversed(keys) if key in line.points), None)
        if last is not None:
            name = one_line(line.label)
            short = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
            wanted.append((line.points[last].value, f"{short}\n{line.end}", SERIES[number], True))
    wanted += [
        (level.value, f"{level.name}\n{level.end}", MUTED, False) for level in levels if level.name
    ]
    bottom, top = axes.get_ylim()
    apart = spread([value for value, *_ in wanted], _LABEL_GAP * (top - bottom), top=top - _AIR)
    for (_, text, colour, strong), y in zip(wanted, apart, strict=True):
        axes.text(
            right + 0.02 * (right + 0.35),
            y,
            text,
            color=colour,
            va="center",
            fontsize=SMALL,
            fontweight="bold" if strong else "normal",
            linespacing=1.3,
            clip_on=False,
        )
