"""Writing results where the user asked: files, a folder of them, or `-` for stdout."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_bench.errors import InputError, QwenBenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.app.comparing import Judged
    from qwen_bench.app.config import RunConfig
    from qwen_bench.probes.suites import Suite
    from qwen_bench.record.outcome import Run
    from qwen_bench.runs.job import Reporter
    from qwen_bench.runs.store import StoredRun
    from qwen_bench.stats.results import Comparison

STDOUT = "-"
SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
IN_FOLDER = {
    "html": "report.html",
    "markdown": "summary.md",
    "junit": "junit.xml",
    "json": "compare.json",
}


@dataclass(frozen=True, slots=True)
class Targets:
    """Where a command writes each kind of output; `-` is stdout."""

    html: tuple[str, ...] = ()
    markdown: tuple[str, ...] = ()
    junit: tuple[str, ...] = ()
    json: tuple[str, ...] = ()

    @property
    def stdout_is_free(self) -> bool:
        """Whether tables may use stdout because no output does."""
        return STDOUT not in {*self.html, *self.markdown, *self.junit, *self.json}

    @property
    def page(self) -> str | None:
        """The report as a file, to point to; None without one."""
        return next((target for target in self.html if target != STDOUT), None)


def targets_of(config: RunConfig) -> Targets:
    """Files named one by one, and those of `--out`."""
    found = {}
    for kind, name in IN_FOLDER.items():
        single = getattr(config, kind)
        folder = (str(Path(config.out) / name),) if config.out is not None else ()
        found[kind] = (*((single,) if single is not None else ()), *folder)
    return Targets(**found)


def check_outputs(config: RunConfig) -> None:
    """Refuse outputs of a command that cannot work, before hours of asking.

    Raises:
        InputError: two outputs on stdout, a folder for a file, or the other way round.
    """
    check_targets([(f"--{kind}", getattr(config, kind)) for kind in IN_FOLDER])
    if config.out is None:
        return
    if not config.out.strip():
        raise InputError("--out: the name of the folder is empty")
    if Path(config.out).exists() and not Path(config.out).is_dir():
        raise InputError(f"--out {config.out} is a file, give a folder")


def check_page(config: RunConfig, runs: int) -> None:
    """Refuse a page of more runs than it can show, before hours of asking.

    Args:
        config: of the command.
        runs: baseline included.

    Raises:
        InputError: there are too many.
    """
    if not targets_of(config).html:
        return
    from qwen_bench.report.page import MOST_RUNS

    if runs > MOST_RUNS:
        raise InputError(
            f"at most {MOST_RUNS} runs in one report, these are {runs}",
            fix="compare fewer candidates at once, each time with the same baseline",
        )


def prepare_folder(config: RunConfig) -> None:
    """Make the folder of `--out` and remove what an earlier command wrote there.

    What a command that breaks leaves in the folder must not be the verdict of another one.

    Raises:
        QwenBenchError: the folder cannot be written.
    """
    if config.out is None:
        return
    folder = Path(config.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in IN_FOLDER.values():
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise QwenBenchError(
            f"cannot write to {folder}: {reason}", fix="choose another with --out"
        ) from error


def check_targets(targets: Sequence[tuple[str, str | None]]) -> None:
    """Refuse output targets that cannot work, before hours of asking.

    Args:
        targets: flag and value; None where it was not given.

    Raises:
        InputError: two outputs on stdout, a folder, or a file in a folder that is missing.
    """
    given = [(flag, target) for flag, target in targets if target is not None]
    if sum(1 for _, target in given if target == STDOUT) > 1:
        raise InputError("only one output can use stdout")
    for flag, target in given:
        if target == STDOUT:
            continue
        if target.endswith("/") or Path(target).is_dir():
            raise InputError(f"{flag} {target} names a folder, give a file")
        if not Path(target).absolute().parent.is_dir():
            raise InputError(f"{flag} {target}: there is no folder {Path(target).parent}")


def write_output(target: str, text: str) -> None:
    """Write a result.

    Args:
        target: a file, or `-`.
        text: ends with a newline.

    Raises:
        QwenBenchError: the file cannot be written.
    """
    if target == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    try:
        Path(target).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise QwenBenchError(f"cannot write {target}: {reason}") from error


def write_json(target: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write a JSON document: sorted keys, no NaN, lone surrogates escaped."""
    text = json.dumps(value, ensure_ascii=True, indent=2, sort_keys=True, allow_nan=False)
    write_output(target, text + "\n")


def write_markdown(
    judged: Judged, config: RunConfig, reporter: Reporter, *, command: str | None = None
) -> None:
    """Write Markdown where it was asked for, and add it to the step summary where there is one.

    A summary that cannot be written is a warning: it does not change what was found.

    Args:
        judged: the comparisons; runs alone become profiles.
        config: names the files.
        reporter: is told of a failure.
        command: the command line, secrets removed.
    """
    targets = targets_of(config)
    path = os.environ.get(SUMMARY_VARIABLE) if config.summary == "auto" else None
    if not targets.markdown and not path:
        return
    text = _markdown(judged, targets.page if judged.comparisons else None, command)
    for target in targets.markdown:
        write_output(target, text)
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        reporter.say(f"warning: cannot write the step summary {path}: {reason}")


def _markdown(judged: Judged, page: str | None, command: str | None) -> str:
    """Verdicts, or profiles where nothing was to be compared."""
    from qwen_bench.report.markdown import comparison_markdown, profile_markdown
    from qwen_bench.stats.summary import summarise

    runs = judged.runs
    if not judged.comparisons and not judged.unjudged:
        return profile_markdown(runs, [summarise(run.outcomes) for run in runs])
    return comparison_markdown(
        judged.comparisons, runs, unjudged=judged.unjudged, report=page, command=command
    )


def write_page(
    targets: Sequence[str],
    runs: Sequence[Run],
    comparisons: Sequence[Comparison],
    reporter: Reporter,
    *,
    title: str | None = None,
) -> None:
    """Build the report page and write it; without a target nothing is built.

    Args:
        targets: files, or `-`.
        runs: baseline first.
        comparisons: of the first run with each of the others.
        reporter: is told the path.
        title: of the page.
    """
    if not targets:
        return
    from qwen_bench.probes.definitions import declared_chances, declared_loads
    from qwen_bench.report.page import build_report
    from qwen_bench.stats.summary import summarise

    summaries = [summarise(run.outcomes) for run in runs]
    page = build_report(
        runs,
        summaries,
        comparisons,
        _suite(runs[0]),
        chances=declared_chances(runs[0].manifest.suite.version),
        loads=declared_loads(runs[0].manifest.suite.version),
        title=title,
    )
    for target in targets:
        write_output(target, page)
        if target != STDOUT:
            reporter.say(f"report  {target}")


def _suite(run: Run) -> Suite | None:
    """The suite of a run, to show its conversations; None when it is no longer known."""
    from qwen_bench.runs.draft_manifest import suite_of

    try:
        return suite_of(run.manifest.suite)
    except QwenBenchError:
        return None


def write_outputs(
    judged: Judged, config: RunConfig, reporter: Reporter, *, exit_code: int, command: str
) -> None:
    """Write JSON, JUnit, Markdown, step summary and page, the quick ones first.

    Without a comparison there is neither page nor JSON.

    Args:
        judged: the comparisons, and the candidates without one.
        config: names the files.
        reporter: is told the path of the page.
        exit_code: of the command.
        command: the command line, secrets removed.
    """
    from qwen_bench.stats.compare_document import compare_document

    targets, runs = targets_of(config), judged.runs
    if not judged.comparisons:
        targets = replace(targets, html=(), json=())
    for target in targets.json:
        write_json(target, compare_document(judged.comparisons, exit_code))
    if targets.junit:
        from qwen_bench.report.junit import junit_xml

        xml = junit_xml(judged.comparisons, runs, fail_on=config.fail_on, unjudged=judged.unjudged)
        for target in targets.junit:
            write_output(target, xml)
    write_markdown(judged, config, reporter, command=command)
    compared = {comparison.candidate.run_id for comparison in judged.comparisons}
    shown = [run for number, run in enumerate(runs) if number == 0 or run.run_id in compared]
    write_page(targets.html, shown, judged.comparisons, reporter)


def write_profiles(runs: Sequence[StoredRun], config: RunConfig, reporter: Reporter) -> None:
    """Write what is asked for of runs without a baseline: summary, Markdown and page.

    Args:
        runs: at least one; a page compares each of the others with the first.
        config: names the files.
        reporter: is told the path of the page.
    """
    from qwen_bench.app.comparing import Judged, judge, labelled

    html, views = targets_of(config).html, labelled(runs)
    if config.json:
        from qwen_bench.runs.store import run_summary

        write_json(config.json, run_summary(runs[0]))
    write_markdown(Judged(tuple(views), ()), config, reporter)
    if html:
        write_page(html, views, judge(views, config, reporter).comparisons, reporter)
