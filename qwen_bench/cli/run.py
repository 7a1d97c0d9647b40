"""`qwen-bench run`: ask models every probe of a suite; with a baseline also compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qwen_bench.cli import model_options as models
from qwen_bench.cli import options as declared
from qwen_bench.errors import InputError

if TYPE_CHECKING:
    from qwen_bench.cli.exits import Exit


EXAMPLES = """\b
Examples:
  qwen-bench run --model ./out/lora --baseline Qwen/Qwen2.5-0.5B-Instruct --html report.html
  qwen-bench run --suite quick --lang zh --family 'update_*'
  qwen-bench run --model mock:window-8 --baseline mock:oracle
  qwen-bench run --resume runs/RUN --limit 20
  qwen-bench run --model openai:qwen3 --base-url http://localhost:8000/v1 --mode generate
  qwen-bench run --model Qwen/Qwen3-8B --thinking on --temperature 0.6 --top-p 0.95 --top-k 20
  qwen-bench run --model Qwen/Qwen3-8B --device cuda --replicas 4
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
@declared.verdict_options("never")
@declared.output_options
@declared.display_options
@click.pass_context
def run(context: click.Context, /, unexpected: tuple[str, ...], **_: object) -> Exit | None:
    """Ask a model every probe of a suite; with a baseline also compare."""
    from qwen_bench.cli.display import new_screen
    from qwen_bench.cli.outputs import check_outputs
    from qwen_bench.cli.recording import ask_all

    if unexpected:
        raise InputError(f"unexpected argument; the model is an option: --model {unexpected[0]}")
    options = declared.options_of(context)
    check_outputs(options)
    screen = new_screen(options)
    try:
        return ask_all(options, context.obj, screen)
    finally:
        screen.close()
