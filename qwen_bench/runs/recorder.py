"""Making, continuing and finishing the run folder of one model.

Order of writing: manifest (`running`), rows, summary, manifest (`finished`); a finished manifest
therefore proves the rest. Resuming is one expression: expected keys minus keys with a final row.
Knows no flags and prints nothing: it reports to a `Watcher`.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from qwen_bench.errors import (
    EngineError,
    NotComparableError,
    QwenBenchError,
    RunError,
    RunLockedError,
)
from qwen_bench.record.manifest import Manifest
from qwen_bench.record.marks import differences
from qwen_bench.record.outcome import final_outcomes, key_of
from qwen_bench.runs.draft_manifest import (
    draft_manifest,
    expected_of,
    folder_name,
    joined_modes,
    suite_info,
    widened,
)
from qwen_bench.runs.job import Job, RunInterruptedError, Watcher, timestamp
from qwen_bench.runs.journal import JOURNAL_NAME, Journal, final_keys, read_journal
from qwen_bench.runs.manifest_file import (
    as_json,
    read_manifest,
    remove_leftovers,
    write_atomic,
    write_manifest,
)
from qwen_bench.runs.runner import ask, plan
from qwen_bench.runs.store import (
    SUMMARY_NAME,
    StoredRun,
    latest_with_identity,
    read_run,
    run_summary,
    torn_notice,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from qwen_bench.probes.suites import Suite
    from qwen_bench.protocol import Engine
    from qwen_bench.record.manifest import RunStatus
    from qwen_bench.record.outcome import Mode, Outcome
    from qwen_bench.runs.runner import Plan

LOCK_NAME = ".lock"
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def record(job: Job, engine: Engine, watcher: Watcher, stopped: Callable[[], bool]) -> StoredRun:
    """Ask one model everything that is missing and leave a finished run folder.

    Args:
        job: what, and where to.
        engine: who answers.
        watcher: told of progress.
        stopped: whether the user asked to stop.

    Returns:
        The finished run, read back from its folder.

    Raises:
        NotComparableError: the run to resume was made with other settings.
        RunError: the folder cannot be written, or is in use.
        RunInterruptedError: the user stopped it.
        EngineError: the engine cannot do what is asked; or it cannot go on, then the run is
            `failed` and can be resumed.
    """
    _refuse_ranking(job, engine)
    fresh = draft_manifest(
        job.suite,
        job.modes,
        job.plan,
        engine.identity(),
        spec=job.spec,
        label=job.label,
        generation=job.generation,
        policy=job.policy,
    )
    job.check(fresh)
    for warning in fresh.warnings:
        watcher.notice(f"warning: {warning}")
    found = _folder_to_resume(job, fresh, watcher)
    folder = found or _new_folder(job, fresh)
    with ExitStack() as stack:
        unlocked = stack.enter_context(locked(folder, started=job.invocation.started))
        if unlocked:
            watcher.notice(f"warning: {unlocked}")
        remove_leftovers(folder)
        if found is None:
            fresh = fresh.model_copy(update={"run_id": folder.name})
            task = _Task(job, folder, fresh, job.suite, job.plan)
        else:
            task = _continued(job, folder, fresh)
        if not task.is_complete():
            task.carry_out(engine, watcher, stopped)
    return read_run(folder)


@contextmanager
def locked(folder: Path, *, started: str) -> Iterator[str | None]:
    """Hold the write lock of a run folder.

    The kernel frees it when its process ends, `kill -9` included, so there are no stale locks and
    nobody guesses from process ids; the text in the file only serves the message.

    Args:
        folder: the run folder; it exists.
        started: UTC time of this process, for the message other processes print.

    Yields:
        None, or a warning when the file system has no locks; the check for doubled rows is the
        safety net then.

    Raises:
        RunLockedError: another process holds it.
    """
    path = folder / LOCK_NAME
    lock = FileLock(path, blocking=False, fallback_to_soft=False)
    warning = None
    try:
        lock.acquire()
    except Timeout as error:
        raise RunLockedError(
            f"{folder} is in use by {_holder(path)}",
            fix="wait until it ends, or stop it; one process writes to a run folder",
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        warning = f"{folder} is on a file system without locks; start only one process on it"
    try:
        if warning is None:
            owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": started}
            path.write_text(json.dumps(owner), encoding="utf-8")
        yield warning
    finally:
        lock.release()


def _holder(path: Path) -> str:
    """Who wrote the lock text, in words."""
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        return f"process {owner['pid']} on host {owner['host']} since {owner['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def _refuse_ranking(job: Job, engine: Engine) -> None:
    """Refuse to rank with an engine that cannot, before there is a folder.

    It is never silently asked to generate instead.

    Raises:
        EngineError: candidates are to be ranked and the engine gives no log-probabilities.
    """
    abilities = engine.abilities()
    if "rank" in job.modes and not abilities.rank:
        raise EngineError(
            f"{job.label} cannot rank candidates; nothing was asked",
            why=abilities.rank_refusal or (),
            fix="--mode generate",
        )


def _folder_to_resume(job: Job, fresh: Manifest, watcher: Watcher) -> Path | None:
    """The folder to continue; None starts a new run."""
    if job.resume != "latest":
        return job.resume
    folder = latest_with_identity(job.runs_dir, fresh.identity)
    if folder is None:
        watcher.notice(f"notice: nothing to resume for {job.label}, starting a new run")
    return folder


def _new_folder(job: Job, fresh: Manifest) -> Path:
    """Create the folder; an exclusive mkdir keeps two processes of one second apart."""
    wanted = job.run_id or folder_name(job.invocation.started, job.label, fresh.identity)
    tail = 1
    try:
        job.runs_dir.mkdir(parents=True, exist_ok=True)
        while True:
            folder = job.runs_dir / (wanted if tail == 1 else f"{wanted}-{tail}")
            try:
                folder.mkdir()
            except FileExistsError as error:
                if job.run_id is not None:
                    raise RunError(
                        f"{folder} exists already",
                        fix=f"continue it with --resume {folder}, or choose another --run-id",
                    ) from error
                tail += 1
            else:
                return folder
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RunError(
            f"cannot write to {job.runs_dir}: {reason}", fix="choose another with --runs-dir"
        ) from error


def _continued(job: Job, folder: Path, fresh: Manifest) -> _Task:
    """The rest of a run whose lock is held, widened where more is asked for.

    Raises:
        NotComparableError: settings that change answers differ.
    """
    old = read_manifest(folder)
    refuse_other_settings(folder, differences(old, fresh))
    suite, modes, whole = with_recorded(job.suite, job.modes, job.plan, old)
    manifest = old.model_copy(
        update={
            "suite": suite_info(suite, modes, old.suite.policy).model_copy(
                update={"primary": old.suite.primary}
            ),
            "expected": expected_of(whole),
            "warnings": tuple(dict.fromkeys([*old.warnings, *fresh.warnings])),
        }
    )
    return _Task(job, folder, manifest, suite, whole)


def refuse_other_settings(folder: Path, changed: Sequence[tuple[str, Any, Any]]) -> None:
    """Refuse to continue a run with other settings.

    Args:
        folder: of the run.
        changed: (field, recorded, asked now) of every setting that differs.

    Raises:
        NotComparableError: there is one.
    """
    if changed:
        own = f"continue it with its own settings: qwen-bench run --resume {folder}"
        new = "leave --resume out: that starts a new run"
        # No option brings an earlier scorer back.
        rescored = any(field.startswith("scorer.") for field, *_ in changed)
        raise NotComparableError(
            f"{folder} was started with other settings",
            changed,
            fix=new if rescored else (own, f"or {new}"),
        )


def with_recorded(
    suite: Suite, modes: tuple[Mode, ...], whole: Plan, recorded: Manifest
) -> tuple[Suite, tuple[Mode, ...], Plan]:
    """What a run comes to that is continued: what it has and what is asked for now.

    Args:
        suite: asked for now.
        modes: the same.
        whole: plan of these two.
        recorded: what the run has.
    """
    wide = widened(suite, recorded.suite)
    joined = joined_modes(recorded.suite.modes, modes)
    same = wide == suite and joined == modes
    return wide, joined, whole if same else plan(wide.dialogues(), joined)


def is_in_use(folder: Path) -> bool:
    """Whether a process writes to a run folder, as far as the file system tells."""
    path = folder / LOCK_NAME
    if not path.is_file():
        return False
    try:
        with FileLock(path, blocking=False, fallback_to_soft=False):
            return False
    except Timeout:
        return True
    except OSError:
        return False


@dataclass(slots=True)
class _Task:
    """One invocation on one locked folder."""

    job: Job
    folder: Path
    manifest: Manifest
    suite: Suite
    plan: Plan

    def is_complete(self) -> bool:
        """Whether there is nothing to ask and nothing to write."""
        if self.manifest.status != "finished":
            return False
        content = read_journal(self.folder / JOURNAL_NAME)
        done = final_keys(content.outcomes, retry_errors=self.job.retry_errors)
        return self.plan.keys <= done

    def carry_out(self, engine: Engine, watcher: Watcher, stopped: Callable[[], bool]) -> None:
        """Ask what is missing; leave `finished`, `interrupted` or `failed` behind."""
        content = read_journal(self.folder / JOURNAL_NAME)
        if content.torn:
            watcher.notice(torn_notice(self.folder))
        done = final_keys(content.outcomes, retry_errors=self.job.retry_errors) & self.plan.keys
        written = 0
        command = self.job.continue_command(self.folder)

        def write(outcome: Outcome) -> None:
            nonlocal written
            journal.append([outcome])
            written += 1
            done.add(key_of(outcome))
            watcher.answered(outcome)

        kept = [row for row in final_outcomes(content.outcomes) if key_of(row) in done]
        try:
            self._announce()
            with Journal(self.folder / JOURNAL_NAME, content.whole_bytes) as journal:
                watcher.started(self.folder, len(self.plan.keys), kept)
                whole = ask(
                    self.suite.dialogues(),
                    engine,
                    self.plan.keys - done,
                    modes=self.manifest.suite.modes,
                    generation=self.job.generation,
                    write=write,
                    attempts=Counter(key_of(row) for row in content.outcomes),
                    stopped=stopped,
                    policy=self.manifest.suite.policy,
                    reading=watcher.reading,
                )
        except KeyboardInterrupt:
            self._close("interrupted", engine, written)
            raise RunInterruptedError(len(done), len(self.plan.keys), command) from None
        except OSError as error:
            self._close_if_possible("failed", engine, written, str(error))
            raise self._disk_error(error, len(done), command) from error
        except QwenBenchError as error:
            self._close("failed", engine, written, error.message)
            error.fix = (*error.fix, f"continue: {command}")
            raise
        except BaseException as error:
            self._close_if_possible("failed", engine, written, f"{type(error).__name__}: {error}")
            raise
        if not whole:
            self._close("interrupted", engine, written)
            raise RunInterruptedError(len(done), len(self.plan.keys), command)
        self._finish(engine, written, command)

    def _announce(self) -> None:
        """Write the manifest that says a process is at work."""
        self.manifest = self.manifest.model_copy(
            update={
                "status": "running",
                "invocations": (*self.manifest.invocations, self.job.invocation),
            }
        )
        write_manifest(self.folder, self.manifest)

    def _finish(self, engine: Engine, written: int, command: str) -> None:
        """Summary first, then the manifest that proves it."""
        try:
            closed = self._closed("finished", engine, written)
            run = replace(read_run(self.folder), manifest=closed)
            write_atomic(self.folder / SUMMARY_NAME, as_json(run_summary(run)))
            counts = Counter(outcome.status for outcome in run.outcomes)
            self.manifest = closed.model_copy(update={"counts": dict(sorted(counts.items()))})
            write_manifest(self.folder, self.manifest)
        except OSError as error:
            raise self._disk_error(error, len(self.plan.keys), command) from error

    def _close(
        self, status: RunStatus, engine: Engine, written: int, error: str | None = None
    ) -> None:
        """Write how this invocation ended."""
        self.manifest = self._closed(status, engine, written, error)
        write_manifest(self.folder, self.manifest)

    def _close_if_possible(
        self, status: RunStatus, engine: Engine, written: int, error: str
    ) -> None:
        """The same where the disk may be what failed; a run left `running` counts as crashed."""
        try:
            self._close(status, engine, written, error)
        except OSError:
            return

    def _closed(
        self, status: RunStatus, engine: Engine, written: int, error: str | None = None
    ) -> Manifest:
        """The manifest with this invocation ended."""
        ended = self.manifest.invocations[-1].model_copy(
            update={
                "finished": timestamp(self.job.now()),
                "rows_written": written,
                "efficiency": engine.counters().as_dict(),
                "ended": status,
                "error": error,
            }
        )
        return self.manifest.model_copy(
            update={"status": status, "invocations": (*self.manifest.invocations[:-1], ended)}
        )

    def _disk_error(self, error: OSError, saved: int, command: str) -> RunError:
        """The error for a disk that takes no more."""
        total = len(self.plan.keys)
        what = (
            "the disk is full"
            if error.errno in _NO_SPACE
            else f"writing to {self.folder} failed ({(error.strerror or str(error)).lower()})"
        )
        return RunError(
            f"{what} after {saved} of {total} answers; all {saved} are saved",
            fix=("make room, then", f"continue: {command}"),
        )
