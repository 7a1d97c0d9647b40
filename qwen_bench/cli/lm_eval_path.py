"""`qwen-bench lm-eval-path`: where the tasks for EleutherAI's lm-evaluation-harness are."""

from __future__ import annotations

import sys

import click

from qwen_bench.cli.text import printable, write_line

EXAMPLES = """\b
Example:
  lm-eval run --include_path "$(qwen-bench lm-eval-path)" --tasks qwen_bench \\
    --apply_chat_template --model hf --model_args pretrained=MODEL,max_length=8192
"""


@click.command(epilog=EXAMPLES)
def lm_eval_path() -> None:
    """Print the folder to give to --include_path of lm-eval."""
    from qwen_bench.lm_eval.generate import folder
    from qwen_bench.lm_eval.log_errors import OLDEST, installed_harness, too_old

    found = installed_harness()
    if found is not None and too_old(found):
        line = f"warning: lm_eval {found} is installed; these tasks need {OLDEST} or newer"
        write_line(sys.stderr, printable(line))
    click.echo(str(folder()))
