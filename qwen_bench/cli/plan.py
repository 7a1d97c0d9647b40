"""`qwen-bench plan`: how many probes a difference needs, and what asking them costs."""

from __future__ import annotations

from typing import Any

from qwen_bench.app.option_values import above
from qwen_bench.cli.options import PROBES, Call, command, own, shared

EXAMPLES = """\b
Examples:
  qwen-bench plan --effect 5
  qwen-bench plan --suite quick --effect 10 --power 0.9 --discordance 0.2
  qwen-bench plan --from runs/BASE --from runs/CANDIDATE --model Qwen/Qwen3-0.6B
  qwen-bench plan --model Qwen/Qwen3-8B --device cuda --rate 40000
"""


@command(
    "plan",
    own(
        "Plan",
        "--effect",
        default="5",
        metavar="POINTS",
        read=above(0, 100),
        help="Smallest drop to be seen, percentage points.",
    ),
    own(
        "Plan",
        "--power",
        default="0.8",
        metavar="SHARE",
        read=above(0.05, 1),
        help="Share of runs in which it is to be seen.",
    ),
    own(
        "Plan",
        "--discordance",
        metavar="SHARE",
        read=above(0, 1),
        help="Share of probes the two models answer differently.  [default: 0.15]",
    ),
    own(
        "Plan",
        "--from",
        multiple=True,
        metavar="RUN",
        help="Measure it instead: give it for the baseline and again for the candidate, or once "
        "for a candidate that was run with --baseline.",
    ),
    shared(
        "model",
        "Cost",
        help="Count tokens with its tokenizer and memory from its configuration; loads no weights.",
    ),
    own(
        "Cost",
        "--rate",
        metavar="TOKENS",
        read=above(0),
        help="Tokens a second of your machine, for the time; else that of a recorded run.",
    ),
    *(
        shared(name, "Cost")
        for name in (
            "device",
            "dtype",
            "model_arg",
            "chat_template",
            "trust_remote_code",
            "offline",
            "max_new_tokens",
            "max_thinking_tokens",
            "thinking",
            "system",
        )
    ),
    *PROBES,
    "mode",
    "policy",
    "runs_dir",
    shared("json", help="Write the plan as JSON; - is stdout."),
    "Display",
    examples=EXAMPLES,
)
def plan(
    call: Call,
    effect: float,
    power: float,
    discordance: float | None,
    rate: float | None,
    **given: Any,  # noqa: ANN401 - `from` is no name in Python
) -> None:
    """Probes needed to see a drop, and what the selected ones cost; nothing is asked."""
    from qwen_bench.app.outputs import check_outputs, write_json
    from qwen_bench.app.plan_run import make_plan
    from qwen_bench.cli.results import show_plan
    from qwen_bench.report.plan_text import Wanted, plan_document

    check_outputs(call.config)
    wanted = Wanted(effect / 100, power, discordance, rate, given["from"])
    made = make_plan(wanted, call.config, call.screen)
    show_plan(made, call)
    if call.config.json:
        write_json(call.config.json, plan_document(made))
