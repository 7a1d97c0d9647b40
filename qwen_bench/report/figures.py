"""The charts of one scorer, drawn and written as SVG with a finding in words for each.

Joins summaries and comparisons with `charts/`; the words state what the numbers show and nothing
that would need a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen_bench.report.charts import accuracy_by_family as families
from qwen_bench.report.charts import accuracy_by_length as retention
from qwen_bench.report.charts import forest, outcomes, strip
from qwen_bench.report.charts.style import own_settings
from qwen_bench.report.charts.svg import figure_to_svg
from qwen_bench.report.text import percent, plain, plural, points, points_interval

if TYPE_CHECKING:
    from markupsafe import Markup

    from qwen_bench.stats.results import Cell, ModeComparison, ModeSummary


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: id, visible title, the finding in words, and the drawing."""

    slug: str
    title: str
    finding: str
    svg: Markup


def retention_chart(mode: str, labels: Sequence[str], summaries: Sequence[ModeSummary]) -> Chart:
    """Accuracy over history length, one line a model; one model also gets its controls as lines."""
    curves = [
        retention.Curve(label, summary.by_length)
        for label, summary in zip(labels, summaries, strict=True)
    ]
    references = {}
    if len(curves) == 1:
        names = (("adjacent", "evidence directly before"), ("blind", "question alone"))
        for condition, name in names:
            cell = summaries[0].by_condition.get(condition)
            if cell is not None and cell.n:
                references[name] = cell.accuracy
    finding = " ".join(_curve_words(curve) for curve in curves)
    title = "Accuracy over history length"
    slug = f"chart-retention-{mode}"
    with own_settings():
        svg = figure_to_svg(
            retention.draw(curves, references=references),
            slug,
            title=title,
            description=finding,
            hints=retention.hints(curves),
        )
    return Chart(slug, title, finding, svg)


def strip_chart(slug: str, cell: Cell, margin: float) -> Chart:
    """The overall difference with its interval against the margin, for the verdict card."""
    finding = (
        f"{points(cell.difference)} points, 95 % interval "
        f"{points_interval(cell.low, cell.high)}, margin {100 * margin:g}."
    )
    title = "Overall difference against the margin"
    with own_settings():
        svg = figure_to_svg(strip.draw(cell, margin=margin), slug, title=title, description=finding)
    return Chart(slug, title, finding, svg)


def forest_chart(slug: str, candidate: str, comparison: ModeComparison, margin: float) -> Chart:
    """Paired differences per length and family, and overall."""
    groups = [
        forest.Group(
            "history length",
            tuple(
                (plural(n, "turn"), comparison.by_length[n]) for n in sorted(comparison.by_length)
            ),
        ),
        forest.Group("family", tuple(comparison.by_family.items())),
        forest.Group("", (("all", comparison.overall),), strong=True),
    ]
    groups = [group for group in groups if group.rows]
    overall = comparison.overall
    finding = (
        f"{plain(candidate)} against the baseline over all probes: {points(overall.difference)} "
        f"points, 95 % interval {points_interval(overall.low, overall.high)}. "
        f"{_most(comparison.by_length)}"
    ).strip()
    title = f"Paired difference: {plain(candidate)} minus baseline"
    with own_settings():
        svg = figure_to_svg(
            forest.draw(groups, margin=margin),
            slug,
            title=title,
            description=finding,
            hints=forest.hints(groups),
        )
    return Chart(slug, title, finding, svg)


def outcomes_chart(slug: str, candidate: str, by_length: Mapping[int, Cell]) -> Chart:
    """Shares of pairs right in both, gained, lost and wrong in both, per length."""
    n = sum(cell.n for cell in by_length.values())
    lost = sum(cell.lost for cell in by_length.values())
    gained = sum(cell.gained for cell in by_length.values())
    finding = f"{plain(candidate)} lost {lost:,} and gained {gained:,} of {plural(n, 'pair')}."
    title = "Outcomes of the pairs by history length"
    with own_settings():
        svg = figure_to_svg(
            outcomes.draw(by_length),
            slug,
            title=title,
            description=finding,
            hints=outcomes.hints(by_length),
        )
    return Chart(slug, title, finding, svg)


def families_chart(mode: str, labels: Sequence[str], summaries: Sequence[ModeSummary]) -> Chart:
    """Accuracy per family, one mark a model."""
    dots = [
        families.Dots(label, summary.by_family)
        for label, summary in zip(labels, summaries, strict=True)
    ]
    ranked = sorted(summaries[0].by_family.items(), key=lambda item: (item[1].accuracy, item[0]))
    finding = (
        f"{plain(labels[0])} is weakest in {plain(ranked[0][0])} "
        f"({percent(ranked[0][1].accuracy)}) and strongest in {plain(ranked[-1][0])} "
        f"({percent(ranked[-1][1].accuracy)})."
        if ranked[0][1].accuracy < ranked[-1][1].accuracy
        else f"{plain(labels[0])} stands at {percent(ranked[0][1].accuracy)} in every family."
    )
    title = "Accuracy by family"
    slug = f"chart-families-{mode}"
    with own_settings():
        svg = figure_to_svg(
            families.draw(dots), slug, title=title, description=finding, hints=families.hints(dots)
        )
    return Chart(slug, title, finding, svg)


def _curve_words(curve: retention.Curve) -> str:
    lengths = sorted(curve.by_length)
    first, last = lengths[0], lengths[-1]
    start = f"{percent(curve.by_length[first].accuracy)} at {plural(first, 'turn')}"
    if first == last:
        return f"{plain(curve.label)}: {start}."
    end = f"{percent(curve.by_length[last].accuracy)} at {plural(last, 'turn')}"
    return f"{plain(curve.label)}: {start}, {end}."


def _most(by_length: Mapping[int, Cell]) -> str:
    """The length with the lowest difference; a description, not a claim across rows."""
    if len(by_length) < 2:
        return ""
    length = min(by_length, key=lambda n: (by_length[n].difference, n))
    return (
        f"The lowest difference stands at {plural(length, 'turn')}: "
        f"{points(by_length[length].difference)} points."
    )
