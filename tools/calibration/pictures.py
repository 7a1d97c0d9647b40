"""The pictures of the calibration page: standalone SVG files for light and dark pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.patches import Rectangle

from qwen_bench.report import charts
from qwen_bench.report.charts.svg import (
    FONT_SIZE,
    GRID,
    MARGIN,
    MARKER_SCALES,
    MARKERS,
    MUTED,
    SERIES,
    SMALL,
    figure_to_svg,
    new_axes,
    new_figure,
    own_settings,
)
from tools.calibration.equal import ALPHA, MOST
from tools.calibration.results import Results, by_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EQUAL, COVERED = "calibration-equal.svg", "calibration-coverage.svg"
_ROW = 34
_LEFT, _RIGHT, _TOP, _BOTTOM = 290, 30, 58, 46
_WIDTH = 900
_LEAST = 0.84
_APART = 0.15
_STYLESHEET = Path(charts.__file__).parent.parent / "templates" / "report.css"
_COLOUR = re.compile(r"(--[\w-]+): light-dark\((#\w+), (#\w+)\)")


def pictures(results: Results) -> dict[str, str]:
    """Every picture as SVG text, by file name."""
    with own_settings():
        return {
            EQUAL: _standalone(
                _equal(results),
                "equal",
                "How often equal models are called changed",
                "Verdicts stay below 6 percent; a test over single probes does not.",
            ),
            COVERED: _standalone(
                _coverage(results),
                "coverage",
                "How often 95 percent intervals hold the truth",
                "A row an interval, a mark a number of skeletons; the band is 93 to 97 percent.",
            ),
        }


def _equal(results: Results) -> Figure:
    """Two marks a design: the verdict and the naive test."""
    rows: dict[str, list[float]] = {}
    for item in results.equal:
        design, _, what = item.name.rpartition(": ")
        if what.startswith(("verdict, margin 5", "McNemar")):
            rows.setdefault(design.removeprefix("design of "), []).append(item.share.rate)
    most = max(rate for rates in rows.values() for rate in rates)
    names = [name.split(":")[0] for name in rows]
    figure, axes = _rows(names, (0.0, most * 1.08))
    axes.add_patch(Rectangle((0, 0), MOST, len(rows), facecolor=MARGIN, edgecolor="none", zorder=0))
    axes.axvline(ALPHA, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    _marks(axes, list(rows.values()), ("verdict, margin 5", "test over single probes (not used)"))
    ticks = [step / 100 for step in range(0, int(most * 100) + 5, 5 if most < 0.35 else 10)]
    axes.set_xticks(ticks, [f"{100 * tick:.0f} %" for tick in ticks])
    axes.set_xlabel("equal models called changed", fontsize=SMALL, color=MUTED)
    return figure


def _coverage(results: Results) -> Figure:
    """A row an interval, a mark a number of clusters."""
    rows = by_name(results.covered)
    clusters = sorted({item.clusters for item in results.covered})
    figure, axes = _rows(list(rows), (_LEAST, 1.002))
    axes.add_patch(
        Rectangle((0.93, 0), 0.04, len(rows), facecolor=MARGIN, edgecolor="none", zorder=0)
    )
    axes.axvline(0.95, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    values = [
        [max(_LEAST, found[number].share.rate) for number in clusters] for found in rows.values()
    ]
    _marks(axes, values, [f"{number} skeletons" for number in clusters])
    ticks = [0.85, 0.90, 0.93, 0.95, 0.97, 1.0]
    axes.set_xticks(ticks, [f"{100 * tick:.0f} %" for tick in ticks])
    axes.set_xlabel("intervals that hold the truth", fontsize=SMALL, color=MUTED)
    return figure


def _rows(names: Sequence[str], limits: tuple[float, float]) -> tuple[Figure, Axes]:
    """An empty chart with one named row each, first on top."""
    figure = new_figure(_WIDTH, _TOP + _ROW * len(names) + _BOTTOM)
    axes = new_axes(figure, left=_LEFT, right=_RIGHT, top=_TOP, bottom=_BOTTOM)
    axes.set_xlim(*limits)
    axes.set_ylim(len(names), 0)
    axes.set_yticks([place + 0.5 for place in range(len(names))], list(names))
    axes.tick_params(labelsize=SMALL, colors=MUTED)
    axes.grid(visible=True, axis="x", color=GRID, linewidth=1)
    for label in axes.get_yticklabels():
        label.set(color="#000000", fontsize=FONT_SIZE)
    return figure, axes


def _marks(axes: Axes, values: Sequence[Sequence[float]], names: Sequence[str]) -> None:
    """One series a column of values, with its name above the chart."""
    for number, name in enumerate(names):
        # Side by side, so that equal rates do not hide each other.
        shift = _APART * (number - (len(names) - 1) / 2)
        axes.plot(
            [row[number] for row in values],
            [place + 0.5 + shift for place in range(len(values))],
            linestyle="none",
            marker=MARKERS[number],
            markersize=8 * MARKER_SCALES[number],
            color=SERIES[number],
            label=name,
            clip_on=False,
            zorder=3,
        )
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.02),
        ncols=len(names),
        frameon=False,
        fontsize=SMALL,
        handletextpad=0.3,
        borderaxespad=0.0,
        columnspacing=1.6,
    )


def _standalone(figure: Figure, slug: str, title: str, description: str) -> str:
    """A figure as a file of its own that follows the reader's light or dark setting."""
    text = str(figure_to_svg(figure, f"calibration-{slug}", title=title, description=description))
    colours = _COLOUR.findall(_STYLESHEET.read_text(encoding="utf-8"))
    light = "".join(f"{name}:{colour};" for name, colour, _ in colours)
    dark = "".join(f"{name}:{colour};" for name, _, colour in colours)
    style = (
        f"<style>:root{{{light}color:var(--ink);background:var(--paper);"
        "font-family:system-ui,sans-serif}"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    )
    head, bracket, rest = text.partition(">")
    return f"{head}{bracket}{style}{rest}\n"
