"""Where in the conversation answers are lost: history length by distance of the evidence.

A tally of right answers for each cell, and what a history policy left in sight. No test is made
here: cells of this grid are small and only tell where to look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen_bench.report.charts import heat_map as where
from qwen_bench.report.charts.style import own_settings
from qwen_bench.report.charts.svg import figure_to_svg
from qwen_bench.report.figures import Chart
from qwen_bench.report.text import percent, plain, plural, points
from qwen_bench.stats.clusters import Bin, distance_bin, distance_slices, make_rows

if TYPE_CHECKING:
    from qwen_bench.record.outcome import Outcome

Place = tuple[int, int]
"""History length and first distance of the bin."""


@dataclass(frozen=True, slots=True)
class GridRow:
    """One cell as a row of the table: every model's share and every candidate's difference."""

    length: int
    distance: str
    shares: tuple[where.Cell | None, ...]
    differences: tuple[where.Cell | None, ...]


@dataclass(frozen=True, slots=True)
class Where:
    """The grid of one scorer.

    Attributes:
        families: those whose distance varies, in the grid.
        others: the rest, left out.
    """

    chart: Chart
    rows: tuple[GridRow, ...]
    families: tuple[str, ...]
    others: tuple[str, ...]


def where_section(
    mode: str, labels: Sequence[str], runs: Sequence[Sequence[Outcome]]
) -> Where | None:
    """The grid of one scorer; None without a probe of the main condition in the baseline.

    A difference is over the probes both have. Families whose distance hardly varies at the largest
    history length (rules, which are all stated early) would mix family with distance and are left
    out, as in the distance slice.

    Args:
        mode: the scorer.
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
    bins = sorted({distance_bin(first) for _, first in places})
    return Where(
        chart=_chart(mode, labels, shares, differences, bins),
        rows=tuple(
            GridRow(
                length,
                where.bin_name(distance_bin(first)),
                tuple(cells.get((length, first)) for cells in shares),
                tuple(cells.get((length, first)) for cells in differences),
            )
            for length, first in places
        ),
        families=tuple(families),
        others=tuple(sorted(set(rows.families) - set(families))),
    )


def _tally(rows: Sequence[tuple[Outcome, int]], families: Sequence[str]) -> dict[Place, where.Cell]:
    """Mean value and number of rows in each cell."""
    sums: dict[Place, list[int]] = {}
    for row, value in rows:
        if row.family in families and row.distance is not None:
            total = sums.setdefault((row.length, distance_bin(row.distance)[0]), [0, 0])
            total[0] += value
            total[1] += 1
    return {place: where.Cell(total / n, n) for place, (total, n) in sorted(sums.items())}


def _chart(
    mode: str,
    labels: Sequence[str],
    shares: Sequence[Mapping[Place, where.Cell]],
    differences: Sequence[Mapping[Place, where.Cell]],
    bins: Sequence[Bin],
) -> Chart:
    """Two models: both and their difference; several candidates: the baseline and differences."""
    panels = [
        where.Panel(label, side, cells)
        for side, (label, cells) in enumerate(zip(labels, shares, strict=True))
        if side == 0 or len(labels) == 2
    ]
    panels += [
        where.Panel(
            "difference, points" if len(labels) == 2 else f"difference of {label}",
            None if len(labels) == 2 else side,
            cells,
            difference=True,
        )
        for side, (label, cells) in enumerate(zip(labels[1:], differences, strict=True), 1)
    ]
    lengths = sorted({length for cells in shares for length, _ in cells})
    finding = _finding(labels, shares, differences)
    title = "Percent right by history length and distance of the evidence"
    slug = f"chart-where-{mode}"
    with own_settings():
        svg = figure_to_svg(
            where.draw(panels, lengths, bins),
            slug,
            title=title,
            description=finding,
            hints=where.hints(panels, bins),
        )
    return Chart(slug, title, finding, svg)


def _finding(
    labels: Sequence[str],
    shares: Sequence[Mapping[Place, where.Cell]],
    differences: Sequence[Mapping[Place, where.Cell]],
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
            parts.append(f"{plain(label)}: every cell holds fewer probes than can be read.")
        elif cells[place].value >= 0:
            parts.append(
                f"{plain(label)} is below the baseline in no cell of {where.FEW} or more probes."
            )
        else:
            cell = cells[place]
            parts.append(
                f"{plain(label)} falls most below the baseline {_at(place)}: "
                f"{points(cell.value)} points over {plural(cell.n, 'pair')}."
            )
    return " ".join(parts)


def _lowest(cells: Mapping[Place, where.Cell]) -> Place | None:
    """Place of the lowest value among cells of enough probes."""
    enough = [place for place, cell in cells.items() if cell.n >= where.FEW]
    return min(enough, key=lambda place: (cells[place].value, place), default=None)


def _at(place: Place) -> str:
    """A cell in words."""
    length, first = place
    return (
        f"at {plural(length, 'turn')} of history with the evidence "
        f"{where.bin_words(distance_bin(first))} the question"
    )
