"""`qwen-bench finetune`: train a LoRA adapter with a recipe, or show what would be trained."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO

from qwen_bench.app.option_values import whole
from qwen_bench.cli.options import Call, command, own, shared
from qwen_bench.cli.text import printable, write_line
from qwen_bench.errors import InputError, MissingExtraError


def _say(line: str) -> None:
    """One line on stderr."""
    _write(sys.stderr, line)


def _write(stream: TextIO, line: str) -> None:
    """One line; of several processes that a launcher started, only the first one speaks."""
    if os.environ.get("RANK", "0") == "0":
        write_line(stream, printable(line))


def _rate(text: str) -> float:
    """A learning rate: above 0, at most 1."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1:
        raise ValueError(f"'{text}' is not a number above 0 and up to 1")
    return number


EXAMPLES = """\b
Examples:
  qwen-bench finetune --base embedded --recipe quick --out ./out/lora
  qwen-bench finetune --base Qwen/Qwen3-0.6B --recipe my.yaml --data mine.jsonl --out ./out/lora
  qwen-bench finetune --base embedded --recipe quick --out ./out/lora --show-labels 2
"""


TRAINS_WITH = {"torch", "transformers", "peft", "accelerate", "safetensors", "huggingface_hub"}


@command(
    "finetune",
    own("Model", "--base", default="embedded", metavar="SPEC", help="Full model to train on."),
    own(
        "Training",
        "--recipe",
        default="quick",
        metavar="NAME|FILE",
        help="Shipped recipe, or a YAML file.",
    ),
    own(
        "Training",
        "--data",
        metavar="FILE",
        help="ChatML JSONL to train on, instead of the recipe's data.",
    ),
    own("Training", "--steps", read=whole(1), metavar="N", help="Optimizer steps."),
    own("Training", "--lr", read=_rate, metavar="X", help="Learning rate after the warm-up."),
    own(
        "Training",
        "--rank",
        read=whole(1),
        metavar="N",
        help="Rank of the adapter; alpha / rank stays as in the recipe.",
    ),
    own(
        "Training",
        "--max-length",
        read=whole(16),
        metavar="N",
        help="Tokens of the longest row; longer conversations lose their last exchanges.",
    ),
    own(
        "Training",
        "--seed",
        read=whole(0),
        metavar="N",
        help="Of weights and order; the data has the recipe's seed.",
    ),
    own("Output", "--out", metavar="DIR", help="Adapter folder to make; must not exist."),
    own(
        "Output",
        "--show-labels",
        read=whole(1),
        metavar="N",
        help="Print N rows with the trained text marked, then exit.",
    ),
    own(
        "Output",
        "--dry-run",
        is_flag=True,
        help="Print rows, tokens and an estimated time after timing one step, then exit.",
    ),
    shared("debug", "Output"),
    examples=EXAMPLES,
)
def finetune(
    call: Call,
    *,
    base: str,
    recipe: str,
    data: str | None,
    out: str | None,
    show_labels: int | None,
    dry_run: bool,
    **changes: float | None,
) -> None:
    """Train a LoRA adapter on multi-turn conversations and write it to a folder.

    The adapter is then a model like any other: qwen-bench run --baseline embedded --model DIR
    """
    from qwen_bench.engines.model_spec import parse_spec
    from qwen_bench.training.recipe import load_recipe, resolve

    named = resolve(load_recipe(recipe), data=data, changes=changes)
    spec = parse_spec(base)
    writes = not dry_run and show_labels is None
    if writes and out is None:
        raise InputError("--out is missing", fix="--out DIR names the adapter folder to make")
    target = Path(out if out is not None else "adapter")
    try:
        from qwen_bench.training import finetuning, preparation
        from qwen_bench.training.labelled_rows import marked
    except ModuleNotFoundError as error:
        if error.name in TRAINS_WITH:
            raise MissingExtraError("train", str(error.name)) from error
        raise
    if writes:
        finetuning.refuse_existing(target)
    words = ["qwen-bench", *call.words]
    job = preparation.TrainingJob(base=spec, recipe=named, out=target, command=words)
    material = preparation.prepare(job, _say)
    for line in preparation.describe(material):
        _say(line)
    if show_labels is not None:
        for row in material.rows[:show_labels]:
            for line in marked(row, material.base.tokenizer):
                _write(sys.stdout, line)
        return
    if dry_run:
        steps = named.recipe.steps
        report = finetuning.time_step(job, material)
        _say(f"one step of {steps} took {report.seconds:.1f} s")
        _write(sys.stdout, f"about {report.seconds * steps / 60:.1f} minutes for {steps} steps")
        return
    _write(sys.stdout, str(finetuning.finetune(job, material, _say)))
