"""`qwen-bench plan`: how many probes a difference needs, and what asking them costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from qwen_bench.cli import model_options as models
from qwen_bench.cli import options as declared
from qwen_bench.cli import values

F = TypeVar("F", bound=Callable[..., Any])

EXAMPLES = """\b
Examples:
  qwen-bench plan --effect 5
  qwen-bench plan --suite quick --effect 10 --power 0.9 --discordance 0.2
  qwen-bench plan --from runs/BASE --from runs/CANDIDATE --model Qwen/Qwen3-0.6B
  qwen-bench plan --model Qwen/Qwen3-8B --device cuda --rate 40000
"""


def _option(group: str, *names: str, **settings: Any) -> Callable[[F], F]:  # noqa: ANN401 - click's
    """An option of this command under a heading."""
    return click.option(*names, cls=declared.GroupedOption, group=group, **settings)


@click.command(cls=declared.GroupedCommand, epilog=EXAMPLES)
@_option(
    "Plan",
    "--effect",
    default="5",
    show_default=True,
    metavar="POINTS",
    callback=values.between(0, 100),
    help="Smallest drop to be seen, percentage points.",
)
@_option(
    "Plan",
    "--power",
    default="0.8",
    show_default=True,
    metavar="SHARE",
    callback=values.between(0.05, 1),
    help="Share of runs in which it is to be seen.",
)
@_option(
    "Plan",
    "--discordance",
    metavar="SHARE",
    callback=values.between(0, 1),
    help="Share of probes the two models answer differently.  [default: 0.15]",
)
@_option(
    "Plan",
    "--from",
    multiple=True,
    metavar="RUN",
    help="Measure it instead: give it for the baseline and again for the candidate, or once for a "
    "candidate that was run with --baseline.",
)
@models.cost_options
@declared.probe_options
@declared.mode_option
@declared.policy_option
@declared.runs_dir_option
@_option("Output", "--json", metavar="FILE", help="Write the plan as JSON; - is stdout.")
@declared.display_options
@click.pass_context
def plan(
    context: click.Context,
    /,
    *,
    effect: float,
    power: float,
    discordance: float | None,
    rate: float | None,
    **given: object,
) -> None:
    """Probes needed to see a drop, and what the selected ones cost; nothing is asked."""
    from qwen_bench.cli.display import new_screen
    from qwen_bench.cli.judge import stdout_is_free
    from qwen_bench.cli.outputs import check_targets, write_json
    from qwen_bench.cli.planned import make_plan
    from qwen_bench.report.plan_text import Wanted, plan_document, plan_lines

    options = declared.options_of(context)
    check_targets([("--json", options.json)])
    screen = new_screen(options)
    names = given["from"]
    assert isinstance(names, tuple)  # noqa: S101 - click makes it one
    wanted = Wanted(effect / 100, power, discordance, rate, names)
    made = make_plan(wanted, options, screen)
    screen.table(plan_lines(made), stdout_is_free(options))
    if options.json:
        write_json(options.json, plan_document(made))
