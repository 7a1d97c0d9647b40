"""`qwen-bench compare`: paired comparison of run folders; reads files only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qwen_bench.cli import options as declared

if TYPE_CHECKING:
    from qwen_bench.cli.exits import Exit


EXAMPLES = """\b
Examples:
  qwen-bench compare runs/BASE runs/CANDIDATE
  qwen-bench compare runs/BASE runs/CANDIDATE --margin 3 --fail-on inconclusive --json -
  qwen-bench compare runs/BASE runs/CANDIDATE --family pronoun --lengths 8,16
  qwen-bench compare runs/BASE runs/CANDIDATE --gate 'overall@16>=60' --junit junit.xml
"""


@click.command(cls=declared.GroupedCommand, epilog=EXAMPLES)
@click.argument("base", metavar="BASE_RUN")
@click.argument("candidates", metavar="CAND_RUN...", nargs=-1, required=True)
@declared.runs_dir_option
@declared.narrowing_options
@declared.max_error_rate_option
@declared.verdict_options("regression")
@declared.output_options
@declared.display_options
@click.pass_context
def compare(context: click.Context, /, base: str, candidates: tuple[str, ...], **_: object) -> Exit:
    """Compare run folders, probe by probe; the first is the baseline."""
    from qwen_bench.cli.chosen import read_runs
    from qwen_bench.cli.display import new_screen
    from qwen_bench.cli.judge import command_line, judge, named_views, present
    from qwen_bench.cli.narrowing import narrowed, narrowing_words
    from qwen_bench.cli.outputs import check_outputs, check_page

    options = declared.options_of(context)
    screen = new_screen(options)
    check_outputs(options)
    check_page(options, 1 + len(candidates))
    runs = read_runs([base, *candidates], options.runs_path, screen)
    views = narrowed(named_views(runs), options)
    judged = judge(views[0], views[1:], options, note=narrowing_words(options))
    return present(judged, views, options, screen, command=command_line(context.obj))
