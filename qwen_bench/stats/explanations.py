"""What stands behind a difference, in words: failures, cut evidence, ability and memory.

That a model forgets, or keeps more, is said only if the memory part of the difference is
significant, and stays so without the pairs that failed and without those whose evidence was cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwen_bench.record.formats import NO_INTERVAL, signed
from qwen_bench.stats.ability_memory import direction
from qwen_bench.stats.results import Part

if TYPE_CHECKING:
    from qwen_bench.stats.results import Cell, Comparison, ModeComparison

KEEPS_MORE = "it keeps more context"
FORGETS_MORE = "it forgets more"
UNCHANGED = "what it keeps changes by no more than the margin"
OPEN = "whether it keeps context better or worse is open"
UNTOLD = "there are too few clusters to tell what it keeps"
_ROUNDING = 1e-12


def failures(mode: ModeComparison) -> str:
    """What was not answered, and the difference without it; empty where every pair was answered."""
    cell, other = mode.overall, mode.without_failures
    if not cell.failed:
        return ""
    errors = "error" if cell.error == 1 else "errors"
    counts = (
        (cell.too_long, "too long"),
        (cell.error, errors),
        (cell.refused, "refused"),
        (cell.empty, "empty"),
    )
    named = ", ".join(f"{number} {name}" for number, name in counts if number)
    start = f"{cell.failed} of {cell.n} pairs failed on a side and count as wrong ({named})"
    if other is None:
        return f"{start}: no pair was answered on both sides."
    left = f"{other.n} answered on both sides"
    return f"{start}; among the {left} the difference is {_figure(other)}."


def cut(mode: ModeComparison, margin: float) -> str:
    """What the history policy cut, and the difference without it; empty without such evidence."""
    cell, other = mode.overall, mode.in_sight
    if not cell.cut:
        return ""
    start = f"The history policy cut the evidence out of a prompt in {cell.cut} of {cell.n} pairs"
    if other is None:
        return f"{start}: in none was it in both prompts."
    figure = _figure(other)
    if cell.word == "regressed" and other.low is not None and other.low >= -margin - _ROUNDING:
        return (
            f"The loss lies where the history policy cut the evidence out of a prompt ({cell.cut} "
            f"of {cell.n} pairs): with it in both prompts there is no loss larger than the margin, "
            f"{figure}."
        )
    return f"{start}; with it in both prompts the difference is {figure}."


def ability_and_memory(comparison: Comparison) -> str:
    """What of the difference is ability and what is memory, each with its interval."""
    mode = comparison.modes[comparison.primary]
    parts = mode.overall.parts
    if parts is None:
        return (
            "What of the difference is ability and what is memory is not known: not every question "
            "was asked with the evidence directly before it."
        )
    return (
        f"Ability, with the evidence directly before the question, changes by "
        f"{_figure(parts.ability)}; memory, the rest, by {_figure(parts.memory)}: "
        f"{_finding(comparison)}."
    )


def _finding(comparison: Comparison) -> str:
    """What the memory part shows."""
    mode = comparison.modes[comparison.primary]
    parts = mode.overall.parts
    if parts is None or parts.memory.low is None or parts.memory.high is None:
        return UNTOLD
    moved = memory_direction(mode, comparison.alpha)
    if moved:
        return KEEPS_MORE if moved > 0 else FORGETS_MORE
    inside = max(-parts.memory.low, parts.memory.high) <= comparison.margin + _ROUNDING
    return UNCHANGED if inside and not _doubted(mode) else OPEN


def memory_direction(mode: ModeComparison, alpha: float) -> int:
    """Whether the candidate keeps more (1), forgets more (-1), or neither is shown (0).

    Pairs that failed and evidence that was cut are neither remembered nor forgotten, so what is
    left without them must show the same.

    Args:
        mode: one scorer.
        alpha: level of the test.
    """
    found = {_moved(mode.overall, alpha)}
    found |= {_moved(cell, alpha) for cell in _doubted(mode)}
    return found.pop() if len(found) == 1 else 0


def _doubted(mode: ModeComparison) -> list[Cell | None]:
    """The overall row without what is no matter of memory, where there is such."""
    others = [(mode.overall.failed, mode.without_failures), (mode.overall.cut, mode.in_sight)]
    return [cell for number, cell in others if number]


def _moved(cell: Cell | None, alpha: float) -> int:
    """Direction of the memory part of a cell; 0 without one."""
    return 0 if cell is None or cell.parts is None else direction(cell.parts.memory, alpha)


def _figure(found: Cell | Part) -> str:
    """A difference in points with its interval."""
    value = found.value if isinstance(found, Part) else found.difference
    if found.low is None or found.high is None:
        return f"{signed(value)} points ({NO_INTERVAL})"
    return f"{signed(value)} points (95 % interval {signed(found.low)} to {signed(found.high)})"
