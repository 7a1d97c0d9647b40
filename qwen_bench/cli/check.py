"""`qwen-bench check`: run both sides, compare, report and gate; the line for a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qwen_bench.cli import model_options as models
from qwen_bench.cli import options as declared
from qwen_bench.cli.exits import Code
from qwen_bench.errors import InputError, QwenBenchError

if TYPE_CHECKING:
    from qwen_bench.cli.display import Screen
    from qwen_bench.cli.exits import Exit
    from qwen_bench.cli.options import Options


EXAMPLES = """\b
Examples:
  qwen-bench check --baseline Qwen/Qwen2.5-0.5B-Instruct --model ./out/lora
  qwen-bench check --baseline runs/BASE --model ./out/lora --fail-on inconclusive
  qwen-bench check --baseline Qwen/Qwen3-8B --model ./out/lora --device cuda --replicas 4
  qwen-bench check --baseline mock:oracle --model mock:window-8 --gate 'overall@16>=60'
"""


@click.command(cls=declared.GroupedCommand, epilog=EXAMPLES)
@click.argument("unexpected", nargs=-1, metavar="")
@models.model_options
@declared.probe_options
@declared.mode_option
@declared.policy_option
@models.generation_options
@declared.runs_dir_option
@declared.run_options
@declared.max_error_rate_option
@declared.verdict_options("regression")
@declared.out_option
@declared.output_options
@declared.display_options
@click.pass_context
def check(context: click.Context, /, unexpected: tuple[str, ...], **_: object) -> Exit | None:
    """Run both sides, compare, report and gate: exit 0 only when nothing failed."""
    from qwen_bench.cli.display import new_screen
    from qwen_bench.cli.outputs import check_outputs
    from qwen_bench.cli.recording import ask_all

    if unexpected:
        raise InputError(f"unexpected argument; the model is an option: --model {unexpected[0]}")
    options = declared.options_of(context)
    _need_both_sides(options)
    check_outputs(options)
    screen = new_screen(options)
    try:
        return ask_all(options, context.obj, screen)
    except QwenBenchError as error:
        if error.exit_code != Code.USAGE and not options.dry_run:
            screen.close()
            _write_failure(error, options, context.obj, screen)
        raise
    finally:
        screen.close()


def _need_both_sides(options: Options) -> None:
    """A pipeline states what it compares; neither side has a default.

    Raises:
        InputError: a side is missing.
    """
    missing = [
        flag
        for flag, given in (("--baseline", options.baseline), ("--model", options.model))
        if not given
    ]
    if missing and not (missing == ["--model"] and options.resume not in {None, "latest"}):
        raise InputError(
            f"missing option {' and '.join(missing)}",
            why="check compares a model with a baseline and has a default for neither",
            fix="qwen-bench check --baseline SPEC_OR_RUN --model SPEC",
        )


def _write_failure(
    error: QwenBenchError, options: Options, arguments: tuple[str, ...], screen: Screen
) -> None:
    """Leave a JUnit error and a Markdown note where a pipeline looks for the verdict.

    That they cannot be written is a warning: the error that ended the command is the news.
    """
    from qwen_bench.cli.judge import Judged, command_line, write_files
    from qwen_bench.cli.outputs import prepare_folder
    from qwen_bench.stats.results import Unjudged

    name = ", ".join(options.model) or str(options.resume)
    judged = Judged((), (Unjudged(name, error.message, error.exit_code),))
    code = Code(error.exit_code)
    try:
        prepare_folder(options)
        write_files(judged, (), options, screen, code=code, command=command_line(arguments))
    except QwenBenchError as second:
        screen.say(f"warning: {second.message}")
