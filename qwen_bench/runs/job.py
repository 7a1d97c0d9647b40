"""What the recorder is given, whom it tells, and how it says that it was stopped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from qwen_bench.errors import QwenBenchError
    from qwen_bench.probes.suites import Suite
    from qwen_bench.protocol import Generation
    from qwen_bench.record.manifest import Invocation, Manifest
    from qwen_bench.record.outcome import Mode, Outcome
    from qwen_bench.runs.runner import Plan
    from qwen_bench.runs.store import StoredRun


class Watcher:
    """Who is told of the answers of one model; nobody, unless a display overrides it."""

    def started(self, folder: Path, total: int, kept: Sequence[Outcome]) -> None:
        """Asking begins; `kept` are the rows of earlier invocations that count."""

    def answered(self, outcome: Outcome) -> None:
        """One row is written."""

    def reading(self, read: int, total: int) -> None:
        """So many tokens were read of those that the questions of a dialogue share."""

    def notice(self, text: str) -> None:
        """Something the user should know."""


class Reporter:
    """Who is told what happens; nobody, unless a display overrides it.

    What matters afterwards is in the manifests too.
    """

    def say(self, text: str) -> None:
        """A line for the user."""

    def watcher(self, label: str, probes: int) -> Watcher:
        """Who is told of the answers of one model.

        Args:
            label: its name.
            probes: number of probes it is asked.
        """
        del label, probes
        return Watcher()

    def broke(self, error: QwenBenchError) -> None:
        """One of several models broke; the others go on."""

    def finished(self, label: str, run: StoredRun) -> None:
        """One model is done."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one model is to be asked, and where the answers go.

    Attributes:
        generation: how answers are generated.
        plan: of `suite` and `modes`.
        resume: a run folder, `latest` for the newest of equal identity, None for a new run.
        invocation: this process, as far as known at its start.
        continue_command: the command line that continues the run in a folder.
        policy: history policy; the engine applies it, the rows and the manifest name it.
        check: raises when the run, as its manifest would be, is of no use.
        now: UTC time.
    """

    suite: Suite
    modes: tuple[Mode, ...]
    generation: Generation
    plan: Plan
    spec: str
    label: str
    runs_dir: Path
    run_id: str | None
    resume: Path | Literal["latest"] | None
    retry_errors: bool
    invocation: Invocation
    continue_command: Callable[[Path], str]
    check: Callable[[Manifest], None]
    now: Callable[[], datetime]
    policy: str = "full"


class RunInterruptedError(Exception):
    """The user stopped a run; everything answered is saved and the folder is in order.

    Args:
        saved: rows that need not be asked again.
        total: rows of the complete run.
        command: what continues it.
    """

    def __init__(self, saved: int, total: int, command: str) -> None:
        super().__init__(f"interrupted: {saved} of {total} answers are saved")
        self.command = command


def timestamp(moment: datetime) -> str:
    """UTC, ISO 8601, seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
