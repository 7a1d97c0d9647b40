"""`qwen-bench report`: one self-contained HTML page from run folders; reads files only."""

from __future__ import annotations

from dataclasses import replace

import click

from qwen_bench.cli import options as declared
from qwen_bench.errors import InputError

EXAMPLES = """\b
Examples:
  qwen-bench report runs/BASE runs/CANDIDATE -o report.html
  qwen-bench report runs/RUN -o profile.html --title "Nightly"
  qwen-bench report runs/BASE runs/CANDIDATE -o report.html --markdown -
"""


@click.command(cls=declared.GroupedCommand, epilog=EXAMPLES)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    help="The page; - is stdout.",
    cls=declared.GroupedOption,
    group="Output",
)
@click.option(
    "--title", metavar="TEXT", help="Title of the page.", cls=declared.GroupedOption, group="Output"
)
@declared.markdown_option
@declared.runs_dir_option
@declared.narrowing_options
@declared.max_error_rate_option
@declared.verdict_options(None)
@declared.display_options
@click.pass_context
def report(
    context: click.Context, /, runs: tuple[str, ...], output: str, title: str | None, **_: object
) -> None:
    """Write a report page: one run gives a profile, of more the first is the baseline."""
    from qwen_bench.cli.chosen import read_runs
    from qwen_bench.cli.display import new_screen
    from qwen_bench.cli.judge import command_line, judge, named_views
    from qwen_bench.cli.narrowing import narrowed, narrowing_words
    from qwen_bench.cli.outputs import STDOUT, check_targets, write_markdown, write_page
    from qwen_bench.report.page import MOST_RUNS

    options = declared.options_of(context)
    screen = new_screen(options)
    if len(runs) > MOST_RUNS:
        raise InputError(f"at most {MOST_RUNS} runs in one report")
    check_targets([("-o", output), ("--markdown", options.markdown)])
    views = narrowed(named_views(read_runs(runs, options.runs_path, screen)), options)
    # A page shows half-life intervals, which `judge` computes when one is written.
    judged = judge(
        views[0], views[1:], replace(options, html=output), note=narrowing_words(options)
    )
    comparisons = judged.comparisons
    if options.markdown:
        from qwen_bench.report.markdown import comparison_markdown, profile_markdown
        from qwen_bench.stats.summary import summarise

        text = (
            comparison_markdown(
                comparisons,
                views,
                report=None if output == STDOUT else output,
                command=command_line(context.obj),
            )
            if comparisons
            else profile_markdown(views, [summarise(view.outcomes) for view in views])
        )
        write_markdown(text, options, screen)
    write_page([output], views, comparisons, screen, title=title)
