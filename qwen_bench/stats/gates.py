"""Gates: conditions such as `overall@16>=60` on the figures of a comparison.

Grammar: `[base:]NAME[@LENGTH] OP NUMBER`, NUMBER in points. A gate reads a point estimate of the
primary scorer over the paired probes of the main condition, the figures of the result table; the
interval is shown beside it and decides nothing. A gate without data fails.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qwen_bench.errors import InputError, near
from qwen_bench.record.formats import turns
from qwen_bench.stats.bootstrap import Resampler
from qwen_bench.stats.clusters import index_rows
from qwen_bench.stats.intervals import accuracy_interval
from qwen_bench.stats.results import GateResult
from qwen_bench.stats.summary import accuracy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from qwen_bench.record.outcome import Outcome
    from qwen_bench.stats.results import Comparison, Word

OVERALL = "overall"
DIFFERENCE = "diff"
RATES = {"error_rate": "error", "truncated_rate": "truncated", "empty_rate": "empty"}
NAMES = (OVERALL, DIFFERENCE, *RATES)

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}
_FORM = (
    "[base:]NAME[@LENGTH] OP NUMBER with OP one of >= > <= < and NUMBER in points",
    "for example overall@16>=60, fact_recall>=90 or diff>=-3; quote it, a shell reads > itself",
)
# Floating sums of shares end in 56.99999999999999 where 57 is meant.
_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition, read but not yet evaluated.

    Attributes:
        text: as typed.
        base: it reads the baseline instead of the candidate.
        name: one of `NAMES` or a family.
        length: history length in turns; None for all of them.
        op: `>=`, `>`, `<=` or `<`.
        bound: in points.
    """

    text: str
    base: bool
    name: str
    length: int | None
    op: str
    bound: float


def parse_gate(text: str) -> Gate:
    """Read a gate; whether its name and length exist is for `check_gate`.

    Args:
        text: `[base:]NAME[@LENGTH] OP NUMBER`; blanks between the parts do not matter.

    Raises:
        InputError: it does not have that form, or its number cannot be one of points.
    """
    found = re.search(r"[<>=!~]+", text)
    if found is None or found[0] not in _OPERATORS:
        what = f"'{found[0]}' is no operator" if found else "there is no operator"
        raise _bad(text, f"{what}; there are {' '.join(_OPERATORS)}")
    left, right = text[: found.start()].strip(), text[found.end() :].strip()
    side, colon, rest = left.rpartition(":")
    if colon and side.strip() != "base":
        raise _bad(text, f"unknown side '{side.strip()}'; only base: can stand before a name")
    name, at, length = (part.strip() for part in rest.partition("@"))
    if not name:
        raise _bad(text, "the name is missing")
    if at and not (length.isascii() and length.isdecimal()):
        raise _bad(text, f"'{length}' is not a number of turns")
    if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", right):
        raise _bad(text, f"'{right}' is not a number" if right else "the number is missing")
    gate = Gate(
        text.strip(), bool(colon), name, int(length) if at else None, found[0], float(right)
    )
    _check_bound(gate)
    return gate


def _check_bound(gate: Gate) -> None:
    """Refuse sides and numbers that cannot be meant.

    Raises:
        InputError: a share in place of points, points out of range, or a side of a difference.
    """
    if gate.name == DIFFERENCE and gate.base:
        raise _bad(gate.text, "diff is candidate minus baseline and has no side")
    lowest = -100 if gate.name == DIFFERENCE else 0
    if not lowest <= gate.bound <= 100:
        raise _bad(gate.text, f"{gate.bound:g} is not between {lowest} and 100 points")
    if 0 < gate.bound < 1 and gate.name not in {DIFFERENCE, *RATES}:
        meant = f"{100 * gate.bound:g}"
        raise _bad(gate.text, f"the number is in points: write {meant} for {meant} percent")


def check_gate(gate: Gate, families: Collection[str], lengths: Collection[int]) -> None:
    """Refuse a gate on something that was never asked.

    Raises:
        InputError: a name that is no family asked, or a length that was not.
    """
    known = [*NAMES, *sorted(families)]
    if gate.name not in known:
        raise _bad(gate.text, f"unknown name '{gate.name}'; {near(gate.name, known)}", form=False)
    if gate.length is not None and gate.length not in lengths:
        named = ", ".join(str(length) for length in sorted(lengths))
        raise _bad(gate.text, f"no probes at length {gate.length}; lengths are {named}", form=False)


def _bad(text: str, what: str, *, form: bool = True) -> InputError:
    """The error for a gate that cannot be used."""
    return InputError(f"--gate '{text}': {what}", fix=_FORM if form else ())


def evaluate(
    gates: Sequence[Gate],
    comparison: Comparison,
    pairs: Sequence[tuple[Outcome, Outcome]],
) -> tuple[GateResult, ...]:
    """Whether a comparison meets its gates.

    Args:
        gates: as parsed and checked.
        comparison: of the two runs.
        pairs: their (baseline, candidate) rows, all scorers and conditions.

    Returns:
        One result for each gate, in order.
    """
    resampler = Resampler(comparison.seed)
    main = [
        pair for pair in pairs if pair[0].mode == comparison.primary and pair[0].condition == "main"
    ]
    return tuple(_evaluated(gate, comparison, main, resampler) for gate in gates)


def _evaluated(
    gate: Gate,
    comparison: Comparison,
    pairs: Sequence[tuple[Outcome, Outcome]],
    resampler: Resampler,
) -> GateResult:
    """One gate; the pairs are those of the primary scorer and the main condition."""
    if gate.name == DIFFERENCE:
        return _of_difference(gate, comparison)
    rows = [
        pair[0 if gate.base else 1]
        for pair in pairs
        if gate.length in {None, pair[0].length} and gate.name in {OVERALL, *RATES, pair[0].family}
    ]
    if not rows:
        return _without_data(gate)
    if gate.name in RATES:
        return _of_rate(gate, rows, resampler)
    found = accuracy(rows, resampler)
    return _result(gate, found.accuracy, found.low, found.high, n=found.n)


def _of_difference(gate: Gate, comparison: Comparison) -> GateResult:
    """A gate on candidate minus baseline: the cell of the result table."""
    mode = comparison.modes[comparison.primary]
    cell = mode.overall if gate.length is None else mode.by_length.get(gate.length)
    if cell is None:
        return _without_data(gate)
    return _result(gate, cell.difference, cell.low, cell.high, n=cell.n)


def _of_rate(gate: Gate, rows: Sequence[Outcome], resampler: Resampler) -> GateResult:
    """A gate on the share of rows with a status; every row weighs the same."""
    values = np.array([row.status == RATES[gate.name] for row in rows], dtype=np.int64)
    index = index_rows([row.cluster for row in rows], ["rows"] * len(rows))
    table = index.table(values, np.ones(len(rows), dtype=np.bool_))
    interval = accuracy_interval(table, resampler)
    return _result(gate, table.macro, interval.low, interval.high, n=len(rows))


def _result(
    gate: Gate,
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    *,
    n: int = 0,
    note: str = "",
) -> GateResult:
    """A gate with its value; the comparison is made in points."""
    met = value is not None and _OPERATORS[gate.op](round(100 * value, _DIGITS), gate.bound)
    return GateResult(gate.text, gate.name, value, low, high, n, met, note)


def _without_data(gate: Gate) -> GateResult:
    """A gate on a cell in which no probe was paired: it fails."""
    place = "" if gate.length is None else f" at {turns(gate.length)}"
    what = "no paired probe" if gate.name in NAMES else f"no paired probe of {gate.name}"
    return _result(gate, None, note=f"no data: {what}{place}")


def verdict_fails(word: Word | None, fail_on: str) -> bool:
    """Whether a verdict fails a pipeline.

    Args:
        word: of the overall cell.
        fail_on: `regression`, `inconclusive` (which includes a regression) or `never`. Both
            include sides that are the same: whether a candidate lost anything was not tried.
    """
    if fail_on == "never":
        return False
    failing = {"regressed", "cannot tell"}
    return word in failing or (fail_on == "inconclusive" and word == "inconclusive")
