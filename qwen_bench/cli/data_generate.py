"""`qwen-bench data generate`: multi-turn training conversations, also among one's own."""

from __future__ import annotations

from pathlib import Path

from qwen_bench.app.option_values import levels, whole, words
from qwen_bench.cli.options import Call, command, own

EXAMPLES = """\b
Examples:
  qwen-bench data generate -o memory.jsonl --n 2000 --lang en,zh
  qwen-bench data generate -o train.jsonl --n 500 --lengths 2-12 --mix mine.jsonl
  qwen-bench finetune --base embedded --recipe quick --data train.jsonl --out ./out/lora
"""


def _span(text: str) -> tuple[int, int]:
    """Shortest and longest history."""
    first, dash, last = text.partition("-")
    try:
        return int(first), int(last if dash else first)
    except ValueError:
        raise ValueError(f"'{text}' is not a span of turns such as 1-10") from None


@command(
    "generate",
    own("Conversations", "--n", read=whole(1), default="200", metavar="N", help="How many."),
    own(
        "Conversations",
        "--lengths",
        read=_span,
        default="1-10",
        metavar="T-T",
        help="Shortest and longest history in user turns, questions not counted.",
    ),
    own(
        "Conversations",
        "--level",
        read=levels,
        default="1,2,3",
        metavar="N,N,...",
        help="Levels of memory load, 1 (one fact) to 5.",
    ),
    own(
        "Conversations",
        "--family",
        "globs",
        multiple=True,
        metavar="GLOB",
        help="Only these families; repeatable.",
    ),
    own("Conversations", "--lang", read=words, default="en", metavar="en,zh", help="Languages."),
    own("Conversations", "--seed", read=whole(0), default="0", metavar="N", help="Of all draws."),
    own(
        "Conversations",
        "--train-replies",
        is_flag=True,
        help="Learn the scripted replies too; else only the answers to memory questions.",
    ),
    own(
        "Output",
        "--mix",
        metavar="FILE.jsonl",
        help="Your own conversations, all of which are written, the made ones among them.",
    ),
    own("Output", "-o", "--output", required=True, metavar="OUT", help="ChatML JSONL to make."),
    own("Output", "--force", is_flag=True, help="Replace OUT if it is there."),
    "Display",
    examples=EXAMPLES,
)
def generate(
    call: Call,
    *,
    n: int,
    lengths: tuple[int, int],
    level: tuple[int, ...],
    globs: tuple[str, ...],
    lang: tuple[str, ...],
    seed: int,
    train_replies: bool,
    mix: str | None,
    output: str,
    force: bool,
) -> None:
    """Make conversations that practise memory, of the train split alone.

    Their words, questions and requests occur in no suite: qwen-bench data overlap OUT
    """
    from qwen_bench.data.generation import chosen, write_generated
    from qwen_bench.data.writing import refuse_existing
    from qwen_bench.errors import InputError
    from qwen_bench.probes.probe import LANGS
    from qwen_bench.training.recipe import GenerateBlock

    own_file, target = Path(mix) if mix else None, Path(output)
    refuse_existing("-o", target, force=force, sources=(own_file,) if own_file else ())
    for name in lang:
        if name not in LANGS:
            raise InputError(f"no such language '{name}'; there are {', '.join(LANGS)}")
    block = GenerateBlock(
        n=n,
        lengths=lengths,
        levels=level,
        families=chosen(globs),
        langs=tuple(known for known in LANGS if known in lang),
        seed=seed,
        train_replies=train_replies,
    )
    done = write_generated(block, own_file, target)
    mixed = f", {done.own:,} from {own_file}" if own_file else ""
    call.screen.table([f"{done.made:,} made{mixed}: {target}"], stdout_is_free=True)
