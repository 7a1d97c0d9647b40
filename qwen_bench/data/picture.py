"""What a file of training data looks like, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qwen_bench.data.statistics import Bars
from qwen_bench.data.writing import whole_file
from qwen_bench.errors import InputError
from qwen_bench.report.charts.svg import (
    INK,
    MUTED,
    SERIES,
    SMALL,
    new_axes,
    new_figure,
    own_settings,
    put_text,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = (".svg", ".png")
_HEIGHT, _WIDTH = 190, 900


def check_picture(target: Path) -> None:
    """Refuse a picture of another kind.

    Raises:
        InputError: the name does not end with ``.svg`` or ``.png``.
    """
    if target.suffix not in KINDS:
        raise InputError(f"--chart {target}: a picture ends with {' or '.join(KINDS)}")


def write_picture(rows: Sequence[Bars], target: Path) -> None:
    """Draw rows of bars below each other.

    Args:
        rows: at least one.
        target: SVG or PNG, by its name.

    Raises:
        QwenBenchError: it cannot be written.
    """
    with own_settings(), whole_file(target) as out:
        form = target.suffix[1:]
        figure = _draw(rows)
        # Without its date an SVG is the same bytes at every call.
        meta = {"Date": None} if form == "svg" else None
        figure.savefig(out, format=form, facecolor="white", dpi=144, metadata=meta)


def _draw(rows: Sequence[Bars]) -> Figure:
    """The figure; pixels are those of the report."""
    height = _HEIGHT * len(rows)
    figure = new_figure(_WIDTH, height)
    for number, bars in enumerate(rows):
        top = _HEIGHT * number
        bottom = height - top - _HEIGHT
        axes = new_axes(figure, left=60, right=24, top=top + 44, bottom=bottom + 36)
        names, counts = [*bars.counts], [*bars.counts.values()]
        axes.bar(range(len(names)), counts, width=0.82, color=SERIES[0])
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks([])
        axes.set_xlim(-0.6, max(len(names), 1) - 0.4)
        axes.set_ylim(0, 1.15 * max([*counts, 1]))
        for place, count in enumerate(counts):
            if count:
                put_text(
                    axes,
                    place,
                    count,
                    f"{count:,}",
                    ha="center",
                    va="bottom",
                    color=MUTED,
                    fontsize=SMALL,
                )
        y = 1 - (top + 20) / height
        put_text(figure, 12 / _WIDTH, y, bars.title, color=INK, fontweight="bold")
    return figure
