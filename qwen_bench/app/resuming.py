"""`--resume` with nothing named: the newest unfinished run, with what was typed for it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qwen_bench.app.config import EMBEDDED, LATEST, options
from qwen_bench.app.recording import continue_command, without_flag
from qwen_bench.errors import InputError
from qwen_bench.record.redaction import HIDDEN
from qwen_bench.runs.recorder import is_in_use
from qwen_bench.runs.store import MOST_NAMED, readable_runs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qwen_bench.app.config import RunConfig, Source
    from qwen_bench.record.manifest import Invocation, Manifest
    from qwen_bench.runs.job import Reporter

# What is looked for, and how it is shown, is said anew with every command.
_OF_THIS_COMMAND = {"resume", "run_id", "runs_dir", "dry_run"}


@dataclass(frozen=True, slots=True)
class Command:
    """A command line and what it means.

    Attributes:
        words: after the program's name, secrets removed; None from Python.
    """

    config: RunConfig
    words: tuple[str, ...] | None = None


def taken_up(given: Command, reporter: Reporter) -> Command:
    """The command that continues the newest unfinished run, where `--resume` names nothing.

    What was typed last for that run is taken over, models and baseline among it, unless it is given
    anew. A command that names a run, a model, a baseline or a suite is left as it is.

    Args:
        given: as typed.
        reporter: is told what is continued.

    Raises:
        InputError: there is no unfinished run, or its command cannot be given again from here; then
            the error names the one that continues it.
    """
    config = given.config
    named = any(map(config.given, ("model", "baseline", "suite")))
    if config.resume != LATEST or named:
        return given
    folder, manifest, others = _newest_unfinished(config.runs_path)
    last = manifest.invocations[-1]
    _check_command(given, folder, manifest, last)
    then: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in last.args_passed.items()
        if name in options() and name not in _OF_THIS_COMMAND and not config.given(name)
        if options()[name].group != "Display"
    }
    then["model"] = _models(last, manifest)
    source: Source = "python" if given.words is None else "command line"
    config = replace(
        config,
        **then,
        resume=str(folder),
        sources={**config.sources, **dict.fromkeys(then, source)},
    )
    words = _words(given, last)
    command = f"run(resume={str(folder)!r})" if words is None else continue_command(words, folder)
    reporter.say(f"continuing: {command}")
    if others:
        names = ", ".join(other.name for other in others[:MOST_NAMED])
        more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
        reporter.say(f"notice: also unfinished: {names}{more}; --resume RUN continues another one")
    if words is not None:
        words = tuple(shlex.split(continue_command(words, folder))[1:])
    return Command(config, words)


def _newest_unfinished(runs_dir: Path) -> tuple[Path, Manifest, list[Path]]:
    """The run that was worked on last of those that are not finished, and the others, newest first.

    Raises:
        InputError: there is none that no process is at work on.
    """
    runs = [
        (folder, manifest)
        for folder, manifest in readable_runs(runs_dir)
        if manifest.status != "finished" and manifest.invocations
    ]
    runs.sort(key=lambda item: item[1].invocations[-1].started, reverse=True)
    busy = [folder for folder, manifest in runs if is_in_use(folder)]
    found = [item for item in runs if item[0] not in busy]
    if found:
        (folder, manifest), *rest = found
        return folder, manifest, [other for other, _ in rest]
    newest = next((str(folder) for folder, _ in readable_runs(runs_dir)), None)
    if busy:
        why = f"{busy[0]} is being written by another process"
    else:
        why = f"the newest is {newest}, which is finished" if newest else "it holds no run at all"
    raise InputError(
        f"{runs_dir} holds no unfinished run to resume",
        why=why,
        fix=(
            *(
                [f"ask a finished one more: qwen-bench run --resume {newest} --limit N"]
                * bool(newest)
            ),
            "start one: qwen-bench run --suite quick",
        ),
    )


def _check_command(given: Command, folder: Path, manifest: Manifest, last: Invocation) -> None:
    """Refuse what cannot be given again: another command, engines of Python's, secrets.

    Raises:
        InputError: it cannot.
    """
    if not last.argv:
        if last.args_passed.get("model") or manifest.model.spec == EMBEDDED:
            return
        raise InputError(
            f"{folder} was begun from Python with an engine of its own",
            fix=f"there: run(engine, ..., resume={str(folder)!r})",
        )
    command, words = last.argv[1], last.argv[1:]
    if given.words is not None and given.words[0] != command:
        raise InputError(
            f"{folder} was begun by qwen-bench {command}",
            fix=f"qwen-bench {command} --resume",
        )
    if any(HIDDEN in str(value) for value in last.args_passed.values()):
        raise InputError(
            f"{folder} was given a secret, which is not kept",
            fix=("type it again:", continue_command(words, folder)),
        )


def _models(last: Invocation, manifest: Manifest) -> tuple[str, ...]:
    """The models of a command: as typed, of the run it named, or the embedded one."""
    effective: dict[str, Any] = last.args_effective.get("model") or {}
    named = last.args_passed.get("model") or effective.get("value")
    if named:
        return tuple(map(str, named))
    return (EMBEDDED,) if last.argv else (manifest.model.spec,)


def _words(given: Command, last: Invocation) -> tuple[str, ...] | None:
    """The words of then, followed by those of now."""
    if given.words is None or not last.argv:
        return given.words
    now: Sequence[str] = without_flag(given.words[1:], "--resume", optional_value=True)
    return (*without_flag(last.argv[1:], "--run-id", optional_value=False), *now)
