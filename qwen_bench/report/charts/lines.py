"""Lines over history length, tokens or distance, one a model: accuracy, and what is left of it.

Each has its 95 % intervals and is named at its end; findings state what the numbers show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D

from qwen_bench.record.formats import MINUS, axis_tokens, interval, percent, turns
from qwen_bench.report.charts.svg import (
    DASHES,
    GRID,
    MUTED,
    PAPER,
    PIXELS_PER_INCH,
    SERIES,
    SMALL,
    Chart,
    make_chart,
    new_axes,
    new_figure,
    put_model_mark,
    put_text,
    short_name,
    spread,
)
from qwen_bench.report.tables import Key
from qwen_bench.report.untrusted_text import plain
from qwen_bench.stats.profile import RETAINED
from qwen_bench.stats.token_bins import token_bin_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qwen_bench.stats.results import Accuracy, ModeSummary
    from qwen_bench.stats.retention import Retention

_HALF = 0.5
_LABEL_GAP = 0.104  # of the height of the axis; two lines of text
_LONGEST_NAME = 25
_AIR = 0.02
_BANDS_UP_TO = 2  # models; more bands cannot be told apart
_HOLLOW_EDGE = 1.8
_KEY_FROM_RIGHT = 190  # pixels
_KEY_BELOW_AXIS = 34  # pixels
HOLLOW = "hollow: no interval"
_MOST_WORDED_TICKS = 7  # more would run into each other
_CONTROLS = (("adjacent", "evidence directly before"), ("blind", "question alone"))


@dataclass(frozen=True, slots=True)
class Point:
    """A value with its interval, both ends None without one, and the text shown over its mark."""

    value: float
    low: float | None = None
    high: float | None = None
    hint: str = ""

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Both ends of the interval; None without one, and the mark is then hollow."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One model.

    Attributes:
        points: by key of the axis; a key without a value is left out, and the line has a gap.
        end: second line of the label at the line's end.
        drop: key from which a line falls to the axis; None without.
    """

    label: str
    points: Mapping[str, Point]
    end: str
    drop: str | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line; with a name it is labelled like a model, without it is fine and dotted."""

    value: float
    name: str = ""
    end: str = ""


def accuracy_chart(mode: str, labels: Sequence[str], summaries: Sequence[ModeSummary]) -> Chart:
    """Accuracy over history length; a single model also gets its controls as levels."""
    slices = [summary.by_length for summary in summaries]
    levels = [Level(_HALF)]
    for condition, name in _CONTROLS if len(summaries) == 1 else ():
        cell = summaries[0].by_condition.get(condition)
        if cell is not None and cell.n:
            levels.append(Level(cell.accuracy, name, percent(cell.accuracy)))
    named = list(zip(labels, slices, strict=True))
    drawn = [accuracy_line(label, found) for label, found in named]
    ticks, xlabel = _length_ticks(_first_of_each(slices))
    return make_chart(
        lambda: draw(drawn, ticks, levels=levels, xlabel=xlabel),
        f"chart-retention-{mode}",
        title="Accuracy over history length",
        finding=" ".join(_accuracy_words(label, found, turns) for label, found in named),
        hints=hints(drawn),
    )


def tokens_chart(
    mode: str, labels: Sequence[str], summaries: Sequence[ModeSummary]
) -> Chart | None:
    """Accuracy over the tokens of the prompt; None where all prompts lie in one bin or none."""
    slices = [summary.by_tokens for summary in summaries]
    bins = _first_of_each(slices)
    if len(bins) < 2:
        return None
    named = list(zip(labels, slices, strict=True))
    drawn = [accuracy_line(label, found, _tokens_words) for label, found in named]
    ticks = {
        str(most): token_bin_name(most).replace("to ", "to\n") + f"\nn {cell.n:,}"
        for most, cell in bins.items()
    }
    return make_chart(
        lambda: draw(drawn, ticks, levels=[Level(_HALF)], xlabel="tokens of the prompt, k = 1,024"),
        f"chart-tokens-{mode}",
        title="Accuracy over prompt tokens",
        finding=" ".join(_accuracy_words(label, found, _tokens_words) for label, found in named),
        hints=hints(drawn),
    )


def _tokens_words(most: int) -> str:
    return f"{token_bin_name(most)} tokens"


def _first_of_each(slices: Sequence[Mapping[int, Accuracy]]) -> dict[int, Accuracy]:
    """Of every key the cell of the first model that has it, keys sorted."""
    keys = sorted({key for found in slices for key in found})
    return {key: next(found[key] for found in slices if key in found) for key in keys}


def accuracy_line(
    label: str, cells: Mapping[int, Accuracy], words: Callable[[int], str] = turns
) -> ModelLine:
    """Accuracy of one model; a key without an interval has a mark only.

    Args:
        label: of the model.
        cells: by history length or another key that grows along the axis.
        words: a key in words.
    """
    points = {
        str(key): Point(
            cell.accuracy,
            cell.low,
            cell.high,
            f"{label}, {words(key)}: {percent(cell.accuracy)} "
            f"({interval(cell.low, cell.high)}), n {cell.n}",
        )
        for key, cell in cells.items()
    }
    return ModelLine(label, points, percent(cells[max(cells)].accuracy) if cells else "")


def _length_ticks(cells: Mapping[int, Accuracy]) -> tuple[dict[str, str], str]:
    """Labels of the history lengths, and what they are where many leave no room for words."""
    few = len(cells) <= _MOST_WORDED_TICKS
    ticks = {}
    for length, cell in cells.items():
        parts = (turns(length), axis_tokens(cell.prompt_tokens_median))
        worded = parts if few else [part.split(" ")[0] for part in parts]
        ticks[str(length)] = "\n".join([part for part in worded if part] + [f"n {cell.n:,}"])
    return ticks, "" if few else "history in turns, and in tokens where they are known"


def _accuracy_words(label: str, cells: Mapping[int, Accuracy], words: Callable[[int], str]) -> str:
    """First and last value of a model in words."""
    if not cells:
        return f"{plain(label)}: its prompts were not counted."
    parts = [
        f"{percent(cells[key].accuracy)} at {words(key)}"
        for key in dict.fromkeys((min(cells), max(cells)))
    ]
    return f"{plain(label)}: {', '.join(parts)}."


def retained_chart(
    slug: str,
    title: str,
    labels: Sequence[str],
    models: Sequence[Mapping[Key, Retention]],
    names: Mapping[Key, str],
    *,
    ends: Sequence[str],
    drops: Sequence[Key | None] | None = None,
    level: float,
    xlabel: str,
) -> Chart | None:
    """R over history length or distance; None where no model has one.

    Args:
        slug: of the chart.
        title: of the chart.
        labels: of the models; one that is not measurable keeps its colour for later.
        models: R by key of the axis.
        names: of each key, in the order of the axis.
        ends: words at the end of each line.
        drops: key of each effective history length, marked by a line down to the axis.
        level: 0.85 for the effective history length, 0.5 for the half-life.
        xlabel: what the keys are.
    """
    drawn = [
        ModelLine(
            label,
            {
                str(key): Point(
                    point.value,
                    point.low,
                    point.high,
                    f"{label}, {names[key]}: keeps {percent(point.value)} "
                    f"({interval(point.low, point.high)}), n {point.n}",
                )
                for key, point in points.items()
                if point.value is not None
            },
            end,
            None if drop is None else str(drop),
        )
        for label, points, end, drop in zip(
            labels, models, ends, drops or [None] * len(labels), strict=True
        )
    ]
    if not any(line.points for line in drawn):
        return None
    named, place = ("threshold", "at") if level == RETAINED else ("one half", "at distance")
    ticks = {
        str(key): f"{name}\n{_n(points.get(key) for points in models)}"
        for key, name in names.items()
    }
    known = {str(key): name for key, name in names.items()}
    levels = [Level(level, f"{100 * level:.0f} %", named)]
    return make_chart(
        lambda: draw(drawn, ticks, levels=levels, xlabel=xlabel),
        slug,
        title=title,
        finding=" ".join(_retained_words(line, known, place) for line in drawn if line.points),
        hints=hints(drawn),
    )


def _n(points: Iterable[Retention | None]) -> str:
    """Number of probes of a slice, that of the first model."""
    first = next((point for point in points if point is not None), None)
    return f"n {first.n:,}" if first else "n 0"


def _retained_words(line: ModelLine, names: Mapping[str, str], place: str) -> str:
    """First and last value of a line, and what its end says."""
    known = [key for key in names if key in line.points]
    parts = [
        f"{percent(line.points[key].value)} {place} {names[key]}"
        for key in dict.fromkeys((known[0], known[-1]))
    ]
    return f"{plain(line.label)} keeps {', '.join(parts)}; {line.end}."


def hints(lines: Sequence[ModelLine]) -> dict[str, str]:
    """Hover text of every mark."""
    return {
        f"point-{number}-{key}": point.hint
        for number, line in enumerate(lines)
        for key, point in line.points.items()
    }


def draw(
    lines: Sequence[ModelLine],
    ticks: Mapping[str, str],
    *,
    levels: Sequence[Level] = (),
    xlabel: str = "",
) -> Figure:
    """Draw one to five lines.

    The axis reaches from 0 to 100 % and further where a value or an interval does. Up to two models
    get shaded bands, more get bars side by side, which stay readable when they overlap. A band ends
    where a point has no interval; its mark is hollow, and a key below the names says so.

    Args:
        lines: in the order of the runs; the order fixes colour, marker and dash.
        ticks: label of each key, in the order of the axis.
        levels: horizontal lines, as fractions.
        xlabel: what the keys are, where the ticks do not say it.
    """
    rows = max((label.count("\n") + 1 for label in ticks.values()), default=1)
    foot = 24 + 18 * rows + (22 if xlabel else 0)
    figure = new_figure(900, 352 + foot)
    axes = new_axes(figure, left=58, right=215, top=16, bottom=foot)
    bottom, top = _reach(lines)
    right = len(ticks) - 1 + 0.35
    axes.set_ylim(bottom - _AIR, top + _AIR)
    axes.set_xlim(-0.35, right)
    step = 0.25 if top - bottom <= 1.5 else 0.5
    marks = [step * k for k in range(math.ceil(bottom / step), math.floor(top / step) + 1)]
    axes.set_yticks(marks, [f"{100 * mark:.0f} %".replace("-", MINUS) for mark in marks])
    axes.tick_params(colors=MUTED, labelsize=SMALL)
    axes.set_xticks(range(len(ticks)), list(ticks.values()))
    for label in axes.get_xticklabels():
        label.set_linespacing(1.45)
    if xlabel:
        axes.set_xlabel(xlabel, color=MUTED, fontsize=SMALL, labelpad=8)
    axes.grid(axis="y", color=GRID, linewidth=1)
    for level in levels:
        dash = (0, (6, 3)) if level.name else (0, (2, 3))
        axes.axhline(level.value, color=MUTED, linewidth=1.2 if level.name else 1, linestyle=dash)
    places = {key: float(place) for place, key in enumerate(ticks)}
    for number, line in enumerate(lines):
        _draw_line(axes, number, line, places, of=len(lines))
    _end_labels(axes, lines, list(ticks), levels, right=right)
    if any(point.bounds is None for line in lines for point in line.points.values()):
        _hollow_key(figure, foot)
    return figure


def _hollow_key(figure: Figure, foot: float) -> None:
    """What a hollow mark means, below the names at the line ends; `foot` is the axis' height."""
    width, height = figure.get_size_inches() * PIXELS_PER_INCH
    x, y = (width - _KEY_FROM_RIGHT) / width, (foot - _KEY_BELOW_AXIS) / height
    figure.add_artist(
        Line2D(
            [x],
            [y],
            marker="o",
            markersize=8.5,
            color=PAPER,
            markeredgecolor=MUTED,
            markeredgewidth=_HOLLOW_EDGE,
            transform=figure.transFigure,
            gid="hollow-key",
        )
    )
    put_text(figure, x + 12 / width, y, HOLLOW)


def _reach(lines: Sequence[ModelLine]) -> tuple[float, float]:
    """Lowest and highest value of the axis; intervals are never cut off."""
    ends = [0.0, 1.0]
    for line in lines:
        for point in line.points.values():
            ends += [end for end in (point.value, point.low, point.high) if end is not None]
    return min(ends), max(ends)


def _draw_line(
    axes: Axes, number: int, line: ModelLine, places: Mapping[str, float], *, of: int
) -> None:
    """Band or bars, line, marks and drop of one model."""
    colour = SERIES[number]
    bands = of <= _BANDS_UP_TO
    shift = 0.0 if bands else 0.07 * (number - (of - 1) / 2)
    keys = [key for key in places if key in line.points]
    x = {key: places[key] + shift for key in keys}
    for part, run in enumerate(_unbroken(line, places)):
        known = [(x[key], *bounds) for key in run if (bounds := line.points[key].bounds)]
        if bands and len(known) > 1:
            across, lows, highs = zip(*known, strict=True)
            axes.fill_between(
                across,
                lows,
                highs,
                color=colour,
                alpha=0.13,
                linewidth=0,
                gid=f"band-{number}-{part}",
            )
            continue
        for place, low, high in known:
            axes.plot([place, place], [low, high], color=colour, linewidth=1.6, alpha=0.55)
    if line.drop in x:
        # Drops of two models at one place stand side by side.
        at = x[line.drop] + (0.03 * (2 * number - of + 1) if bands else 0.0)
        axes.plot(
            [at, at],
            [axes.get_ylim()[0], line.points[line.drop].value],
            color=colour,
            linewidth=1.6,
            linestyle=DASHES[number],
            gid=f"drop-{number}",
        )
    values = [line.points[key].value if key in line.points else math.nan for key in places]
    axes.plot(
        [place + shift for place in places.values()],
        values,
        color=colour,
        linestyle=DASHES[number],
        linewidth=2.4,
        gid=f"series-{number}",
    )
    for key in keys:
        point, gid = line.points[key], f"point-{number}-{key}"
        style = {} if point.bounds else {"hollow": True, "edge": _HOLLOW_EDGE}
        put_model_mark(axes, number, x[key], point.value, 8.5, gid=gid, **style)


def _unbroken(line: ModelLine, keys: Iterable[str]) -> list[list[str]]:
    """Neighbouring keys of the axis that have an interval each; a key without one ends a run."""
    runs: list[list[str]] = [[]]
    for key in keys:
        if key in line.points and line.points[key].bounds:
            runs[-1].append(key)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _end_labels(
    axes: Axes,
    lines: Sequence[ModelLine],
    keys: Sequence[str],
    levels: Sequence[Level],
    *,
    right: float,
) -> None:
    """Names at the line ends instead of a legend, moved apart where lines end close together."""
    wanted: list[tuple[float, str, str, bool]] = []
    for number, line in enumerate(lines):
        last = next((key for key in reversed(keys) if key in line.points), None)
        if last is not None:
            short = short_name(line.label, _LONGEST_NAME)
            wanted.append((line.points[last].value, f"{short}\n{line.end}", SERIES[number], True))
    wanted += [
        (level.value, f"{level.name}\n{level.end}", MUTED, False) for level in levels if level.name
    ]
    bottom, top = axes.get_ylim()
    apart = spread([value for value, *_ in wanted], _LABEL_GAP * (top - bottom), top=top - _AIR)
    for (_, text, colour, strong), y in zip(wanted, apart, strict=True):
        style = {"fontweight": "bold" if strong else "normal", "linespacing": 1.3}
        x = right + 0.02 * (right + 0.35)
        put_text(axes, x, y, text, color=colour, clip_on=False, **style)
