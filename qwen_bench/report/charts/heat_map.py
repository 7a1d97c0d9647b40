"""Heat maps: history length by distance of the evidence, a panel a model and one a difference.

The colours are those of the data and the same in both themes; each cell holds its own number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from qwen_bench.report.charts.style import MUTED, SERIES, SMALL, new_axes, new_figure
from qwen_bench.report.text import MINUS, one_line, percent, plural, points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 10
"""Cells with fewer probes are hatched."""

_A_ROW = 3
_CELL = 40
_LEFT = 74
_GAP = 26
_TOP = 44
_FOOT = 44
_DARK, _LIGHT = "#111111", "#ffffff"
_LEAST_LIMIT = 0.2
_LONGEST_NAME = 30
_WIDEST = 84


@dataclass(frozen=True, slots=True)
class Cell:
    """A share, or a difference of shares, and the number of probes."""

    value: float
    n: int


@dataclass(frozen=True, slots=True)
class Panel:
    """One heat map.

    Attributes:
        heading: above the panel.
        side: run whose colour the heading has; None for black.
        cells: by (history length, first distance of the bin).
        difference: values are differences, coloured around 0.
    """

    heading: str
    side: int | None
    cells: Mapping[tuple[int, int], Cell]
    difference: bool = False


def draw(
    panels: Sequence[Panel], lengths: Sequence[int], bins: Sequence[tuple[int, int]]
) -> Figure:
    """Draw the panels, three a row, evidence from far (early) at the top to near (late).

    A cell says "no probes" where a history of that length has room for the distance but nothing was
    asked; where it has none the cell is empty.

    Args:
        panels: models first, then differences.
        lengths: columns, increasing history lengths.
        bins: rows as (first, last) distance, nearest first.
    """
    rows = -(-len(panels) // _A_ROW)
    height = _TOP + _CELL * len(bins) + _FOOT
    columns = min(_A_ROW, len(panels))
    room = (900 - _LEFT - _GAP * (columns - 1)) / columns
    width = min(room, _WIDEST * len(lengths))
    figure = new_figure(900, rows * height)
    limit = max(
        [_LEAST_LIMIT]
        + [abs(cell.value) for item in panels if item.difference for cell in item.cells.values()]
    )
    for number, panel in enumerate(panels):
        row, column = divmod(number, _A_ROW)
        left = _LEFT + column * (width + _GAP)
        axes = new_axes(
            figure,
            left=left,
            right=900 - left - width,
            top=row * height + _TOP,
            bottom=(rows - row - 1) * height + _FOOT,
        )
        _panel(axes, number, panel, lengths, bins, limit=limit)
    return figure


def hints(panels: Sequence[Panel], bins: Sequence[tuple[int, int]]) -> dict[str, str]:
    """Hover text of every cell."""
    names = {first: bin_words((first, last)) for first, last in bins}
    return {
        f"cell-{number}-{length}-{first}": f"{panel.heading}, history of "
        f"{plural(length, 'turn')}, {names[first]}: "
        f"{points(cell.value) + ' points' if panel.difference else percent(cell.value)}, n {cell.n}"
        for number, panel in enumerate(panels)
        for (length, first), cell in panel.cells.items()
    }


def bin_name(distances: tuple[int, int]) -> str:
    """A distance bin as a label: ``0``, ``1–3``."""
    first, last = distances
    return str(first) if first == last else f"{first}–{last}"


def bin_words(distances: tuple[int, int]) -> str:
    """A distance bin in words: ``directly before``, ``4–7 turns before``."""
    return f"{bin_name(distances)} turns before" if distances[1] else "directly before"


def _panel(
    axes: Axes,
    number: int,
    panel: Panel,
    lengths: Sequence[int],
    bins: Sequence[tuple[int, int]],
    *,
    limit: float,
) -> None:
    """Cells, labels and heading of one panel."""
    axes.set_xlim(0, len(lengths))
    axes.set_ylim(0, len(bins))
    axes.set_xticks([place + 0.5 for place in range(len(lengths))], [str(n) for n in lengths])
    first_column = number % _A_ROW == 0
    names = [bin_name(item) if first_column else "" for item in bins]
    axes.set_yticks([place + 0.5 for place in range(len(bins))], names)
    axes.tick_params(colors=MUTED, labelsize=SMALL)
    axes.set_xlabel("history, turns", color=MUTED, fontsize=SMALL, labelpad=3)
    if first_column:
        axes.set_ylabel("turns before the question", color=MUTED, fontsize=SMALL, labelpad=6)
    name = one_line(panel.heading)
    short = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
    colour = "#000000" if panel.side is None else SERIES[panel.side]
    axes.text(
        0, len(bins) + 0.3, short, color=colour, fontsize=SMALL, fontweight="bold", va="bottom"
    )
    for row, (first, _) in enumerate(bins):
        for column, length in enumerate(lengths):
            cell = panel.cells.get((length, first))
            if cell is None:
                if first < length:
                    axes.text(
                        column + 0.5, row + 0.5, "no\nprobes", color=MUTED, fontsize=9,
                        ha="center", va="center", linespacing=1.1,
                    )  # fmt: skip
                continue
            _cell(axes, (column, row), cell, panel, limit, gid=f"cell-{number}-{length}-{first}")


def _cell(
    axes: Axes, place: tuple[int, int], cell: Cell, panel: Panel, limit: float, *, gid: str
) -> None:
    """One coloured rectangle with its number and n."""
    if panel.difference:
        rgb = mpl.colormaps["PuOr"](0.5 + 0.5 * cell.value / limit)[:3]
        words = f"{100 * cell.value:+.0f}".replace("-", MINUS)
        words = "0" if words in {"+0", f"{MINUS}0"} else words
    else:
        rgb = mpl.colormaps["cividis"](cell.value)[:3]
        words = f"{100 * cell.value:.0f}"
    luminance = sum(
        weight * (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
        for weight, part in zip((0.2126, 0.7152, 0.0722), rgb, strict=True)
    )
    ink = _DARK if luminance > 0.18 else _LIGHT
    target = 0.07 if ink == _DARK else 1.0
    hatched = cell.n < FEW
    mixed = [0.82 * part + 0.18 * target for part in rgb]
    column, row = place
    axes.add_patch(
        Rectangle(
            (column + 0.02, row + 0.02),
            0.96,
            0.96,
            facecolor=to_hex(rgb),
            edgecolor=to_hex((mixed[0], mixed[1], mixed[2])),
            linewidth=0,
            hatch="////" if hatched else None,
            gid=gid,
        )
    )
    axes.text(column + 0.5, row + 0.6, words, color=ink, fontsize=SMALL, ha="center", va="center")
    axes.text(
        column + 0.5, row + 0.24, f"n {cell.n}", color=ink, fontsize=9, ha="center", va="center"
    )
