"""`qwen-bench data overlap`: does training data hold what a suite asks?"""

from __future__ import annotations

from pathlib import Path

import click

from qwen_bench.app.option_values import between, whole
from qwen_bench.cli.exits import Code, Exit
from qwen_bench.cli.options import PROBES, Call, command, own, shared

EXAMPLES = """\b
Examples:
  qwen-bench data overlap train.jsonl
  qwen-bench data overlap train.jsonl --suite quick --lang en --max-overlap 0
"""


@command(
    "overlap",
    click.Argument(["train"], metavar="TRAIN.jsonl"),
    *PROBES,
    own(
        "Comparison",
        "--ngram",
        read=whole(3),
        metavar="N",
        help="Length of a run that counts; 8 words by default, of Chinese 13 characters.",
    ),
    own(
        "Comparison",
        "--max-overlap",
        read=between(0, 100),
        metavar="PCT",
        help="Exit 3 when a larger share of the probes is touched.",
    ),
    shared("json", "Output", help="Write what was found as JSON; - is stdout."),
    "Display",
    examples=EXAMPLES,
)
def overlap(call: Call, train: str, *, ngram: int | None, max_overlap: float | None) -> Exit | None:
    """Look for questions, evidence and other turns of a suite in a file of training data."""
    from qwen_bench.app.asking import build
    from qwen_bench.app.outputs import check_outputs, targets_of, write_json
    from qwen_bench.data.overlap import CHARACTERS, WORDS, lines
    from qwen_bench.data.overlap import overlap as compare
    from qwen_bench.errors import InputError

    config, path = call.config, Path(train)
    check_outputs(config)
    if not path.is_file():
        raise InputError(f"cannot read {train}", why="there is no such file")
    suite = build(config, call.screen)
    length = ngram or WORDS, ngram or CHARACTERS
    call.screen.say(
        f"suite {suite.name} {suite.version} · runs of {length[0]} words, "
        f"of {length[1]} Chinese characters"
    )
    done = compare(path, suite, *length)
    call.screen.table(lines(done, path), targets_of(config).stdout_is_free)
    if config.json:
        write_json(
            config.json,
            {
                "schema_version": 1,
                "file": train,
                "suite": {"name": suite.name, "version": suite.version, "sha256": suite.sha256},
                "words": length[0],
                "characters": length[1],
                "texts": dict(done.texts),
                "too_short": done.short,
                "probes": done.probes,
                "touched": dict(done.touched),
                "share": done.share,
                "verdict": done.verdict,
                "found": [
                    {"part": one.part, "text": one.text, "line": one.line, "run": one.run}
                    for one in done.found
                ],
            },
        )
    if max_overlap is not None and done.share > max_overlap:
        told = f"{done.share:.1f} % of the probes are touched, above --max-overlap {max_overlap:g}"
        return Exit(Code.REGRESSED, told)
    return None
