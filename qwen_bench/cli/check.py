"""`qwen-bench check`: run both sides, compare, report and gate; the line for a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwen_bench.app.config import LATEST
from qwen_bench.cli.options import RUN, Call, command
from qwen_bench.cli.run import UNEXPECTED, refuse_unexpected
from qwen_bench.errors import InputError, QwenBenchError

if TYPE_CHECKING:
    from qwen_bench.app.config import RunConfig
    from qwen_bench.cli.exits import Exit


EXAMPLES = """\b
Examples:
  qwen-bench check --baseline Qwen/Qwen2.5-0.5B-Instruct --model ./out/lora
  qwen-bench check --baseline runs/BASE --model ./out/lora --fail-on inconclusive
  qwen-bench check --baseline Qwen/Qwen3-8B --model ./out/lora --device cuda --replicas 4
  qwen-bench check --baseline mock:oracle --model mock:window-8 --gate 'overall@16>=60'
"""


@command("check", UNEXPECTED, *RUN, examples=EXAMPLES)
def check(call: Call, unexpected: tuple[str, ...]) -> Exit | None:
    """Run both sides, compare, report and gate: exit 0 only when nothing failed."""
    from qwen_bench.cli.run import ask_all, continued

    refuse_unexpected(unexpected)
    call = continued(call)
    _need_both_sides(call.config)
    try:
        return ask_all(call)
    except QwenBenchError as error:
        if not isinstance(error, InputError) and not call.config.dry_run:
            call.screen.close()
            _write_failure(error, call)
        raise


def _need_both_sides(config: RunConfig) -> None:
    """A pipeline states what it compares; neither side has a default.

    Raises:
        InputError: a side is missing.
    """
    sides = (("--baseline", config.baseline), ("--model", config.model))
    missing = [flag for flag, given in sides if not given]
    if missing and not (missing == ["--model"] and config.resume not in {None, LATEST}):
        raise InputError(
            f"missing option {' and '.join(missing)}",
            why="check compares a model with a baseline and has a default for neither",
            fix="qwen-bench check --baseline SPEC_OR_RUN --model SPEC",
        )


def _write_failure(error: QwenBenchError, call: Call) -> None:
    """Leave a JUnit error and a Markdown note where a pipeline looks for the verdict.

    That they cannot be written is a warning: the error that ended the command is the news.
    """
    from qwen_bench.app.comparing import Judged
    from qwen_bench.app.outputs import prepare_folder, write_outputs
    from qwen_bench.cli.results import command_line
    from qwen_bench.stats.results import Unjudged

    name = ", ".join(call.config.model) or str(call.config.resume)
    judged = Judged((), (), (Unjudged(name, error.message, error.exit_code),))
    command = command_line(call.words)
    try:
        prepare_folder(call.config)
        write_outputs(judged, call.config, call.screen, exit_code=error.exit_code, command=command)
    except QwenBenchError as second:
        call.screen.say(f"warning: {second.message}")
