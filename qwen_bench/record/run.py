"""A run as statistics and reports see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qwen_bench.record.manifest import Manifest
from qwen_bench.record.outcome import Mode, Outcome

Key = tuple[str, Mode]


@dataclass(frozen=True, slots=True)
class Run:
    """One model's answers to a suite.

    Attributes:
        label: name in tables and charts.
        manifest: what was run, on what, by what.
        outcomes: rows of `results.jsonl`; superseded ones may be among them.
    """

    label: str
    manifest: Manifest
    outcomes: Sequence[Outcome]

    @property
    def run_id(self) -> str:
        """Name of the run folder."""
        return self.manifest.run_id


def key_of(outcome: Outcome) -> Key:
    """Probe id and mode: the key of a row, on which two runs are joined."""
    return outcome.probe_id, outcome.mode


def final_outcomes(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """One row for each probe and mode, sorted by that key.

    The last row that is not an error counts; without one, the last error.

    Args:
        outcomes: rows in the order they were written.
    """
    final: dict[Key, Outcome] = {}
    for row in outcomes:
        key = key_of(row)
        if row.status != "error" or key not in final or final[key].status == "error":
            final[key] = row
    return tuple(final[key] for key in sorted(final))
