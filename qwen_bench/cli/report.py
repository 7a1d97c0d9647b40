"""`qwen-bench report`: one self-contained HTML page from run folders; reads files only."""

from __future__ import annotations

from dataclasses import replace

import click

from qwen_bench.cli.options import NARROWING, Call, command, own
from qwen_bench.errors import InputError

EXAMPLES = """\b
Examples:
  qwen-bench report runs/BASE runs/CANDIDATE -o report.html
  qwen-bench report runs/RUN -o profile.html --title "Nightly"
  qwen-bench report runs/BASE runs/CANDIDATE -o report.html --markdown -
"""


@command(
    "report",
    click.Argument(["runs"], metavar="RUN...", nargs=-1, required=True),
    own("Output", "-o", "--output", required=True, metavar="FILE", help="The page; - is stdout."),
    own("Output", "--title", metavar="TEXT", help="Title of the page."),
    "markdown",
    "runs_dir",
    *NARROWING,
    "max_error_rate",
    "max_unread_rate",
    "margin",
    "alpha",
    "allow_mismatch",
    "allow_partial",
    "Display",
    examples=EXAMPLES,
)
def report(call: Call, runs: tuple[str, ...], output: str, title: str | None) -> None:
    """Write a report page: one run gives a profile, of more the first is the baseline."""
    from qwen_bench.app.comparing import compare_runs
    from qwen_bench.app.outputs import check_targets, write_markdown, write_page
    from qwen_bench.cli.results import command_line
    from qwen_bench.report.page import MOST_RUNS

    if len(runs) > MOST_RUNS:
        raise InputError(f"at most {MOST_RUNS} runs in one report")
    check_targets([("-o", output), ("--markdown", call.config.markdown)])
    config = replace(call.config, html=output)
    judged = compare_runs(runs, config, call.screen)
    compared = replace(judged, unjudged=())
    write_markdown(compared, config, call.screen, command=command_line(call.words))
    write_page([output], judged.runs, judged.comparisons, call.screen, title=title)
