"""Asking every model of an `Asking`: one run folder each, and which of them can be shown."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from qwen_bench.app.foreseen import answerable, foresee
from qwen_bench.engines.registry import look_up, open_engines
from qwen_bench.errors import NotComparableError, QwenBenchError, RunError
from qwen_bench.record.manifest import Invocation, Manifest
from qwen_bench.record.redaction import redact_mapping
from qwen_bench.runs import provenance
from qwen_bench.runs.job import Job, RunInterruptedError, timestamp
from qwen_bench.runs.recorder import record as record_one
from qwen_bench.runs.runner import Plan, plan
from qwen_bench.solvers.solver_engine import SolverEngine
from qwen_bench.stats.comparability import (
    compared_settings,
    differing_settings,
    fixes,
    refused,
)
from qwen_bench.stats.results import Unjudged
from qwen_bench.stats.unread_answers import refuse_unread

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from qwen_bench.app.asking import Asking
    from qwen_bench.app.interrupt import StopRequest
    from qwen_bench.engines.model_spec import ModelSpec
    from qwen_bench.probes.suites import Suite
    from qwen_bench.protocol import Engine
    from qwen_bench.record.outcome import Outcome
    from qwen_bench.runs.job import Reporter
    from qwen_bench.runs.store import StoredRun


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the models of one command left.

    Attributes:
        runs: with results worth showing; a baseline first.
        broken: models that broke while others could go on.
    """

    runs: tuple[StoredRun, ...]
    broken: tuple[Unjudged, ...]


def record(
    asking: Asking, reporter: Reporter, stop: StopRequest, words: Sequence[str] | None = None
) -> Recorded:
    """Ask every model; one of several that breaks is reported and the others go on.

    Args:
        asking: whom, and what.
        reporter: is told what happens.
        stop: asked between batches.
        words: of the command line, secrets removed; None from Python.

    Raises:
        RunInterruptedError: the user stopped it.
        QwenBenchError: the only model broke, or the baseline.
    """
    session = _Session(asking, reporter, stop, words)
    session.record_models()
    return session.recorded()


@dataclass(slots=True)
class _Session:
    """The models of one command, in order.

    Attributes:
        runs: finished runs by position in `asking.models`.
        broken: models that broke while others could go on.
    """

    asking: Asking
    reporter: Reporter
    stop: StopRequest
    words: Sequence[str] | None
    runs: dict[int, StoredRun] = field(default_factory=dict)
    broken: list[Unjudged] = field(default_factory=list)

    def record_models(self) -> None:
        """Run every model, but those that are known beforehand to be of no use."""
        left = self._usable()
        while left:
            try:
                with self._opened(left) as engines:
                    for engine in engines:
                        self._record(left[0], engine)
                        del left[0]
            except QwenBenchError as error:
                self._excuse(left.pop(0), error)

    def _usable(self) -> list[int]:
        """Positions of the models to ask; the others are refused before anything is asked."""
        asking = self.asking
        stored = asking.stored_base
        base = stored.manifest if stored is not None else None
        unknown: Collection[str] = frozenset()
        usable = []
        for position, item in enumerate(asking.models):
            try:
                if item.engine is None:
                    look_up(item.spec, asking.engine)
                found = foresee(asking, position) if asking.has_base else None
                if found is not None and stored is None and position == 0:
                    base, unknown = found.manifest, found.unknown
                elif found is not None and base is not None:
                    self._refuse(base, found.manifest, {*unknown, *found.unknown})
                usable.append(position)
            except QwenBenchError as error:
                self._excuse(position, error)
        return usable

    def _opened(self, positions: Sequence[int]) -> AbstractContextManager[Iterator[Engine]]:
        """Engines of the models at some positions, up to one that Python gave."""
        asking = self.asking
        given = asking.models[positions[0]].engine
        if given is not None:
            return nullcontext(iter((given,)))
        specs = []
        for position in positions:
            if asking.models[position].engine is not None:
                break
            specs.append(asking.models[position].spec)
        return open_engines(specs, asking.engine, solver=self._solver)

    def _solver(self, spec: ModelSpec) -> SolverEngine:
        """The solver that a SPEC names."""
        return SolverEngine(spec.name, self.asking.suite, self.asking.engine.policy)

    def _excuse(self, position: int, error: QwenBenchError) -> None:
        """Report a broken candidate when others can go on without it."""
        runs_base = self.asking.has_base and self.asking.stored_base is None
        candidates = len(self.asking.models) - int(runs_base)
        if candidates < 2 or (runs_base and position == 0):
            raise error
        self._report(self.asking.labels[position], error)

    def _report(self, label: str, error: QwenBenchError) -> None:
        """Say what broke, and remember it for the outputs and the exit."""
        self.reporter.broke(error)
        self.broken.append(Unjudged(label, error.message, error.exit_code))

    def _record(self, position: int, engine: Engine) -> None:
        """One model."""
        asking = self.asking
        config = asking.config
        if self.stop.requested:
            raise RunInterruptedError(0, len(asking.plan.keys), self._continue_command(None))
        suite, whole = self._answerable(position, engine)
        job = Job(
            suite=suite,
            modes=asking.modes,
            generation=asking.generation,
            plan=whole,
            spec=asking.models[position].spec.text,
            label=asking.labels[position],
            runs_dir=config.runs_path,
            run_id=config.run_id,
            resume=asking.models[position].resume,
            retry_errors=config.retry_errors,
            invocation=self._invocation(),
            continue_command=self._continue_command,
            check=self._check_against_base,
            now=_now,
            policy=str(asking.engine.policy),
        )
        watcher = self.reporter.watcher(job.label, whole.probes)
        run = record_one(job, engine, watcher, self.stop.stopped)
        self.runs[position] = run
        long = [row for row in run.outcomes if row.status == "too_long"]
        if long and len(long) < len(run.outcomes):
            lengths = ", ".join(map(str, sorted({row.length for row in long})))
            self.reporter.say(
                f"warning: {len(long)} probes recorded as too_long, lengths {lengths}"
            )
        if empty := [row for row in run.outcomes if row.status == "empty"]:
            self.reporter.say(f"warning: {_empty_words(empty, len(run.outcomes))}")
        self.reporter.finished(job.label, run)

    def _answerable(self, position: int, engine: Engine) -> tuple[Suite, Plan]:
        """The suite as this engine can be asked it, said where it is not the whole one.

        Raises:
            InputError: nothing is left.
        """
        asking = self.asking
        suite = asking.suite
        narrowed = answerable(asking, position, takes_system=engine.abilities().system_messages)
        if narrowed.families == suite.families:
            return suite, asking.plan
        self.reporter.say(
            f"warning: the chat template of {asking.labels[position]} takes no system message; "
            f"{', '.join(f for f in suite.families if f not in narrowed.families)} is left out of "
            "its run"
        )
        return narrowed, plan(narrowed.dialogues(), asking.modes)

    def _invocation(self) -> Invocation:
        """This process, for the manifest."""
        effective = self.asking.config.arguments()
        passed = {
            name: item["value"]
            for name, item in effective.items()
            if self.asking.config.given(name)
        }
        return Invocation(
            started=timestamp(_now()),
            argv=() if self.words is None else ("qwen-bench", *self.words),
            args_passed=redact_mapping(passed),
            args_effective=redact_mapping(effective),
            host=provenance.host_hash(),
            hardware=provenance.hardware(),
            packages=provenance.package_versions(),
        )

    def _continue_command(self, folder: Path | None) -> str:
        """One line that finishes everything."""
        if self.words is None:
            return f"run(..., resume={str(folder) if folder is not None else 'latest'!r})"
        alone = len(self.asking.models) == 1
        return continue_command(self.words, folder if alone else None)

    def _check_against_base(self, manifest: Manifest) -> None:
        """Refuse a candidate that could not be compared afterwards, before it is asked anything.

        Raises:
            NotComparableError: settings that must match differ from the baseline's.
        """
        base = self.asking.stored_base or self.runs.get(0)
        if base is not None and self.asking.has_base:
            self._refuse(base.manifest, manifest)

    def _refuse(self, base: Manifest, candidate: Manifest, unknown: Collection[str] = ()) -> None:
        """Refuse a candidate that differs from the baseline in what must match.

        Args:
            base: recorded, or as it will be.
            candidate: as it will be.
            unknown: fields of either that are not known yet.

        Raises:
            NotComparableError: such settings differ.
            InputError: `--allow-mismatch` names no setting.
        """
        blocking = [
            item
            for item in refused(
                differing_settings(base, candidate),
                self.asking.config.allow_mismatch,
                compared_settings(base, candidate),
            )
            if item.field not in unknown
        ]
        if blocking:
            name = base.run_id or base.model.label
            raise NotComparableError(
                f"this run could not be compared with the baseline {name}",
                [(item.field, item.base, item.candidate) for item in blocking],
                fix=fixes(blocking, candidate),
            )

    def recorded(self) -> Recorded:
        """The runs that have results worth showing.

        Raises:
            RunError: the only model, or the baseline, has none.
        """
        has_base = self.asking.has_base
        runs = [self.runs[position] for position in sorted(self.runs)]
        if self.asking.stored_base is not None:
            runs.insert(0, self.asking.stored_base)
        kept = []
        for number, run in enumerate(runs):
            try:
                _refuse_unanswered(run, self.asking.config.max_error_rate / 100)
                refuse_unread(
                    run.manifest.model.label,
                    run.outcomes,
                    self.asking.config.max_unread_rate / 100,
                    str(run.folder),
                )
            except RunError as error:
                if (number == 0 and has_base) or len(runs) - int(has_base) < 2:
                    raise
                self._report(run.manifest.model.label, error)
            else:
                kept.append(run)
        return Recorded(tuple(kept), tuple(self.broken))


def _now() -> datetime:
    """The time, read here and nowhere below."""
    return datetime.now(UTC)


def _refuse_unanswered(run: StoredRun, limit: float) -> None:
    """No figures when too much failed, or when nothing fits the context window.

    Raises:
        RunError: errors above the limit, or every prompt too long.
    """
    rows = run.outcomes
    failed = [row for row in rows if row.status == "error"]
    if len(failed) > limit * len(rows):
        kinds = sorted({f"{row.error_type}: {row.error_message}"[:200] for row in failed})
        raise RunError(
            f"{run.manifest.model.label}: {len(failed)} of {len(rows)} answers failed "
            f"({100 * len(failed) / len(rows):.1f} %, limit {100 * limit:g} %)",
            why=kinds[:3],
            fix=(
                f"qwen-bench run --resume {run.folder} --retry-errors",
                "or accept them: --max-error-rate PCT; they count as wrong",
            ),
        )
    lengths = [row.prompt_tokens for row in rows if row.status == "too_long"]
    if rows and len(lengths) == len(rows):
        known = [tokens for tokens in lengths if tokens is not None]
        window = run.manifest.model.context_window
        room = f"{window:,} tokens" if window else "the context window has"
        raise RunError(
            f"{len(rows)} of {len(rows)} probes need more than {room}"
            + (f"; shortest {min(known):,}" if known else ""),
            fix="try --lengths 1,2,4",
        )


def _empty_words(empty: Sequence[Outcome], rows: int) -> str:
    """How many answers held no text, and whose doing that was."""
    unread = [row for row in empty if row.unread]
    said = f"{len(empty)} of {rows} answers are empty and count as wrong"
    if not unread:
        return f"{said}: the model ended its turn without an answer"
    return f"{said}; {len(unread)} could not be read, the first: {unread[0].error_message}"[:300]


def continue_command(words: Sequence[str], folder: Path | None) -> str:
    """The command line that continues what was interrupted.

    Args:
        words: of this process, after the program's name; secrets already removed.
        folder: the one run to continue; None where several were asked for, each of which is found
            again by its settings.
    """
    kept = without_flag(words, "--resume", optional_value=True)
    if folder is not None:
        kept = without_flag(kept, "--run-id", optional_value=False)
    target = ["--resume"] if folder is None else ["--resume", str(folder)]
    return shlex.join(["qwen-bench", *kept, *target])


def without_flag(words: Sequence[str], flag: str, *, optional_value: bool) -> list[str]:
    """The words without a flag and its value."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
            if not (optional_value and word.startswith("-")):
                continue
        if word == flag:
            skip = True
        elif not word.startswith(f"{flag}="):
            kept.append(word)
    return kept
