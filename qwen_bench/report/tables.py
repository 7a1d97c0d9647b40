"""Tables as values: what terminal, Markdown and page show, built once and written by each of them.

A value is a number with its unit and interval, and the words a reader needs beside it. A missing
number gives way to words, never to a guess. Computes no statistic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from qwen_bench.record import formats
from qwen_bench.record.formats import NO_INTERVAL, count, interval, p_value, plural

if TYPE_CHECKING:
    from qwen_bench.stats.results import (
        Accounting,
        Accuracy,
        Cell,
        Comparison,
        Decomposition,
        Gap,
        GateResult,
        LanguageGap,
        Part,
    )

Unit = Literal["percent", "points", "count", "p", "decimal", "times", "seconds", "bytes", "rate"]
Key = TypeVar("Key")
Slice = TypeVar("Slice")

_TEXTS: Mapping[Unit, Callable[[float], str]] = {
    "percent": formats.percent,
    "points": formats.points,
    "count": count,
    "p": p_value,
    "decimal": formats.decimal,
    "times": lambda number: f"{number:.1f} ×",
    "seconds": formats.duration,
    "bytes": formats.byte_size,
    "rate": formats.rate,
}


@dataclass(frozen=True, slots=True)
class Value:
    """What stands in one place of a table.

    Attributes:
        number: None where there is none, and where a text is all that is shown of it.
        unit: fractions are shown in percent or points.
        low, high: 95 % interval; None without one.
        word: shown instead of the number.
        note: shown below it instead of the interval.
    """

    number: float | None = None
    unit: Unit = "percent"
    low: float | None = None
    high: float | None = None
    word: str = ""
    note: str = ""

    @property
    def text(self) -> str:
        """The word, or the number in its unit; a dash without both."""
        if self.word:
            return self.word
        return "–" if self.number is None else _TEXTS[self.unit](self.number)

    @property
    def spread(self) -> str:
        """The interval in words."""
        write = formats.points_interval if self.unit == "points" else interval
        return write(self.low, self.high)

    @property
    def detail(self) -> str:
        """The second line: the note, or the interval if there is one."""
        return self.note or ("" if self.low is None or self.high is None else self.spread)


ABSENT = Value(word="no probes")
"""Stands for itself and all that would follow it in its group of columns."""

UNKNOWN = Value()
"""Shown as a dash."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: a value for each column.

    Attributes:
        help: what the row means; empty where its name says it.
        changes: one a candidate, behind the columns of the runs.
    """

    name: str
    values: tuple[Value, ...]
    help: str = ""
    changes: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportTable:
    """Rows under a title.

    Attributes:
        first: heading of the names.
        columns: headings of the values; a table of several runs repeats them for each.
        caption: longer than the title, where one is needed.
    """

    title: str
    first: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    caption: str = ""


def run_table(
    title: str,
    columns: tuple[str, ...],
    keys: Mapping[Key, str],
    runs: Sequence[Mapping[Key, Slice]],
    values: Callable[[Slice], Iterable[Value]],
    *,
    first: str = "history",
    caption: str = "",
    absent: str = "0",
) -> ReportTable:
    """Slices of every run, with the columns repeated for each.

    Args:
        title: of the table.
        columns: of one run.
        keys: names of the slices, by key.
        runs: slices by key, a mapping a run.
        values: of a slice, one a column.
        first: heading of the names.
        caption: longer than the title.
        absent: stands in the first column of a slice that a run does not have; may be empty.
    """
    missing = (*((Value(word=absent),) if absent else ()), *[ABSENT] * len(columns))[: len(columns)]
    rows = tuple(
        TableRow(name, tuple(v for found in runs for v in _of(found.get(key), values, missing)))
        for key, name in keys.items()
    )
    return ReportTable(title, first, columns, rows, caption)


def _of(
    found: Slice | None, values: Callable[[Slice], Iterable[Value]], missing: Iterable[Value]
) -> Iterable[Value]:
    return missing if found is None else values(found)


def accuracy_value(cell: Accuracy) -> Value:
    """An accuracy with its interval."""
    note = NO_INTERVAL if cell.low is None or cell.high is None else ""
    return Value(cell.accuracy, "percent", cell.low, cell.high, note=note)


def accuracy_table(
    title: str, first: str, keys: Mapping[Key, str], runs: Sequence[Mapping[Key, Accuracy]]
) -> ReportTable:
    """Accuracy of every run in the slices of one factor."""

    def values(cell: Accuracy) -> Iterable[Value]:
        spread = Value(word=interval(cell.low, cell.high))
        return Value(cell.n, "count"), Value(cell.accuracy), spread

    return run_table(title, ("n", "accuracy", "95 % interval"), keys, runs, values, first=first)


def unanswered(cell: Cell | Accuracy, grouping: str = ",") -> str:
    """What was not answered in a cell: ``3 too long, 1 errors``; nothing when all was."""
    counts = [(cell.too_long, "too long"), (cell.error, "errors"), (cell.empty, "empty")]
    return ", ".join(f"{number:{grouping}} {name}" for number, name in counts if number)


def paired_table(
    title: str,
    first: str,
    cells: Mapping[str, Cell],
    total: Cell | None = None,
    *,
    adjusted: bool = False,
) -> ReportTable:
    """Paired differences in the slices of one factor, the overall one behind them.

    Args:
        title: of the table.
        first: heading of the names.
        cells: by name of the slice.
        total: the overall cell.
        adjusted: show p-values that are adjusted over the slices.
    """
    p = "adjusted p" if adjusted else "p"
    rows = [paired_row(name, cell, adjusted=adjusted) for name, cell in cells.items()]
    rows += [paired_row("all", total)] if total else []
    columns = ("pairs", "baseline", "candidate", "difference", p, "finding")
    return ReportTable(title, first, columns, tuple(rows))


def paired_row(name: str, cell: Cell, *, adjusted: bool = False) -> TableRow:
    """A cell as a row of `paired_table`."""
    values = (
        Value(cell.n, "count"),
        Value(cell.base),
        Value(cell.candidate),
        Value(cell.difference, "points", cell.low, cell.high),
        Value(cell.p_adjusted if adjusted else cell.p, "p"),
        Value(word=cell.word or "", note=cell.note),
    )
    return TableRow(name, values)


def parts_table(
    title: str, first: str, cells: Mapping[str, Cell], total: Cell | None = None
) -> ReportTable:
    """What of the differences is ability and what is memory, the overall one last.

    Args:
        title: of the table.
        first: heading of the names.
        cells: by name of the slice; those without parts are left out.
        total: the overall cell.
    """
    named = [*cells.items(), *([("all", total)] if total else [])]
    rows = tuple(TableRow(name, _parts(cell, cell.parts)) for name, cell in named if cell.parts)
    columns = (
        "pairs", "difference", "baseline, evidence directly before",
        "candidate, evidence directly before", "ability", "p", "memory", "p",
    )  # fmt: skip
    return ReportTable(title, first, columns, rows)


def _parts(cell: Cell, parts: Decomposition) -> tuple[Value, ...]:
    """A cell as a row of `parts_table`."""
    return (
        Value(cell.n, "count"),
        Value(cell.difference, "points"),
        Value(parts.base_adjacent),
        Value(parts.candidate_adjacent),
        part_value(parts.ability),
        Value(parts.ability.p, "p"),
        part_value(parts.memory),
        Value(parts.memory.p, "p"),
    )


def part_value(part: Part) -> Value:
    """Ability or memory in points with its interval."""
    note = NO_INTERVAL if part.low is None or part.high is None else ""
    return Value(part.value, "points", part.low, part.high, note=note)


def parts_words(parts: Decomposition) -> str:
    """Ability and memory in a line: ``ability +2.9 points (...), memory −7.8 points (...)``."""
    named = (("ability", parts.ability), ("memory", parts.memory))
    return ", ".join(
        f"{name} {value.text} points (95 % interval {value.spread})"
        for name, value in ((name, part_value(part)) for name, part in named)
    )


def outcomes_table(title: str, by_length: Mapping[int, Cell]) -> ReportTable:
    """Pairs by outcome and history length."""
    columns = ("pairs", "right in both", "gained", "lost", "wrong in both")
    rows = (
        TableRow(
            formats.turns(length),
            _words(count, cell.n, cell.both_right, cell.gained, cell.lost, cell.both_wrong),
        )
        for length, cell in sorted(by_length.items())
    )
    return ReportTable(title, "history", columns, tuple(rows))


def effects_table(title: str, cells: Mapping[str, Cell], total: Cell) -> ReportTable:
    """Sizes of the change by family and in all; they decide nothing."""
    rows = tuple(TableRow(name, _effects(cell)) for name, cell in [*cells.items(), ("all", total)])
    return ReportTable(title, "family", (), rows)


def _effects(cell: Cell) -> tuple[Value, ...]:
    counts, sizes = _words(count, cell.lost, cell.gained), cell.effects
    if sizes is None:
        return *counts, Value(word="not computed")
    ratio = (Value(word="no flip"), UNKNOWN)
    if sizes.odds_ratio is not None:
        ratio = (Value(sizes.odds_ratio, "decimal"), Value(sizes.cohens_g, "decimal"))
    return *counts, Value(sizes.flip_rate), *ratio, *_words(p_value, sizes.p_loss, sizes.mid_p)


def _words(write: Callable[[float | None], str], *numbers: float | None) -> tuple[Value, ...]:
    """Numbers of which the text is all that is shown."""
    return tuple(Value(word=write(number)) for number in numbers)


def languages_table(gap: LanguageGap) -> ReportTable:
    """The gap between the languages of both sides, and its change."""

    def value(found: Gap) -> Value:
        note = "" if found.low is not None else found.note or NO_INTERVAL
        return Value(found.value, "points", found.low, found.high, note=note)

    row = TableRow("gap", (value(gap.base), value(gap.candidate), value(gap.change)))
    asked = plural(gap.n, "question")
    title = f"Chinese minus English over {asked} asked in both, points; decides nothing"
    return ReportTable(title, "", ("baseline", "candidate", "change"), (row,))


def gates_table(gates: Sequence[GateResult]) -> ReportTable:
    """What the gates read and whether they are met; one without data has words for a value."""
    rows = []
    for gate in gates:
        unit: Unit = "points" if gate.name == "diff" else "percent"
        missing = "no data" if gate.value is None else ""
        value = Value(gate.value, unit, gate.low, gate.high, word=missing)
        met = Value(word="met" if gate.passed else "not met", note=gate.note)
        rows.append(TableRow(gate.expr, (value, Value(gate.n, "count"), met)))
    title = "Gates: figures that must hold, whatever the verdict"
    return ReportTable(title, "gate", ("value", "pairs", "outcome"), tuple(rows))


def accounting_words(went: Accounting, grouping: str = ",") -> str:
    """Where rows went that are not simply answered, all scorers and conditions together."""
    counts = (
        (went.paired, "paired"),
        (went.error, "errors"),
        (went.truncated_base + went.truncated_candidate, "truncated"),
        (went.too_long, "too long"),
        (went.refused_base + went.refused_candidate, "refused"),
        (went.empty_base + went.empty_candidate, "empty"),
    )
    return ", ".join(f"{number:{grouping}} {name}" for number, name in counts)


def accounting_table(comparisons: Sequence[Comparison], labels: Sequence[str]) -> ReportTable:
    """Where every probe went, a row a candidate."""
    rows = []
    for label, comparison in zip(labels, comparisons, strict=True):
        went = comparison.accounting
        numbers = (
            went.paired, went.only_base, went.only_candidate, went.error, went.too_long,
            went.truncated_base, went.truncated_candidate, went.refused_base,
            went.refused_candidate, went.empty_base, went.empty_candidate,
        )  # fmt: skip
        rows.append(TableRow(label, tuple(Value(number, "count") for number in numbers)))
    columns = (
        "paired", "only in baseline", "only in candidate", "error", "too long",
        "truncated, baseline", "truncated, candidate", "refused, baseline", "refused, candidate",
        "empty, baseline", "empty, candidate",
    )  # fmt: skip
    title = "Where every probe went, all scorers together"
    return ReportTable(title, "candidate", columns, tuple(rows))
