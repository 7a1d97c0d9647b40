"""`qwen-bench data`: the group of commands for files of training data."""

from __future__ import annotations

import click

from qwen_bench.cli.data_convert import convert
from qwen_bench.cli.data_generate import generate
from qwen_bench.cli.data_overlap import overlap
from qwen_bench.cli.data_stats import stats
from qwen_bench.cli.data_validate import validate

EXAMPLES = """\b
Examples:
  qwen-bench data validate train.jsonl
  qwen-bench data validate train.jsonl --model Qwen/Qwen3-0.6B --fix mended.jsonl
  qwen-bench data convert sharegpt.json -o train.jsonl
  qwen-bench data generate -o memory.jsonl --n 500 --mix mine.jsonl
  qwen-bench data overlap train.jsonl --max-overlap 0
  qwen-bench data stats train.jsonl --model embedded --history 100 --chart data.svg
"""


@click.group(epilog=EXAMPLES)
def data() -> None:
    """Files of training data: look, convert, make, check for leaks, count."""


for part in (validate, convert, generate, overlap, stats):
    data.add_command(part)
