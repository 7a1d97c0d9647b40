"""Recording a run from Python, with an engine of the caller's.

The command line makes engines from SPECs; this takes one that exists, such as an object with a
`.chat` method, and leaves a run folder that `qwen-bench compare` and `report` read.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from qwen_bench.chat.policy import FULL, Policy
from qwen_bench.errors import InputError
from qwen_bench.probes.programmes import SYSTEM
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Suite, build_suite
from qwen_bench.protocol import Engine, Generation
from qwen_bench.record.manifest import Invocation, Manifest
from qwen_bench.record.outcome import Mode
from qwen_bench.runs import provenance
from qwen_bench.runs.job import Job, timestamp
from qwen_bench.runs.recorder import record
from qwen_bench.runs.runner import plan
from qwen_bench.runs.store import StoredRun

if TYPE_CHECKING:
    from qwen_bench.record.outcome import Outcome


def record_engine(
    engine: Engine,
    *,
    suite: str = "quick",
    selection: Selection | None = None,
    modes: Sequence[Mode] | None = None,
    generation: Generation | None = None,
    policy: Policy = FULL,
    runs_dir: str | Path = "runs",
    resume: str | Path | None = None,
) -> StoredRun:
    """Ask an engine a suite and leave a finished run folder.

    Args:
        engine: who answers; it stays open.
        suite: name.
        selection: what to narrow or widen.
        modes: scorers; those of the suite by default.
        generation: budgets and sampling; those of the suite, greedily, by default.
        policy: the history policy the engine was made with, for the record.
        runs_dir: where run folders are.
        resume: a run folder to continue.

    Returns:
        The finished run.

    Raises:
        InputError: no such suite, or the selection leaves nothing to ask.
        NotComparableError: the run to resume was made with other settings.
        EngineError: the engine cannot rank, or cannot go on; the run can be resumed.
        RunError: the folder cannot be written, or is in use.
        RunInterruptedError: Ctrl-C; what was answered is saved.
    """
    built = _answerable(build_suite(suite, selection), engine)
    chosen = tuple(modes) if modes is not None else built.modes
    who = engine.identity().model
    job = Job(
        suite=built,
        modes=chosen,
        generation=generation or Generation(max_new_tokens=built.max_new_tokens),
        plan=plan(built.dialogues(), chosen),
        spec=who.spec,
        label=who.label,
        runs_dir=Path(runs_dir),
        run_id=None,
        resume=Path(resume) if resume is not None else None,
        retry_errors=False,
        invocation=Invocation(
            started=timestamp(_now()),
            host=provenance.host_hash(),
            hardware=provenance.hardware(),
            packages=provenance.package_versions(),
        ),
        continue_command=lambda folder: f"record_engine(engine, resume={str(folder)!r}, ...)",
        check=_any,
        now=_now,
        policy=str(policy),
    )
    return record(job, engine, _Silent(), lambda: False)


def _answerable(suite: Suite, engine: Engine) -> Suite:
    """The suite as this engine can be asked it: without a system role, no rules in one."""
    if SYSTEM not in suite.programmes or engine.abilities().system_messages:
        return suite
    narrowed = suite.without(SYSTEM)
    if not narrowed.families:
        raise InputError(
            "the engine takes no system message, and only families that need one are asked"
        )
    return narrowed


class _Silent:
    """A watcher that shows nothing; warnings are in the manifest."""

    def started(self, folder: Path, total: int, kept: Sequence[Outcome]) -> None:
        """Asking begins."""

    def answered(self, outcome: Outcome) -> None:
        """One row is written."""

    def notice(self, text: str) -> None:
        """Something the user should know."""


def _any(manifest: Manifest) -> None:
    """Every run is of use."""


def _now() -> datetime:
    """The time, read here and nowhere below."""
    return datetime.now(UTC)
