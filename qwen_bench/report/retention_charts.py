"""The charts of what each model keeps: R over history length and over distance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from qwen_bench.report import retention_words as words
from qwen_bench.report.charts import retained as kept
from qwen_bench.report.charts.heat_map import bin_name
from qwen_bench.report.charts.style import own_settings
from qwen_bench.report.charts.svg import figure_to_svg
from qwen_bench.report.figures import Chart
from qwen_bench.report.text import percent, plain, plural
from qwen_bench.stats.profile import RETAINED

if TYPE_CHECKING:
    from qwen_bench.stats.profile import Profile
    from qwen_bench.stats.retention import Retention


def length_chart(
    mode: str, labels: Sequence[str], runs: Sequence[Profile | None], lengths: Sequence[int]
) -> Chart | None:
    """R over history length with the 85 % line and the effective history length of each model."""
    models = [
        kept.Kept(
            label,
            {str(length): point for length, point in one.by_length.items()} if one else {},
            f"85 % up to {words.length_words(one.history.ehl)}" if one else "",
            str(one.history.ehl.turns)
            if one and one.history.ehl and one.history.ehl.state != "before"
            else None,
        )
        for label, one in zip(labels, runs, strict=True)
    ]
    ticks = {
        str(
            length
        ): f"{plural(length, 'turn')}\n{_n(one.by_length.get(length) for one in runs if one)}"
        for length in lengths
    }
    return _chart(
        f"chart-kept-{mode}",
        "Share of the ability that is kept, guesses removed",
        models,
        ticks,
        level=RETAINED,
        xlabel="history length; a line falls to the axis at the effective history length"
        if any(model.drop for model in models)
        else "history length",
    )


def distance_chart(
    mode: str,
    labels: Sequence[str],
    runs: Sequence[Profile | None],
    bins: Sequence[tuple[int, int]],
    farthest: int,
) -> Chart | None:
    """R over distance at the largest history length, the slice the half-life is fitted to."""
    models = [
        kept.Kept(
            label,
            {bin_name(item): point for item, point in one.by_distance.items()} if one else {},
            words.half_life_words(one.half_life) if one else "",
        )
        for label, one in zip(labels, runs, strict=True)
    ]
    ticks = {
        bin_name(item): f"{bin_name(item)}\n{_n(one.by_distance.get(item) for one in runs if one)}"
        for item in bins
    }
    return _chart(
        f"chart-distance-{mode}",
        f"Share that is kept by distance, history of {plural(farthest, 'turn')}",
        models,
        ticks,
        level=kept.HALF,
        xlabel="turns between the evidence and the question",
    )


def _n(points: Iterable[Retention | None]) -> str:
    """Number of probes of a slice, that of the first model."""
    first = next((point for point in points if point is not None), None)
    return f"n {first.n:,}" if first else "n 0"


def _chart(
    slug: str,
    title: str,
    models: Sequence[kept.Kept],
    ticks: Mapping[str, str],
    *,
    level: float,
    xlabel: str,
) -> Chart | None:
    """The drawing with its finding; None where no model has an R."""
    drawn = [
        model for model in models if any(point.value is not None for point in model.points.values())
    ]
    if not drawn:
        return None
    place = "at" if level == RETAINED else "at distance"
    finding = " ".join(_words(model, ticks, place) for model in drawn)
    with own_settings():
        svg = figure_to_svg(
            kept.draw(models, ticks, level=level, xlabel=xlabel),
            slug,
            title=title,
            description=finding,
            hints=kept.hints(models, ticks),
        )
    return Chart(slug, title, finding, svg)


def _words(model: kept.Kept, ticks: Mapping[str, str], place: str) -> str:
    """First and last value of a line, and what its end says."""
    known = [
        (key, model.points[key])
        for key in ticks
        if key in model.points and model.points[key].value is not None
    ]
    parts = [
        f"{percent(point.value)} {place} {ticks[key].splitlines()[0]}"
        for key, point in dict((known[0], known[-1])).items()
    ]
    return f"{plain(model.label)} keeps {', '.join(parts)}; {model.end}."
