"""Where in the conversation answers are lost: heat maps of history length by distance.

A tally of right answers for each cell, a panel a model and one a difference. No test is made here:
cells of this grid are small and only tell where to look. The colours are those of the data and the
same in both themes; each cell holds its own number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from qwen_bench.record.formats import percent, plural, points, turns
from qwen_bench.report.charts.svg import (
    INK,
    MUTED,
    SERIES,
    SMALL,
    Chart,
    make_chart,
    new_axes,
    new_figure,
    put_text,
    short_name,
)
from qwen_bench.report.retention_words import bin_name
from qwen_bench.report.tables import ABSENT, UNKNOWN, ReportTable, TableRow, Value
from qwen_bench.report.untrusted_text import plain
from qwen_bench.stats.clusters import Bin, distance_bin, distance_slices, make_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qwen_bench.record.outcome import Outcome

Place = tuple[int, int]
"""History length and first distance of the bin."""

FEW = 10
"""Cells with fewer probes are hatched."""

_MOST_A_ROW = 3
_NARROWEST = 40
_CELL = 40
_LEFT = 94
_GAP = 26
_TOP = 44
_FOOT = 44
_DARK, _LIGHT = "#111111", "#ffffff"
_LEAST_LIMIT = 0.2
_LONGEST_NAME = 30
_WIDEST = 84
_NONE = Value(word="0")


@dataclass(frozen=True, slots=True)
class GridCell:
    """A share, or a difference of shares, and the number of probes."""

    value: float
    n: int


@dataclass(frozen=True, slots=True)
class GridPanel:
    """One heat map.

    Attributes:
        heading: above the panel.
        side: run whose colour the heading has; None for black.
        cells: by place.
        difference: values are differences, coloured around 0.
    """

    heading: str
    side: int | None
    cells: Mapping[Place, GridCell]
    difference: bool = False


@dataclass(frozen=True, slots=True)
class GridSection:
    """The grid of one scorer.

    Attributes:
        table: a row a cell; of each run the number of probes and the share of right answers, of
            each candidate that of pairs and the difference too.
        others: families whose distance hardly varies, left out.
    """

    chart: Chart
    table: ReportTable
    others: tuple[str, ...]


def grid_section(
    mode: str, scorer: str, labels: Sequence[str], runs: Sequence[Sequence[Outcome]]
) -> GridSection | None:
    """The grid of one scorer; None without a probe of the main condition in the baseline.

    A difference is over the probes both have. Families whose distance hardly varies at the largest
    history length (rules, which are all stated early) would mix family with distance and are left
    out, as in the distance slice.

    Args:
        mode: the scorer.
        scorer: its name on the page.
        labels: of the runs.
        runs: final rows of each under this scorer, baseline first.
    """
    sides = [
        {row.probe_id: row for row in run if row.condition == "main" and row.distance is not None}
        for run in runs
    ]
    if not sides[0]:
        return None
    rows = make_rows(sides[0].values())
    masks = distance_slices(rows).values()
    families = sorted({rows.families[code] for mask in masks for code in rows.family[mask]})
    shares = [_tally([(row, row.value) for row in side.values()], families) for side in sides]
    differences = [
        _tally(
            [
                (row, row.value - sides[0][key].value)
                for key, row in side.items()
                if key in sides[0]
            ],
            families,
        )
        for side in sides[1:]
    ]
    places = sorted({place for cells in shares for place in cells})
    return GridSection(
        chart=_chart(mode, labels, shares, differences, places),
        table=ReportTable(
            f"Accuracy by history length and distance, {scorer}",
            "history",
            (),
            tuple(
                TableRow(turns(place[0]), tuple(_values(place, shares, differences)))
                for place in places
            ),
        ),
        others=tuple(sorted(set(rows.families) - set(families))),
    )


def _values(
    place: Place,
    shares: Sequence[Mapping[Place, GridCell]],
    differences: Sequence[Mapping[Place, GridCell]],
) -> Iterator[Value]:
    """The distance, then one cell of every run, each candidate's difference behind it."""
    yield Value(word=bin_name(distance_bin(place[1])))
    for share, difference in zip(shares, (None, *differences), strict=True):
        cell = share.get(place)
        yield from (Value(cell.n, "count"), Value(cell.value)) if cell else (_NONE, ABSENT)
        if difference is not None:
            cell = difference.get(place)
            yield from (
                (Value(cell.n, "count"), Value(cell.value, "points")) if cell else (_NONE, UNKNOWN)
            )


def _tally(rows: Sequence[tuple[Outcome, int]], families: Sequence[str]) -> dict[Place, GridCell]:
    """Mean value and number of rows in each cell."""
    sums: dict[Place, list[int]] = {}
    for row, value in rows:
        if row.family in families and row.distance is not None:
            total = sums.setdefault((row.length, distance_bin(row.distance)[0]), [0, 0])
            total[0] += value
            total[1] += 1
    return {place: GridCell(total / n, n) for place, (total, n) in sorted(sums.items())}


def _chart(
    mode: str,
    labels: Sequence[str],
    shares: Sequence[Mapping[Place, GridCell]],
    differences: Sequence[Mapping[Place, GridCell]],
    places: Sequence[Place],
) -> Chart:
    """Two models: both and their difference; several candidates: the baseline and differences."""
    panels = [
        GridPanel(label, side, cells)
        for side, (label, cells) in enumerate(zip(labels, shares, strict=True))
        if side == 0 or len(labels) == 2
    ]
    panels += [
        GridPanel(
            "difference, points" if len(labels) == 2 else f"difference of {label}",
            None if len(labels) == 2 else side,
            cells,
            difference=True,
        )
        for side, (label, cells) in enumerate(zip(labels[1:], differences, strict=True), 1)
    ]
    lengths = sorted({length for length, _ in places})
    bins = sorted({distance_bin(first) for _, first in places})
    hints = {
        f"cell-{number}-{length}-{first}": f"{panel.heading}, history of {turns(length)}, "
        f"{bin_words(distance_bin(first))}: "
        f"{points(cell.value) + ' points' if panel.difference else percent(cell.value)}, n {cell.n}"
        for number, panel in enumerate(panels)
        for (length, first), cell in panel.cells.items()
    }
    return make_chart(
        lambda: draw_grid(panels, lengths, bins),
        f"chart-where-{mode}",
        title="Percent right by history length and distance of the evidence",
        finding=_finding(labels, shares, differences),
        hints=hints,
    )


def _finding(
    labels: Sequence[str],
    shares: Sequence[Mapping[Place, GridCell]],
    differences: Sequence[Mapping[Place, GridCell]],
) -> str:
    """The lowest cell of enough probes, a description and no claim."""
    if not differences:
        place = _lowest(shares[0])
        if place is None:
            return "Every cell holds fewer probes than can be read."
        cell = shares[0][place]
        return f"{plain(labels[0])} is lowest {_at(place)}: {percent(cell.value)} of {cell.n}."
    parts = []
    for label, cells in zip(labels[1:], differences, strict=True):
        place = _lowest(cells)
        if place is None:
            words = ": every cell holds fewer probes than can be read."
        elif cells[place].value >= 0:
            words = f" is below the baseline in no cell of {FEW} or more probes."
        else:
            change, pairs = points(cells[place].value), plural(cells[place].n, "pair")
            words = f" falls most below the baseline {_at(place)}: {change} points over {pairs}."
        parts.append(f"{plain(label)}{words}")
    return " ".join(parts)


def _lowest(cells: Mapping[Place, GridCell]) -> Place | None:
    """Place of the lowest value among cells of enough probes."""
    enough = [place for place, cell in cells.items() if cell.n >= FEW]
    return min(enough, key=lambda place: (cells[place].value, place), default=None)


def _at(place: Place) -> str:
    """A cell in words."""
    length, first = place
    return (
        f"at {turns(length)} of history with the evidence "
        f"{bin_words(distance_bin(first))} the question"
    )


def draw_grid(panels: Sequence[GridPanel], lengths: Sequence[int], bins: Sequence[Bin]) -> Figure:
    """Draw the panels, up to three a row, evidence from far (early) at the top to near (late).

    A cell says "no probes" where a history of that length has room for the distance but nothing was
    asked; where it has none the cell is empty.

    Args:
        panels: models first, then differences.
        lengths: columns, increasing history lengths.
        bins: rows as (first, last) distance, nearest first.
    """
    columns = _columns(len(panels), len(lengths))
    rows = -(-len(panels) // columns)
    height = _TOP + _CELL * len(bins) + _FOOT
    width = min(_room(columns), _WIDEST * len(lengths))
    figure = new_figure(900, rows * height)
    limit = max(
        [_LEAST_LIMIT]
        + [abs(cell.value) for item in panels if item.difference for cell in item.cells.values()]
    )
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        left = _LEFT + column * (width + _GAP)
        axes = new_axes(
            figure,
            left=left,
            right=900 - left - width,
            top=row * height + _TOP,
            bottom=(rows - row - 1) * height + _FOOT,
        )
        _panel(axes, number, panel, lengths, bins, limit=limit, leftmost=column == 0)
    return figure


def _columns(panels: int, lengths: int) -> int:
    """Panels a row: fewer where many lengths would leave their cells no room for the numbers."""
    fit = [n for n in range(2, _MOST_A_ROW + 1) if _room(n) >= _NARROWEST * lengths]
    return min(panels, max(fit, default=1))


def _room(columns: int) -> float:
    """Widest panel when so many stand side by side, in pixels."""
    return (900 - _LEFT - _GAP * (columns - 1)) / columns


def bin_words(distances: Bin) -> str:
    """A distance bin in words: ``directly before``, ``4–7 turns before``."""
    return f"{bin_name(distances)} turns before" if distances[1] else "directly before"


def _panel(
    axes: Axes,
    number: int,
    panel: GridPanel,
    lengths: Sequence[int],
    bins: Sequence[Bin],
    *,
    limit: float,
    leftmost: bool,
) -> None:
    """Cells, labels and heading of one panel."""
    axes.set_xlim(0, len(lengths))
    axes.set_ylim(0, len(bins))
    axes.set_xticks([place + 0.5 for place in range(len(lengths))], [str(n) for n in lengths])
    names = [bin_name(item) if leftmost else "" for item in bins]
    axes.set_yticks([place + 0.5 for place in range(len(bins))], names)
    axes.tick_params(colors=MUTED, labelsize=SMALL)
    axes.set_xlabel("history, turns", color=MUTED, fontsize=SMALL, labelpad=3)
    if leftmost:
        axes.set_ylabel("turns before the question", color=MUTED, fontsize=SMALL, labelpad=6)
    colour = INK if panel.side is None else SERIES[panel.side]
    heading = short_name(panel.heading, _LONGEST_NAME)
    put_text(axes, 0, len(bins) + 0.3, heading, color=colour, fontweight="bold", va="bottom")
    for row, (first, _) in enumerate(bins):
        for column, length in enumerate(lengths):
            cell = panel.cells.get((length, first))
            if cell is None:
                if first < length:
                    centre = {"fontsize": 9, "ha": "center", "linespacing": 1.1}
                    put_text(axes, column + 0.5, row + 0.5, "no\nprobes", **centre)
                continue
            _cell(axes, (column, row), cell, panel, limit, gid=f"cell-{number}-{length}-{first}")


def _cell(
    axes: Axes, place: tuple[int, int], cell: GridCell, panel: GridPanel, limit: float, *, gid: str
) -> None:
    """One coloured rectangle with its number and n."""
    if panel.difference:
        rgb = mpl.colormaps["PuOr"](0.5 + 0.5 * cell.value / limit)[:3]
        words = points(cell.value, 0)
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
    middle = {"color": ink, "ha": "center"}
    put_text(axes, column + 0.5, row + 0.6, words, **middle)
    put_text(axes, column + 0.5, row + 0.24, f"n {cell.n}", fontsize=9, **middle)
