"""Writing results where the user asked: files, or `-` for stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_bench.errors import InputError, QwenBenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.cli.display import Screen
    from qwen_bench.probes.suites import Suite
    from qwen_bench.stats.model import Comparison
    from qwen_bench.stats.pairing import RunView

STDOUT = "-"


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


def write_page(
    target: str,
    runs: Sequence[RunView],
    comparisons: Sequence[Comparison],
    screen: Screen,
    *,
    title: str | None = None,
) -> None:
    """Build the report page and write it.

    Args:
        target: a file, or `-`.
        runs: baseline first.
        comparisons: of the first run with each of the others.
        screen: is told the path.
        title: of the page.
    """
    from qwen_bench.report.page import build_report
    from qwen_bench.stats.summary import summarise

    summaries = [summarise(run.outcomes) for run in runs]
    page = build_report(runs, summaries, comparisons, _suite(runs[0]), title=title)
    write_output(target, page)
    if target != STDOUT:
        screen.say(f"report  {target}")


def _suite(run: RunView) -> Suite | None:
    """The suite of a run, to show its conversations; None when it is no longer known."""
    from qwen_bench.runs.extension import suite_of
    from qwen_bench.runs.manifest import SuiteInfo

    try:
        return suite_of(SuiteInfo.model_validate(run.manifest["suite"]))
    except QwenBenchError:
        return None
