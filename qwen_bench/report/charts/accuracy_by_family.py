"""Accuracy by family: one row a family, one mark a model, a thin rule from first to last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D

from qwen_bench.report.charts.style import (
    FONT_SIZE,
    GRID,
    MARKER_SCALES,
    MARKERS,
    MUTED,
    PAPER,
    SERIES,
    SMALL,
    new_axes,
    new_figure,
)
from qwen_bench.report.text import interval, one_line, percent
from qwen_bench.stats.results import Accuracy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROW = 30
_CHARACTER = 8.8  # pixels of a bold letter, a little generous
_DODGE = 0.13  # of a row; equal values stay apart


@dataclass(frozen=True, slots=True)
class Dots:
    """One model's accuracy by family."""

    label: str
    by_family: Mapping[str, Accuracy]


def draw(models: Sequence[Dots]) -> Figure:
    """Draw accuracies on a fixed 0 to 100 % axis; a single model also gets its intervals.

    Rows keep the order of the first model's mapping. Unlike a slope chart no labels can collide,
    however many families end at the same value.
    """
    families = list(dict.fromkeys(name for model in models for name in model.by_family))
    top = 46 if len(models) > 1 else 10
    figure = new_figure(900, top + _ROW * len(families) + 34)
    axes = new_axes(figure, left=190, right=70, top=top, bottom=34)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(families), 0)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_yticks(
        [place + 0.5 for place in range(len(families))], [one_line(name) for name in families]
    )
    axes.tick_params(labelsize=SMALL, colors=MUTED)
    for label in axes.get_yticklabels():
        label.set(color="#000000", fontsize=FONT_SIZE)
    axes.grid(axis="x", color=GRID, linewidth=1)
    for place, family in enumerate(families):
        cells = [model.by_family.get(family) for model in models]
        values = [cell.accuracy for cell in cells if cell is not None]
        axes.plot(
            [min(values), max(values)], [place + 0.5] * 2, color=MUTED, linewidth=1.4, alpha=0.6
        )
        for number, cell in enumerate(cells):
            if cell is None:
                continue
            if len(models) == 1 and cell.low is not None and cell.high is not None:
                axes.plot(
                    [cell.low, cell.high], [place + 0.5] * 2, color=SERIES[0], linewidth=2.4,
                    alpha=0.45, solid_capstyle="round",
                )  # fmt: skip
            axes.plot(
                [cell.accuracy],
                [place + 0.5 + _DODGE * (number - (len(models) - 1) / 2)],
                marker=MARKERS[number],
                markersize=9.5 * MARKER_SCALES[number],
                color=SERIES[number],
                markeredgecolor=PAPER,
                markeredgewidth=1.4,
                clip_on=False,
                zorder=4 - 0.1 * number,
                gid=f"dot-{number}-{place}",
            )
    if len(models) > 1:
        _key(figure, models)
    return figure


def hints(models: Sequence[Dots]) -> dict[str, str]:
    """Hover text of every mark."""
    families = list(dict.fromkeys(name for model in models for name in model.by_family))
    return {
        f"dot-{number}-{place}": f"{model.label}, {family}: {percent(cell.accuracy)} "
        f"({interval(cell.low, cell.high)}), n {cell.n}"
        for number, model in enumerate(models)
        for place, family in enumerate(families)
        if (cell := model.by_family.get(family)) is not None
    }


def _key(figure: Figure, models: Sequence[Dots]) -> None:
    """Marker and name of each model above the rows."""
    width, height = figure.get_size_inches() * 72
    x = 12.0
    room = int((width - x) / len(models) / _CHARACTER) - 5
    for number, model in enumerate(models):
        name = one_line(model.label)
        short = name if len(name) <= room else name[: room - 1] + "…"
        figure.add_artist(
            Line2D(
                [x / width],
                [(height - 20) / height],
                marker=MARKERS[number],
                markersize=9.5 * MARKER_SCALES[number],
                color=SERIES[number],
                markeredgecolor=PAPER,
                transform=figure.transFigure,
            )
        )
        figure.text(
            (x + 12) / width, (height - 20.5) / height, short, va="center", fontsize=FONT_SIZE,
            fontweight="bold", color=SERIES[number],
        )  # fmt: skip
        x += (5 + len(short)) * _CHARACTER
