"""Whether two runs differ at all: what is the same on both sides carries no verdict.

An adapter that is not applied, and a model compared with itself, look like models that keep
everything. Where every answer is identical, or both runs are one model asked in one way, positive
words and open ones give way to "cannot tell"; a measured loss keeps its word.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from qwen_bench.record.marks import identity_fields
from qwen_bench.stats.results import Sameness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qwen_bench.record.outcome import Outcome, Run
    from qwen_bench.stats.results import Cell, ModeComparison

Key = TypeVar("Key", int, str)


def unverified(fingerprint: str) -> bool:
    """Whether a fingerprint is made of a name, as for servers, and says nothing of the weights."""
    return fingerprint.startswith("unverified:")


def sameness(pairs: Sequence[tuple[Outcome, Outcome]], base: Run, candidate: Run) -> Sameness:
    """How far two runs are the same.

    A pair that neither side answered says nothing and is left out; one that a single side answered
    differs.
    """
    asked = [pair for pair in pairs if any(row.output is not None for row in pair)]
    return Sameness(
        answers=len(asked),
        identical=sum(one.output == two.output and one.logprobs == two.logprobs
                      for one, two in asked),
        repeated=not unverified(base.manifest.model.fingerprint)
        and identity_fields(base.manifest) == identity_fields(candidate.manifest),
    )  # fmt: skip


def withheld(mode: ModeComparison, same: Sameness) -> ModeComparison:
    """The cells of a scorer, without a verdict where the two runs are the same."""
    if not (same.repeated or same.all_identical):
        return mode
    note = "all outputs are identical" if same.all_identical else "the same model twice"

    def silent(cells: Mapping[Key, Cell]) -> dict[Key, Cell]:
        return {key: _silent(cell) for key, cell in cells.items()}

    def part(cell: Cell | None) -> Cell | None:
        return None if cell is None else _silent(cell, note)

    return replace(
        mode,
        overall=_silent(mode.overall, note),
        answered_only=part(mode.answered_only),
        without_failures=part(mode.without_failures),
        in_sight=part(mode.in_sight),
        by_level=silent(mode.by_level),
        by_length=silent(mode.by_length),
        by_family=silent(mode.by_family),
        by_lang=silent(mode.by_lang),
    )


def _silent(cell: Cell, note: str = "") -> Cell:
    """A cell that cannot tell, unless it found a loss or carries no word."""
    if cell.word in {None, "regressed"}:
        return cell
    return replace(cell, word="cannot tell", note=note, more_probes=None)
