"""Accuracy by family: one row a family, one mark a model, a thin rule from first to last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D

from qwen_bench.record.formats import interval, percent
from qwen_bench.report.charts.svg import (
    FONT_SIZE,
    GRID,
    MARKER_SCALES,
    MARKERS,
    MUTED,
    PAPER,
    PIXELS_PER_INCH,
    SERIES,
    Chart,
    make_chart,
    new_axes,
    new_figure,
    put_model_mark,
    put_text,
    share_rows,
    short_name,
)
from qwen_bench.report.untrusted_text import one_line, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qwen_bench.stats.results import Accuracy, ModeSummary

_ROW = 30
_CHARACTER = 8.8  # pixels of a bold letter, a little generous
_DODGE = 0.13  # of a row; equal values stay apart


def families_chart(mode: str, labels: Sequence[str], summaries: Sequence[ModeSummary]) -> Chart:
    """Accuracy per family, one mark a model."""
    models = [summary.by_family for summary in summaries]
    ranked = sorted(models[0].items(), key=lambda item: (item[1].accuracy, item[0]))
    (weakest, low), (strongest, high) = ranked[0], ranked[-1]
    finding = f"{plain(labels[0])} stands at {percent(low.accuracy)} in every family."
    if low.accuracy < high.accuracy:
        finding = (
            f"{plain(labels[0])} is weakest in {plain(weakest)} ({percent(low.accuracy)}) and "
            f"strongest in {plain(strongest)} ({percent(high.accuracy)})."
        )
    families = list(dict.fromkeys(name for model in models for name in model))
    hints = {
        f"dot-{number}-{place}": f"{label}, {family}: {percent(cell.accuracy)} "
        f"({interval(cell.low, cell.high)}), n {cell.n}"
        for number, (label, model) in enumerate(zip(labels, models, strict=True))
        for place, family in enumerate(families)
        if (cell := model.get(family)) is not None
    }
    return make_chart(
        lambda: _draw(labels, models, families),
        f"chart-families-{mode}",
        title="Accuracy by family",
        finding=finding,
        hints=hints,
    )


def _draw(
    labels: Sequence[str], models: Sequence[Mapping[str, Accuracy]], families: Sequence[str]
) -> Figure:
    """Draw accuracies on a fixed 0 to 100 % axis; a single model also gets its intervals.

    A mark without one is then hollow.

    Unlike a slope chart no labels can collide, however many families end at the same value.
    """
    top = 46 if len(models) > 1 else 10
    figure = new_figure(900, top + _ROW * len(families) + 34)
    axes = new_axes(figure, left=190, right=70, top=top, bottom=34)
    share_rows(axes, [one_line(name) for name in families])
    axes.grid(axis="x", color=GRID, linewidth=1)
    for place, family in enumerate(families):
        cells = [model.get(family) for model in models]
        values = [cell.accuracy for cell in cells if cell is not None]
        axes.plot(
            [min(values), max(values)], [place + 0.5] * 2, color=MUTED, linewidth=1.4, alpha=0.6
        )
        for number, cell in enumerate(cells):
            if cell is None:
                continue
            hollow = len(models) == 1
            if len(models) == 1 and cell.low is not None and cell.high is not None:
                hollow = False
                axes.plot(
                    [cell.low, cell.high], [place + 0.5] * 2, color=SERIES[0], linewidth=2.4,
                    alpha=0.45, solid_capstyle="round",
                )  # fmt: skip
            y = place + 0.5 + _DODGE * (number - (len(models) - 1) / 2)
            order, gid = 4 - 0.1 * number, f"dot-{number}-{place}"
            put_model_mark(
                axes, number, cell.accuracy, y, 9.5, hollow=hollow, zorder=order, gid=gid
            )
    if len(models) > 1:
        _key(figure, labels)
    return figure


def _key(figure: Figure, labels: Sequence[str]) -> None:
    """Marker and name of each model above the rows."""
    width, height = figure.get_size_inches() * PIXELS_PER_INCH
    x = 12.0
    room = int((width - x) / len(labels) / _CHARACTER) - 5
    for number, label in enumerate(labels):
        short = short_name(label, room)
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
        style = {"color": SERIES[number], "fontsize": FONT_SIZE, "fontweight": "bold"}
        put_text(figure, (x + 12) / width, (height - 20.5) / height, short, **style)
        x += (5 + len(short)) * _CHARACTER
