"""The work of `qwen-bench run`: one run folder a model, then profile or verdict."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from qwen_bench.cli.asking import Asking, read_asking
from qwen_bench.cli.beforehand import check_beforehand
from qwen_bench.cli.exits import Code, Exit, decisive
from qwen_bench.cli.interrupt import StopRequest
from qwen_bench.cli.judge import command_line, judge, named_views, present
from qwen_bench.cli.main import show_error
from qwen_bench.cli.outputs import (
    prepare_folder,
    targets_of,
    wants_summary,
    write_json,
    write_markdown,
    write_page,
)
from qwen_bench.cli.resuming import continue_command, effective_arguments
from qwen_bench.cli.table import profile_lines
from qwen_bench.cli.text import write_line
from qwen_bench.cli.work_lines import efficiency_lines
from qwen_bench.engines.registry import open_engines
from qwen_bench.errors import InputError, NotComparableError, QwenBenchError, RunError
from qwen_bench.probes.programmes import SYSTEM
from qwen_bench.record.manifest import Invocation, Manifest
from qwen_bench.record.redaction import redact_argv, redact_mapping
from qwen_bench.runs import provenance
from qwen_bench.runs.job import Job, RunInterruptedError, timestamp
from qwen_bench.runs.recorder import record
from qwen_bench.runs.runner import Plan, plan
from qwen_bench.runs.summary_file import run_summary, total_efficiency
from qwen_bench.solvers.solver_engine import SolverEngine
from qwen_bench.stats.comparability import differing_settings, fixes, must_match_fields, refused
from qwen_bench.stats.results import Unjudged
from qwen_bench.stats.summary import summarise

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qwen_bench.cli.display import Screen
    from qwen_bench.cli.options import Options
    from qwen_bench.engines.model_spec import ModelSpec
    from qwen_bench.probes.suites import Suite
    from qwen_bench.protocol import Engine
    from qwen_bench.record.outcome import Outcome
    from qwen_bench.runs.job import Watcher
    from qwen_bench.runs.store import StoredRun


def ask_all(original: Options, arguments: Sequence[str], screen: Screen) -> Exit | None:
    """Run the command.

    Args:
        original: its options.
        arguments: the words of the command line, for the manifest and the resume command.
        screen: where to print.

    Returns:
        How it ends; None for a plain success.
    """
    asking = read_asking(original, screen)
    check_beforehand(asking)
    if asking.options.dry_run:
        from qwen_bench.cli.dry_run import dry_run_lines

        screen.table(dry_run_lines(asking), stdout_is_free=True)
        return None
    prepare_folder(asking.options)
    screen.say(asking.header)
    session = _Session(asking, redact_argv(arguments), screen)
    try:
        session.record_models()
    except RunInterruptedError as stop:
        screen.close()
        for line in (str(stop), f"  continue: {stop.command}"):
            write_line(sys.stderr, line)
        return Exit(Code.INTERRUPTED)
    screen.close()
    return session.finish()


@dataclass(slots=True)
class _Session:
    """The models of one command, in order.

    Attributes:
        runs: finished runs by position in `asking.specs`.
        broken: models that broke while others could go on.
    """

    asking: Asking
    arguments: tuple[str, ...]
    screen: Screen
    runs: dict[int, StoredRun] = field(default_factory=dict)
    broken: list[Unjudged] = field(default_factory=list)

    def record_models(self) -> None:
        """Run every model; one of several that breaks is reported and the others go on.

        Raises:
            RunInterruptedError: the user stopped it.
            QwenBenchError: the only model broke, or the baseline.
        """
        specs = self.asking.specs
        position = 0
        with StopRequest(self.screen.say) as stop:
            while position < len(specs):
                try:
                    with open_engines(
                        specs[position:], self.asking.engine, solver=self._solver
                    ) as engines:
                        for engine in engines:
                            self._record(position, engine, stop)
                            position += 1
                except QwenBenchError as error:
                    self._excuse(position, error)
                    position += 1

    def _solver(self, spec: ModelSpec) -> SolverEngine:
        """The solver that a SPEC names."""
        return SolverEngine(spec.name, self.asking.suite, self.asking.engine.policy)

    def _excuse(self, position: int, error: QwenBenchError) -> None:
        """Report a broken candidate when others can go on without it."""
        runs_base = self.asking.has_base and self.asking.stored_base is None
        candidates = len(self.asking.specs) - int(runs_base)
        if candidates < 2 or (runs_base and position == 0):
            raise error
        self.screen.close()
        self._report(self.asking.labels[position], error)

    def _report(self, label: str, error: QwenBenchError) -> None:
        """Say what broke, and remember it for the outputs and the exit."""
        show_error(error, debug=self.asking.options.debug)
        self.broken.append(Unjudged(label, error.message, error.exit_code))

    def _record(self, position: int, engine: Engine, stop: StopRequest) -> None:
        """One model."""
        asking = self.asking
        options = asking.options
        if stop.requested:
            raise RunInterruptedError(0, len(asking.plan.keys), self._continue_command(None))
        suite, whole = self._answerable(position, engine)
        job = Job(
            suite=suite,
            modes=asking.modes,
            generation=asking.generation,
            plan=whole,
            spec=asking.specs[position].text,
            label=asking.labels[position],
            runs_dir=options.runs_path,
            run_id=options.run_id,
            resume=asking.resume,
            retry_errors=options.retry_errors,
            invocation=self._invocation(),
            continue_command=self._continue_command,
            check=self._check_against_base,
            now=_now,
            policy=str(asking.engine.policy),
        )
        watcher = self.screen.watcher(job.label, whole.probes)
        run = record(job, engine, _Armed(watcher, stop), stop.stopped)
        self.runs[position] = run
        _warn_of_long(run, self.screen)
        for line in efficiency_lines(job.label, total_efficiency(run.manifest.invocations)):
            self.screen.say(line)

    def _answerable(self, position: int, engine: Engine) -> tuple[Suite, Plan]:
        """The suite as this engine can be asked it: without a system role, no rules in one.

        Raises:
            InputError: nothing is left.
        """
        asking = self.asking
        suite = asking.suite
        if SYSTEM not in suite.programmes or engine.abilities().system_messages:
            return suite, asking.plan
        label = asking.labels[position]
        narrowed = suite.without(SYSTEM)
        if not narrowed.families:
            raise InputError(
                f"the chat template of {label} takes no system message, and only families that "
                "need one are asked",
                fix="ask other families, or pass another template with --chat-template FILE",
            )
        self.screen.say(
            f"warning: the chat template of {label} takes no system message; system_rule is left "
            "out of its run"
        )
        return narrowed, plan(narrowed.dialogues(), asking.modes)

    def _invocation(self) -> Invocation:
        """This process, for the manifest."""
        options = self.asking.options
        effective = effective_arguments(options, self.asking.original)
        return Invocation(
            started=timestamp(_now()),
            argv=("qwen-bench", *self.arguments),
            args_passed=redact_mapping(
                {name: effective[name]["value"] for name in sorted(options.passed)}
            ),
            args_effective=redact_mapping(effective),
            host=provenance.host_hash(),
            hardware=provenance.hardware(),
            packages=provenance.package_versions(),
        )

    def _continue_command(self, folder: Path | None) -> str:
        """One line that finishes everything."""
        alone = len(self.asking.specs) == 1
        return continue_command(self.arguments, folder if alone else None)

    def _check_against_base(self, manifest: Manifest) -> None:
        """Refuse a candidate that could not be compared afterwards, before it is asked anything.

        Raises:
            NotComparableError: settings that must match differ from the baseline's.
        """
        base = self.asking.stored_base or self.runs.get(0)
        if base is None or not self.asking.has_base:
            return
        old, new = base.manifest, manifest
        known = must_match_fields(old, new)
        blocking = refused(differing_settings(old, new), self.asking.options.allow_mismatch, known)
        if blocking:
            raise NotComparableError(
                f"this run could not be compared with the baseline {base.manifest.run_id}",
                [(item.field, item.base, item.candidate) for item in blocking],
                fix=fixes(blocking, new),
            )

    def finish(self) -> Exit | None:
        """Profile or verdict, and the exit."""
        runs = [self.runs[position] for position in sorted(self.runs)]
        if self.asking.stored_base is not None:
            runs.insert(0, self.asking.stored_base)
        runs = self._without_unusable(runs)
        if self.asking.has_base:
            views = named_views(runs)
            judged = judge(views[0], views[1:], self.asking.options)
            return present(
                replace(judged, unjudged=(*self.broken, *judged.unjudged)),
                views,
                self.asking.options,
                self.screen,
                command=command_line(self.arguments),
            )
        self._profiles(runs)
        codes = [Code(item.exit_code) for item in self.broken]
        return Exit(decisive(codes)) if codes else None

    def _without_unusable(self, runs: list[StoredRun]) -> list[StoredRun]:
        """The runs that have results worth showing.

        Raises:
            RunError: the only model, or the baseline, has none.
        """
        kept = []
        for number, run in enumerate(runs):
            try:
                _refuse_unanswered(run, self.asking.options.max_error_rate / 100)
            except RunError as error:
                base = number == 0 and self.asking.has_base
                if base or len(runs) - int(self.asking.has_base) < 2:
                    raise
                self._report(run.manifest.model.label, error)
            else:
                kept.append(run)
        return kept

    def _profiles(self, runs: Sequence[StoredRun]) -> None:
        """One table a model, and the files asked for."""
        options = self.asking.options
        targets = targets_of(options)
        views = named_views(runs)
        summaries = [summarise(view.outcomes) for view in views]
        for number, (view, summary) in enumerate(zip(views, summaries, strict=True)):
            lines = profile_lines(view.label, view.manifest.suite, summary)
            self.screen.table(
                [*([""] if number else []), *lines], stdout_is_free=targets.stdout_is_free
            )
        if options.json and runs:
            write_json(options.json, run_summary(runs[0]))
        if runs and (targets.markdown or wants_summary(options, os.environ)):
            from qwen_bench.report.markdown import profile_markdown

            write_markdown(profile_markdown(views, summaries), options, self.screen)
        if targets.html and runs:
            comparisons = judge(views[0], views[1:], options).comparisons
            write_page(targets.html, views, comparisons, self.screen)


@dataclass(slots=True)
class _Armed:
    """A watcher that also lets the first signal finish its batch once asking began."""

    watcher: Watcher
    stop: StopRequest

    def started(self, folder: Path, total: int, kept: Sequence[Outcome]) -> None:
        """Asking begins."""
        self.stop.asking()
        self.watcher.started(folder, total, kept)

    def answered(self, outcome: Outcome) -> None:
        """One row is written."""
        self.watcher.answered(outcome)

    def notice(self, text: str) -> None:
        """Something the user should know."""
        self.watcher.notice(text)


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


def _warn_of_long(run: StoredRun, screen: Screen) -> None:
    """Name what did not fit the context window."""
    long = [row for row in run.outcomes if row.status == "too_long"]
    if long and len(long) < len(run.outcomes):
        lengths = ", ".join(str(length) for length in sorted({row.length for row in long}))
        screen.say(f"warning: {len(long)} probes recorded as too_long, lengths {lengths}")
