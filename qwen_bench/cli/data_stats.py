"""`qwen-bench data stats`: what training data holds, and whether answers need their history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qwen_bench.app.option_values import whole
from qwen_bench.cli.options import Call, command, own, shared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.data.context_use import HistoryUse
    from qwen_bench.data.findings import Finding

EXAMPLES = """\b
Examples:
  qwen-bench data stats train.jsonl
  qwen-bench data stats train.jsonl --model Qwen/Qwen3-0.6B --json stats.json
  qwen-bench data stats train.jsonl --model embedded --history 200 --chart data.svg
"""


@command(
    "stats",
    click.Argument(["files"], metavar="FILE...", nargs=-1, required=True),
    own("Model", "--model", "spec", metavar="SPEC", help="Count its tokens."),
    own(
        "Model",
        "--history",
        read=whole(1),
        metavar="N",
        help="Measure on up to N answers whether they need what was said before: their loss with "
        "and without it. Loads the model.",
    ),
    shared("device", "Model"),
    shared("chat_template", "Model"),
    shared("thinking", "Model"),
    shared("trust_remote_code", "Model"),
    shared("offline", "Model"),
    own("Output", "--chart", metavar="FILE", help="Write a picture, .svg or .png."),
    shared("json", "Output", help="Write all figures as JSON; - is stdout."),
    "Display",
    examples=EXAMPLES,
)
def stats(
    call: Call,
    files: tuple[str, ...],
    *,
    spec: str | None,
    history: int | None,
    chart: str | None,
) -> None:
    """Count conversations, turns, languages and tokens, and measure the need of history."""
    from qwen_bench.app.outputs import check_targets, write_json
    from qwen_bench.cli.data_validate import lint_of
    from qwen_bench.data.statistics import Statistics
    from qwen_bench.data.validation import validate
    from qwen_bench.errors import DataError, InputError

    config, paths = call.config, [Path(name) for name in files]
    check_targets([("--json", config.json), ("--chart", chart)])
    if chart is not None:
        from qwen_bench.data.picture import check_picture

        check_picture(Path(chart))
    if history is not None and spec is None:
        raise InputError("--history needs --model", fix="--model SPEC to measure the loss on")
    done = Statistics()
    done.lint = lint_of(call, paths[0], spec, None) if spec is not None else None
    for path in paths:
        bad = _Faulty()
        look = done.lint.look if done.lint else None
        seen = validate(path, bad, look, counts=done.counts)
        if not seen.records:
            raise DataError(path, None, "no records", fix="give a file with some")
        done.faulty += len(bad.lines)
    if history is not None and spec is not None:
        done.history = _measured(call, paths, spec, history)
    call.screen.table(done.lines(), config.json != "-")
    if config.json:
        write_json(config.json, done.document())
    if chart is not None:
        from qwen_bench.data.picture import write_picture

        write_picture(done.pictures(), Path(chart))
        call.screen.say(f"chart  {chart}")


class _Faulty:
    """Lines of records with errors."""

    def __init__(self) -> None:
        self.lines: set[int] = set()

    def __call__(self, finding: Finding) -> None:
        """Note one."""
        if finding.level == "error" and finding.kind != "array-file" and finding.line:
            self.lines.add(finding.line)


def _measured(call: Call, paths: Sequence[Path], spec: str, most: int) -> list[HistoryUse]:
    """Loss with and without the history, on the weights."""
    from itertools import chain

    from qwen_bench.app.asking import engine_options, read_specs
    from qwen_bench.data.context_use import history_use, later_answers
    from qwen_bench.data.validation import sound_records
    from qwen_bench.engines.loading import load_base
    from qwen_bench.engines.registry import open_prompter
    from qwen_bench.errors import InputError

    (model,) = read_specs((spec,), call.screen)
    if model.kind not in {"embedded", "hub", "local"}:
        raise InputError(
            f"--model {spec}: the loss is measured on a full model",
            fix="--model embedded, a Hub id, or a folder with config.json",
        )
    options = engine_options(call.config, (model,))
    answers = later_answers(chain.from_iterable(map(sound_records, paths)), most)
    call.screen.say(f"measuring {len(answers):,} answers with and without their history")
    uses: list[HistoryUse] = []
    for use in history_use(answers, load_base(model, options), open_prompter(model, options)):
        uses.append(use)
        if len(uses) % max(10, len(answers) // 10) == 0:
            call.screen.say(f"{len(uses):,} of {len(answers):,} answers")
    return uses
