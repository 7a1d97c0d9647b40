"""`qwen-bench run`: ask models every probe of a suite; with a baseline also compare."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from qwen_bench.cli.options import RUN, Call, command
from qwen_bench.errors import InputError

if TYPE_CHECKING:
    from qwen_bench.cli.exits import Exit


EXAMPLES = """\b
Examples:
  qwen-bench run --model ./out/lora --baseline Qwen/Qwen2.5-0.5B-Instruct --html report.html
  qwen-bench run --suite quick --lang zh --family 'update_*'
  qwen-bench run --model ./out/lora --level 1,2
  qwen-bench run --model mock:window-8 --baseline mock:oracle
  qwen-bench run --resume
  qwen-bench run --resume runs/RUN --limit 20
  qwen-bench run --resume runs/RUN --level 1,2,3
  qwen-bench run --model openai:qwen3 --base-url http://localhost:8000/v1 --mode generate
  qwen-bench run --model Qwen/Qwen3-8B --thinking on --temperature 0.6 --top-p 0.95 --top-k 20
  qwen-bench run --model Qwen/Qwen3-8B --device cuda --replicas 4
"""
# Taken so that a model given without its flag can be told from a mistyped command.
UNEXPECTED = click.Argument(["unexpected"], nargs=-1, metavar="")


@command("run", UNEXPECTED, *RUN, examples=EXAMPLES)
def run(call: Call, unexpected: tuple[str, ...]) -> Exit | None:
    """Ask a model every probe of a suite; with a baseline also compare.

    Name a model or a suite: the embedded model takes hours for the default one, core.
    """
    refuse_unexpected(unexpected)
    return ask_all(continued(call))


def refuse_unexpected(words: tuple[str, ...]) -> None:
    """Refuse arguments where models are options.

    Raises:
        InputError: there is one.
    """
    if words:
        raise InputError(f"unexpected argument; the model is an option: --model {words[0]}")


def continued(call: Call) -> Call:
    """The call with what `--resume` alone takes over from the newest unfinished run."""
    from qwen_bench.app.resuming import Command, taken_up
    from qwen_bench.record.redaction import redact_argv

    taken = taken_up(Command(call.config, redact_argv(call.words)), call.screen)
    if taken.config is call.config:
        return call
    return call._replace(config=taken.config, words=taken.words or ())


def ask_all(call: Call) -> Exit | None:
    """Ask every model, then print profiles or verdicts.

    Returns:
        How the command ends; None for a plain success.
    """
    from qwen_bench.app.asking import check_beforehand, read_asking
    from qwen_bench.app.comparing import judge, labelled
    from qwen_bench.app.interrupt import StopRequest
    from qwen_bench.app.outputs import check_outputs, prepare_folder
    from qwen_bench.app.recording import record
    from qwen_bench.app.unnamed import expected_time, refuse_unnamed
    from qwen_bench.cli.exits import Code, Exit, decisive
    from qwen_bench.cli.results import show_dry_run, show_judged, show_profiles
    from qwen_bench.cli.text import write_line
    from qwen_bench.record.redaction import redact_argv
    from qwen_bench.runs.job import RunInterruptedError

    check_outputs(call.config)
    asking = read_asking(call.config, call.screen)
    check_beforehand(asking)
    if call.config.dry_run:
        show_dry_run(asking, call)
        return None
    refuse_unnamed(asking)
    prepare_folder(call.config)
    call.screen.say(asking.header)
    if (expected := expected_time(asking)) is not None:
        call.screen.say(expected)
    try:
        with StopRequest(call.screen.say) as stop:
            recorded = record(asking, call.screen, stop, redact_argv(call.words))
    except RunInterruptedError as stopped:
        call.screen.close()
        for line in (str(stopped), f"  continue: {stopped.command}"):
            write_line(sys.stderr, line)
        return Exit(Code.INTERRUPTED)
    call.screen.close()
    views = labelled(recorded.runs)
    if asking.has_base:
        judged = judge(views, asking.config, call.screen)
        whole = replace(judged, unjudged=(*recorded.broken, *judged.unjudged))
        return show_judged(whole, call)
    show_profiles(recorded.runs, views, call)
    codes = [Code(item.exit_code) for item in recorded.broken]
    return Exit(decisive(codes)) if codes else None
