"""`qwen-bench data convert`: a file of training data in another form."""

from __future__ import annotations

from pathlib import Path

import click

from qwen_bench.cli.exits import Code, Exit
from qwen_bench.cli.options import Call, command, own

FORMS = ("chatml", "openai", "sharegpt", "alpaca", "query-response", "qwen-v1")
EXAMPLES = """\b
Examples:
  qwen-bench data convert sharegpt.json -o train.jsonl
  qwen-bench data convert old.jsonl --from query-response -o train.jsonl
  qwen-bench data convert train.jsonl --to sharegpt -o for-llama-factory.json
"""


@command(
    "convert",
    click.Argument(["source"], metavar="IN"),
    own(
        "Forms",
        "--from",
        "given",
        default="auto",
        type=click.Choice(("auto", *FORMS)),
        help="Form of IN; auto looks at the keys of its first 50 records.",
    ),
    own("Forms", "--to", "wanted", default="chatml", type=click.Choice(FORMS), help="Form of OUT."),
    own(
        "Output",
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="File to make: one object a line; one array where the name ends with .json and for "
        "qwen-v1.",
    ),
    own("Output", "--force", is_flag=True, help="Replace OUT if it is there."),
    "Display",
    examples=EXAMPLES,
)
def convert(
    call: Call, source: str, *, given: str, wanted: str, output: str, force: bool
) -> Exit | None:
    """Turn ChatML, OpenAI, ShareGPT, Alpaca, query-response or Qwen v1 data into each other.

    What a form cannot hold is refused with its line, never dropped; then the exit code is 1.
    """
    from qwen_bench.cli.data_validate import Told
    from qwen_bench.data.conversion import convert as write_anew
    from qwen_bench.data.writing import refuse_existing

    target = Path(output)
    refuse_existing("-o", target, force=force, sources=(Path(source),))
    told = Told(call.screen, stdout_is_free=True)
    done = write_anew(Path(source), target, given, wanted, told)
    told.rest()
    for key, count in sorted(done.lost.items()):
        call.screen.say(f"warning: not kept: {key} ({count:,}); the parts of a text are joined")
    call.screen.say(f"read as {done.form}, written as {wanted}: {target}")
    call.screen.table([done.closing()], stdout_is_free=True)
    return Exit(Code.BROKE, "some records were refused") if done.refused else None
