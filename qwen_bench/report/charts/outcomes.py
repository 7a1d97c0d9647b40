"""Outcomes of the pairs by history length: right in both, gained, lost, wrong in both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from matplotlib.patches import Rectangle

from qwen_bench.record.formats import percent, plural, turns
from qwen_bench.report.charts.svg import (
    BAD,
    BOTH_RIGHT,
    GOOD,
    INK,
    NEITHER,
    PAPER,
    PIXELS_PER_INCH,
    Chart,
    make_chart,
    new_axes,
    new_figure,
    put_text,
    share_rows,
)
from qwen_bench.report.untrusted_text import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qwen_bench.stats.results import Cell

_PARTS = (
    ("both_right", "right in both", BOTH_RIGHT, None),
    ("gained", "gained", GOOD, None),
    ("lost", "lost", BAD, "////"),
    ("both_wrong", "wrong in both", NEITHER, None),
)
_ROW = 40


def outcomes_chart(slug: str, candidate: str, by_length: Mapping[int, Cell]) -> Chart:
    """Shares of pairs right in both, gained, lost and wrong in both, per length."""
    cells = by_length.values()
    lost, gained = sum(cell.lost for cell in cells), sum(cell.gained for cell in cells)
    pairs = plural(sum(cell.n for cell in cells), "pair")
    return make_chart(
        lambda: _draw(by_length),
        slug,
        title="Outcomes of the pairs by history length",
        finding=f"{plain(candidate)} lost {lost:,} and gained {gained:,} of {pairs}.",
        hints={
            f"part-{length}-{key}": f"{turns(length)}: {getattr(cell, key)} of {cell.n} "
            f"{name} ({percent(getattr(cell, key) / cell.n if cell.n else None)})"
            for length, cell in by_length.items()
            for key, name, _, _ in _PARTS
        },
    )


def _draw(by_length: Mapping[int, Cell]) -> Figure:
    """Draw one bar of shares per length; lost is hatched so that colour is not needed.

    The net difference hides flips in both directions; this chart does not.
    """
    lengths = sorted(by_length)
    figure = new_figure(900, 60 + _ROW * len(lengths) + 34)
    axes = new_axes(figure, left=110, right=200, top=44, bottom=34)
    share_rows(axes, [turns(length) for length in lengths])
    for place, length in enumerate(lengths):
        cell = by_length[length]
        left = 0.0
        for key, _, colour, hatch in _PARTS:
            share = getattr(cell, key) / cell.n if cell.n else 0.0
            if share:
                axes.barh(
                    place + 0.5,
                    share,
                    left=left,
                    height=0.62,
                    color=colour,
                    edgecolor=PAPER,
                    linewidth=1,
                    hatch=hatch,
                    gid=f"part-{length}-{key}",
                )
            left += share
        changes = f"{cell.lost:,} lost, {cell.gained:,} gained"
        put_text(axes, 1.03, place + 0.5, changes)
    _key(figure)
    return figure


def _key(figure: Figure) -> None:
    """Swatches with words above the bars; parts of a bar can be too thin for direct labels."""
    width, height = figure.get_size_inches() * PIXELS_PER_INCH
    x = 110.0
    for _, name, colour, hatch in _PARTS:
        figure.add_artist(
            Rectangle(
                (x / width, (height - 27) / height),
                14 / width,
                13 / height,
                facecolor=colour,
                edgecolor=PAPER,
                linewidth=0.8,
                hatch=hatch,
                transform=figure.transFigure,
            )
        )
        put_text(figure, (x + 21) / width, (height - 20.5) / height, name, color=INK)
        x += 46 + 6.4 * len(name)
