"""What is left of a model's ability once guesses are out: R over history length or distance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen_bench.report.charts import lines
from qwen_bench.report.text import interval, percent
from qwen_bench.stats.profile import RETAINED
from qwen_bench.stats.retention import Retention

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HALF = 0.5


@dataclass(frozen=True, slots=True)
class Kept:
    """R of one model.

    Attributes:
        points: by key of the axis; those without R are not drawn.
        end: words at the end of the line.
        drop: key of the effective history length, marked by a line down to the axis.
    """

    label: str
    points: Mapping[str, Retention]
    end: str
    drop: str | None = None


def draw(models: Sequence[Kept], ticks: Mapping[str, str], *, level: float, xlabel: str) -> Figure:
    """Draw R with its bands and the level that matters.

    Args:
        models: in the order of the runs; one that is not measurable keeps its colour for later.
        ticks: label of each key, in the order of the axis.
        level: 0.85 for the effective history length, 0.5 for the half-life.
        xlabel: what the keys are.
    """
    named = "threshold" if level == RETAINED else "one half"
    return lines.draw(
        [_line(model) for model in models],
        ticks,
        levels=[lines.Level(level, f"{100 * level:.0f} %", named)],
        xlabel=xlabel,
    )


def hints(models: Sequence[Kept], ticks: Mapping[str, str]) -> dict[str, str]:
    """Hover text of every mark."""
    return {
        f"point-{number}-{key}": f"{model.label}, {name.splitlines()[0]}: "
        f"keeps {percent(point.value)} ({interval(point.low, point.high)}), n {point.n}"
        for number, model in enumerate(models)
        for key, name in ticks.items()
        if (point := model.points.get(key)) is not None and point.value is not None
    }


def _line(model: Kept) -> lines.Line:
    points = {
        key: lines.Point(point.value, point.low, point.high)
        for key, point in model.points.items()
        if point.value is not None
    }
    return lines.Line(model.label, points, model.end, model.drop)
