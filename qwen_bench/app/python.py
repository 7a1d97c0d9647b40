"""What `import qwen_bench` gives: asking, comparing and showing from Python.

Models are SPECs as on the command line, or engines of the caller's own. Options have the names of
the flags, `lengths=(1, 8)` for `--lengths 1,8`, and are read and checked as those are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_bench.app.asking import build, check_beforehand, read_asking
from qwen_bench.app.comparing import Judged, judge, labelled, narrowed, narrowing_words
from qwen_bench.app.config import RunConfig, options
from qwen_bench.app.interrupt import StopRequest
from qwen_bench.app.outputs import check_targets, write_page
from qwen_bench.app.recording import record
from qwen_bench.app.resuming import Command, taken_up
from qwen_bench.app.unnamed import refuse_unnamed
from qwen_bench.errors import InputError
from qwen_bench.record.outcome import Run
from qwen_bench.runs.job import Reporter
from qwen_bench.runs.store import StoredRun, find_run, read_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.probes.suites import Suite
    from qwen_bench.protocol import Engine
    from qwen_bench.stats.results import Comparison

    Model = str | os.PathLike[str] | Engine
    Recording = str | os.PathLike[str] | StoredRun | Run

NOBODY = Reporter()
# They tell a command what to print and write; here there are values, and `report`.
_OF_COMMANDS = {"dry_run", "fail_on"}


@dataclass(frozen=True, slots=True)
class RunResult:
    """What `run` leaves.

    Attributes:
        run: of the model, with its folder, manifest and outcomes.
        baseline: None where none was named.
        comparison: of the two; None without a baseline.
    """

    run: StoredRun
    baseline: StoredRun | None = None
    comparison: Comparison | None = None


def load_suite(name: str, **selection: Any) -> Suite:  # noqa: ANN401 - values of options
    """A suite of probes, or a part of it; asks nothing.

    Args:
        name: as for `--suite`.
        selection: the options of the Probes group.

    Raises:
        InputError: there is no such suite, family, length, language or option.
    """
    return build(_config({"suite": name, **selection}), NOBODY)


def run(
    model: Model | None = None,
    *,
    baseline: Model | StoredRun | None = None,
    reporter: Reporter = NOBODY,
    **config: Any,  # noqa: ANN401 - values of options
) -> RunResult:
    """Ask a model every probe of a suite and leave a run folder; with a baseline also compare.

    An engine of the caller's own stays open. Ctrl-C leaves a run that `resume=` continues.

    Args:
        model: a SPEC or an engine; without one the embedded model, or that of the run to resume.
        baseline: a SPEC, an engine, a run folder, or a run.
        reporter: is told what happens; nobody by default.
        config: further options.

    Raises:
        InputError: something given is not what it should be.
        NotComparableError: the run to resume, or the baseline, was made with other settings.
        EngineError: the engine cannot do what is asked, or cannot go on; the run can be resumed.
        RunError: the folder cannot be read or written, is in use, or holds nothing to show.
        RunInterruptedError: Ctrl-C; what was answered is saved.
    """
    given = dict(config)
    engines: dict[str, Any] = {}
    for side, who in (("model", model), ("baseline", baseline)):
        if isinstance(who, str | os.PathLike):
            given[side] = os.fspath(who)
        elif who is not None:
            engines[side] = who
    made = _config(given)
    if not engines:
        made = taken_up(Command(made), reporter).config
    asking = read_asking(made, reporter, **engines)
    check_beforehand(asking)
    refuse_unnamed(asking)
    runs = record(asking, reporter, StopRequest(reporter.say)).runs
    if not asking.has_base:
        return RunResult(runs[0])
    judged = judge(labelled(runs), asking.config, reporter, intervals=True)
    return RunResult(runs[1], runs[0], judged.comparisons[0])


def compare(
    base: Recording,
    candidate: Recording,
    *,
    reporter: Reporter = NOBODY,
    **config: Any,  # noqa: ANN401 - values of options
) -> Comparison:
    """Compare two recorded runs, probe by probe.

    Args:
        base: a run, its folder, or its name in the run store.
        candidate: the same.
        reporter: is told what happens; nobody by default.
        config: further options; those of the Probes group narrow both runs.

    Raises:
        InputError: one is no run, or an option is not what it should be.
        RunError: a run folder is damaged.
        NotComparableError: the runs differ in a setting that must match, or are not finished.
    """
    return _judged((base, candidate), _config(config), reporter).comparisons[0]


def report(
    *runs: Recording,
    path: str | os.PathLike[str],
    title: str | None = None,
    reporter: Reporter = NOBODY,
    **config: Any,  # noqa: ANN401 - values of options
) -> Path:
    """Write the report page of one run, or of a baseline and its candidates.

    Args:
        runs: as for `compare`; the first is the baseline.
        path: of the page.
        title: of the page.
        reporter: is told what happens; nobody by default.
        config: further options, as for `compare`.

    Returns:
        The path.

    Raises:
        InputError: there is no run, or the path is not one of a file.
        QwenBenchError: as for `compare`, or the page cannot be written.
    """
    target = os.fspath(path)
    if not runs:
        raise InputError("a report needs a run")
    check_targets([("path", target)])
    judged = _judged(runs, _config(config), reporter)
    write_page([target], judged.runs, judged.comparisons, reporter, title=title)
    return Path(path)


def _config(given: dict[str, Any]) -> RunConfig:
    """The config of a call.

    Raises:
        InputError: an option that is none, has another value, or is one of commands only.
    """
    for name in given:
        said = options().get(name)
        if said and (said.group in {"Output", "Display"} or name in _OF_COMMANDS):
            raise InputError(f"{name} is an option of commands; report() writes a page")
    return RunConfig.of(**given)


def _judged(runs: Sequence[Recording], config: RunConfig, reporter: Reporter) -> Judged:
    """Recorded runs, narrowed and compared with the first."""
    found = [
        read_run(find_run(os.fspath(item), config.runs_path))
        if isinstance(item, str | os.PathLike)
        else item
        for item in runs
    ]
    views = narrowed(labelled(found), config)
    return judge(views, config, reporter, note=narrowing_words(config), intervals=True)
