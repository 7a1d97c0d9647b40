"""`qwen-bench compare`: paired comparison of run folders; reads files only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qwen_bench.cli.options import NARROWING, Call, command

if TYPE_CHECKING:
    from qwen_bench.cli.exits import Exit


EXAMPLES = """\b
Examples:
  qwen-bench compare runs/BASE runs/CANDIDATE
  qwen-bench compare runs/BASE runs/CANDIDATE --margin 3 --fail-on inconclusive --json -
  qwen-bench compare runs/BASE runs/CANDIDATE --family pronoun --lengths 8,16
  qwen-bench compare runs/BASE runs/CANDIDATE --level 1
  qwen-bench compare runs/BASE runs/CANDIDATE --gate 'overall@16>=60' --junit junit.xml
"""


@command(
    "compare",
    click.Argument(["base"], metavar="BASE_RUN"),
    click.Argument(["candidates"], metavar="CAND_RUN...", nargs=-1, required=True),
    "runs_dir",
    *NARROWING,
    "max_error_rate",
    "max_unread_rate",
    "Verdict",
    "Output",
    "Display",
    examples=EXAMPLES,
)
def compare(call: Call, base: str, candidates: tuple[str, ...]) -> Exit:
    """Compare run folders, probe by probe; the first is the baseline."""
    from qwen_bench.app.comparing import compare_runs
    from qwen_bench.app.outputs import check_outputs, check_page
    from qwen_bench.cli.results import show_judged

    check_outputs(call.config)
    check_page(call.config, 1 + len(candidates))
    return show_judged(compare_runs([base, *candidates], call.config, call.screen), call)
