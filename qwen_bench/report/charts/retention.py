"""Retention curve: accuracy over history length, one line a model, with 95 % bands."""

from __future__ import annotations

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
from qwen_bench.report.text import interval, one_line, percent, plural, tokens
from qwen_bench.stats.model import Accuracy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABEL_GAP = 0.108  # of the 0 to 1 axis; two lines of text
_LONGEST_NAME = 25


@dataclass(frozen=True, slots=True)
class Curve:
    """One model's accuracy by history length in user turns."""

    label: str
    by_length: Mapping[int, Accuracy]


def draw(curves: Sequence[Curve], *, references: Mapping[str, float]) -> Figure:
    """Draw one to five curves over an ordinal axis of history lengths.

    Up to two models get shaded bands, more get bars side by side, which stay readable when they
    overlap. A length without an interval has a mark only.

    Args:
        curves: in the order of the runs; the order fixes colour, marker and dash.
        references: labelled horizontal lines (control conditions), as fractions.
    """
    lengths = sorted({length for curve in curves for length in curve.by_length})
    figure = new_figure(900, 430)
    axes = new_axes(figure, left=58, right=215, top=16, bottom=78)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(-0.35, len(lengths) - 1 + 0.35)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.tick_params(colors=MUTED, labelsize=SMALL)
    axes.set_xticks(range(len(lengths)), [_tick(length, curves) for length in lengths])
    for label in axes.get_xticklabels():
        label.set_linespacing(1.45)
    axes.grid(axis="y", color=GRID, linewidth=1)
    axes.axhline(0.5, color=MUTED, linewidth=1, linestyle=(0, (2, 3)), gid="half")

    places = {length: place for place, length in enumerate(lengths)}
    for number, curve in enumerate(curves):
        _line(axes, number, curve, places, bands=len(curves) <= 2, of=len(curves))
    _end_labels(axes, curves, references, right=len(lengths) - 1 + 0.35)
    return figure


def hints(curves: Sequence[Curve]) -> dict[str, str]:
    """Hover text of every mark."""
    return {
        f"point-{number}-{length}": f"{curve.label}, {plural(length, 'turn')}: "
        f"{percent(cell.accuracy)} ({interval(cell.low, cell.high)}), n {cell.n}"
        for number, curve in enumerate(curves)
        for length, cell in curve.by_length.items()
    }


def _tick(length: int, curves: Sequence[Curve]) -> str:
    cell = next(curve.by_length[length] for curve in curves if length in curve.by_length)
    lines = (plural(length, "turn"), tokens(cell.prompt_tokens_median), f"n {cell.n:,}")
    return "\n".join(line for line in lines if line)


def _line(
    axes: Axes, number: int, curve: Curve, places: Mapping[int, int], *, bands: bool, of: int
) -> None:
    lengths = sorted(curve.by_length)
    colour = SERIES[number]
    shift = 0.0 if bands else 0.07 * (number - (of - 1) / 2)
    x = [places[length] + shift for length in lengths]
    y = [curve.by_length[length].accuracy for length in lengths]
    bounded = [
        (place, cell.low, cell.high)
        for place, length in zip(x, lengths, strict=True)
        if (cell := curve.by_length[length]).low is not None and cell.high is not None
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
    axes.plot(x, y, color=colour, linestyle=DASHES[number], linewidth=2.4, gid=f"series-{number}")
    for place, value, length in zip(x, y, lengths, strict=True):
        axes.plot(
            [place],
            [value],
            marker=MARKERS[number],
            markersize=8.5 * MARKER_SCALES[number],
            color=colour,
            markeredgecolor=PAPER,
            markeredgewidth=1.4,
            clip_on=False,
            gid=f"point-{number}-{length}",
        )


def _end_labels(
    axes: Axes, curves: Sequence[Curve], references: Mapping[str, float], *, right: float
) -> None:
    """Names at the line ends instead of a legend, moved apart where lines end close together."""
    wanted: list[tuple[float, str, str, bool]] = []
    for number, curve in enumerate(curves):
        if curve.by_length:
            last = curve.by_length[max(curve.by_length)].accuracy
            name = one_line(curve.label)
            short = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
            wanted.append((last, f"{short}\n{percent(last)}", SERIES[number], True))
    for name, value in references.items():
        axes.axhline(value, color=MUTED, linewidth=1.2, linestyle=(0, (6, 3)))
        wanted.append((value, f"{name}\n{percent(value)}", MUTED, False))
    for (_, text, colour, strong), y in zip(
        wanted, spread([value for value, *_ in wanted], _LABEL_GAP), strict=True
    ):
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
