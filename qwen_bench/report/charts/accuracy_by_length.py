"""Retention curve: accuracy over history length, one line a model, with 95 % bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen_bench.report.charts import lines
from qwen_bench.report.text import interval, percent, plural, tokens
from qwen_bench.stats.results import Accuracy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Curve:
    """One model's accuracy by history length in user turns."""

    label: str
    by_length: Mapping[int, Accuracy]


def draw(curves: Sequence[Curve], *, references: Mapping[str, float]) -> Figure:
    """Draw one to five curves over an ordinal axis of history lengths, with a line at one half.

    A length without an interval has a mark only.

    Args:
        curves: in the order of the runs.
        references: labelled horizontal lines (control conditions), as fractions.
    """
    lengths = sorted({length for curve in curves for length in curve.by_length})
    levels = [lines.Level(value, name, percent(value)) for name, value in references.items()]
    return lines.draw(
        [_line(curve) for curve in curves],
        {str(length): _tick(length, curves) for length in lengths},
        levels=[lines.Level(0.5), *levels],
    )


def hints(curves: Sequence[Curve]) -> dict[str, str]:
    """Hover text of every mark."""
    return {
        f"point-{number}-{length}": f"{curve.label}, {plural(length, 'turn')}: "
        f"{percent(cell.accuracy)} ({interval(cell.low, cell.high)}), n {cell.n}"
        for number, curve in enumerate(curves)
        for length, cell in curve.by_length.items()
    }


def _line(curve: Curve) -> lines.Line:
    points = {
        str(length): lines.Point(cell.accuracy, cell.low, cell.high)
        for length, cell in curve.by_length.items()
    }
    last = percent(curve.by_length[max(curve.by_length)].accuracy) if curve.by_length else ""
    return lines.Line(curve.label, points, last)


def _tick(length: int, curves: Sequence[Curve]) -> str:
    cell = next(curve.by_length[length] for curve in curves if length in curve.by_length)
    parts = (plural(length, "turn"), tokens(cell.prompt_tokens_median), f"n {cell.n:,}")
    return "\n".join(part for part in parts if part)
