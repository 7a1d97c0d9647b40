"""`qwen-bench probes`: what will be asked, and one conversation in full."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from qwen_bench.cli.audit import audit_probes
from qwen_bench.cli.options import PROBES, Call, command, own, shared

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qwen_bench.probes.probe import Probe
    from qwen_bench.probes.suites import Suite


# What says how a prompt is written; each needs --raw.
RAW_OPTIONS = (
    "model",
    "chat_template",
    "trust_remote_code",
    "model_arg",
    "policy",
    "thinking",
    "system",
    "offline",
)
_ONE_WORDING = "one wording only"
EXAMPLES = """\b
Examples:
  qwen-bench probes list --suite quick --lang zh
  qwen-bench probes list --suite core --level 1,2
  qwen-bench probes show mixed-0/A/en/fact_recall.value/T8/main
  qwen-bench probes show mixed-0/A/en/fact_recall.value/T8/main --raw --model Qwen/Qwen3-0.6B
"""


@click.group(epilog=EXAMPLES)
def probes() -> None:
    """What will be asked: list, show, audit."""


@command(
    "list",
    *PROBES,
    shared(
        "model",
        "Probes",
        help="Whose tokenizer counts for --max-tokens. Default: estimated from characters.",
    ),
    shared("json", help="Write every probe as JSON; - is stdout."),
    "Display",
)
def list_probes(call: Call) -> None:
    """Count the probes of a suite by family, level, wording, history length and condition."""
    from qwen_bench.app.asking import build
    from qwen_bench.app.outputs import check_outputs, targets_of, write_json

    config = call.config
    check_outputs(config)
    suite = build(config, call.screen)
    found = [asked.probe for dialogue in suite.dialogues() for asked in dialogue.probes]
    call.screen.table(_listing(suite, found), targets_of(config).stdout_is_free)
    if config.json:
        write_json(config.json, _document(suite, found))


@command(
    "show",
    click.Argument(["probe_id"], metavar="ID"),
    own("Probes", "--suite", metavar="NAME", help="Look in this suite only."),
    "seed",
    "tasks_dir",
    "filler",
    own(
        "Prompt",
        "--raw",
        is_flag=True,
        help="Print the prompt exactly as a model gets it and nothing else; token counts go to "
        "stderr, no weights are loaded.",
    ),
    shared(
        "model",
        "Prompt",
        help="With --raw: whose template and tokenizer. Default: the embedded model.",
    ),
    *(shared(name, "Prompt") for name in RAW_OPTIONS[1:]),
    own(
        "Output",
        "--jsonl",
        is_flag=True,
        help="Print one line of ChatML JSON and nothing else.",
    ),
    "Display",
)
def show_probe(call: Call, probe_id: str, suite: str | None, *, raw: bool, jsonl: bool) -> None:
    """Print one conversation with its question, its answer and where the evidence is."""
    from qwen_bench.app.asking import own_material
    from qwen_bench.chat.messages import as_dicts
    from qwen_bench.cli.conversation import plain_lines, print_chat, shows_colour
    from qwen_bench.cli.raw import check_raw_flags, print_raw
    from qwen_bench.probes.selection import load_canary
    from qwen_bench.probes.suites import find_probe
    from qwen_bench.resources import data_folder

    config = call.config
    check_raw_flags(config, RAW_OPTIONS, raw=raw, jsonl=jsonl)
    asked = find_probe(probe_id, suite, config.seed, own_material(config))[1]
    if raw:
        print_raw(asked, config, call.screen)
    elif jsonl:
        line = {
            "type": "chatml",
            "id": asked.probe.id,
            "messages": as_dicts(asked.messages),
            "canary": load_canary(data_folder("tasks")),
        }
        click.echo(json.dumps(line, ensure_ascii=False))
    elif shows_colour(config.display, sys.stdout, os.environ):
        from rich.console import Console

        # Decided above; rich would look at the environment again.
        print_chat(asked, Console(file=sys.stdout, force_terminal=True, highlight=False))
    else:
        call.screen.table(plain_lines(asked), stdout_is_free=True)


for part in (list_probes, show_probe, audit_probes):
    probes.add_command(part)


def _listing(suite: Suite, found: Iterable[Probe]) -> list[str]:
    """One line a family, level and wording: main probes by history length, then the controls."""
    cells: Counter[tuple[str, str]] = Counter()
    first: dict[str, str] = {}
    wordings: set[str] = set()
    for probe in found:
        column = str(probe.length) if probe.condition == "main" else probe.condition
        wording = probe.wording or _ONE_WORDING
        wordings.add(wording)
        for row in (probe.family, "all", f"level {probe.level}", wording):
            cells[row, column] += 1
        first.setdefault(probe.family, probe.id)
    total = sum(count for (family, _), count in cells.items() if family == "all")
    columns = [str(length) for length in suite.lengths]
    columns += [name for name in suite.conditions if name != "main"]
    width = max(len(name) for name in (*suite.families, "family", _ONE_WORDING))
    lines = [
        f"suite {suite.name} {suite.version} · {total} probes · {', '.join(suite.langs)}",
        "",
        f" {'family':<{width}}  " + "".join(f"{name:>9}" for name in columns) + "    example",
    ]
    levels = [f"level {level}" for level in suite.levels]
    for row in (*suite.families, "all", "", *levels, "", *sorted(wordings)):
        counts = "".join(f"{cells[row, column]:>9}" for column in columns) if row else ""
        lines.append(f" {row:<{width}}  {counts}    {first.get(row, '')}".rstrip())
    lines += ["", " numbered columns: main condition by history length in user turns"]
    return lines


def _document(suite: Suite, found: Iterable[Probe]) -> dict[str, Any]:
    """The list as JSON."""
    from qwen_bench.probes.selection import load_canary
    from qwen_bench.resources import data_folder

    return {
        "suite": {
            "name": suite.name,
            "version": suite.version,
            "sha256": suite.sha256,
            "seed": suite.seed,
            "filler_sha256": suite.filler_sha256,
        },
        "canary": load_canary(data_folder("tasks")),
        "refused_filler": [
            {
                name: getattr(refusal, name)
                for name in ("record", "line", "exchange", "reason", "found")
            }
            for refusal in (suite.screened.refused if suite.screened else ())
        ],
        "probes": [
            {
                "id": probe.id,
                "family": probe.family,
                "lang": probe.lang,
                "condition": probe.condition,
                "length": probe.length,
                "distance": probe.distance,
                "level": probe.level,
                "wording": probe.wording,
                "cluster": probe.cluster,
                "question": probe.question_text,
                "gold": probe.gold,
                "candidates": list(probe.candidates),
            }
            for probe in found
        ],
    }
