"""`qwen-bench probes`: what will be asked, and one conversation in full."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from qwen_bench.cli import model_options as models
from qwen_bench.cli import options as declared
from qwen_bench.cli.audit import audit_probes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qwen_bench.probes.probe import Probe
    from qwen_bench.probes.suites import Suite


EXAMPLES = """\b
Examples:
  qwen-bench probes list --suite quick --lang zh
  qwen-bench probes show mixed-0/A/en/fact_recall.value/T8/main
  qwen-bench probes show mixed-0/A/en/fact_recall.value/T8/main --raw --model Qwen/Qwen3-0.6B
"""


@click.group(epilog=EXAMPLES)
def probes() -> None:
    """What will be asked: list, show, audit."""


probes.add_command(audit_probes)


@probes.command("list", cls=declared.GroupedCommand)
@declared.probe_options
@click.option(
    "--json",
    metavar="FILE",
    help="Write every probe as JSON; - is stdout.",
    cls=declared.GroupedOption,
    group="Output",
)
@declared.display_options
@click.pass_context
def list_probes(context: click.Context, /, **_: object) -> None:
    """Count the probes of a suite by family, history length and condition."""
    from qwen_bench.cli.asking import own_material, selection
    from qwen_bench.cli.display import new_screen
    from qwen_bench.cli.judge import stdout_is_free
    from qwen_bench.cli.outputs import check_targets, write_json
    from qwen_bench.probes.suites import build_suite

    options = declared.options_of(context)
    check_targets([("--json", options.json)])
    suite = build_suite(options.suite, selection(options), options.seed, own_material(options))
    screen = new_screen(options)
    for line in suite.screened.report() if suite.screened else ():
        screen.say(line)
    found = [asked.probe for dialogue in suite.dialogues() for asked in dialogue.probes]
    screen.table(_listing(suite, found), stdout_is_free=stdout_is_free(options))
    if options.json:
        write_json(options.json, _document(suite, found))


@probes.command("show", cls=declared.GroupedCommand)
@click.argument("probe_id", metavar="ID")
@click.option(
    "--suite",
    metavar="NAME",
    help="Look in this suite only.",
    cls=declared.GroupedOption,
    group="Probes",
)
@declared.seed_option
@declared.own_options
@models.prompt_options
@click.option(
    "--jsonl",
    is_flag=True,
    help="Print one line of ChatML JSON and nothing else.",
    cls=declared.GroupedOption,
    group="Output",
)
@declared.display_options
@click.pass_context
def show_probe(
    context: click.Context,
    /,
    probe_id: str,
    *,
    suite: str | None,
    raw: bool,
    jsonl: bool,
    **_: object,
) -> None:
    """Print one conversation with its question, its answer and where the evidence is."""
    from qwen_bench.chat.messages import as_dicts
    from qwen_bench.cli.asking import own_material
    from qwen_bench.cli.conversation import plain_lines, print_chat, shows_colour
    from qwen_bench.cli.display import new_screen
    from qwen_bench.cli.raw import check_raw_flags, print_raw
    from qwen_bench.probes.find_probe import find_probe
    from qwen_bench.probes.selection import load_canary
    from qwen_bench.resources import data_folder

    options = declared.options_of(context)
    check_raw_flags(options, raw=raw, jsonl=jsonl)
    asked = find_probe(probe_id, suite, options.seed, own_material(options))[1]
    screen = new_screen(options)
    if raw:
        print_raw(asked, options, screen)
    elif jsonl:
        line = {
            "type": "chatml",
            "id": asked.probe.id,
            "messages": as_dicts(asked.messages),
            "canary": load_canary(data_folder("tasks")),
        }
        click.echo(json.dumps(line, ensure_ascii=False))
    elif shows_colour(options.display, sys.stdout, os.environ):
        from rich.console import Console

        # Decided above; rich would look at the environment again.
        print_chat(asked, Console(file=sys.stdout, force_terminal=True, highlight=False))
    else:
        screen.table(plain_lines(asked), stdout_is_free=True)


def _listing(suite: Suite, found: Iterable[Probe]) -> list[str]:
    """One line a family: probes of the main condition by history length, then the controls."""
    cells: Counter[tuple[str, str]] = Counter()
    first: dict[str, str] = {}
    for probe in found:
        column = str(probe.length) if probe.condition == "main" else probe.condition
        cells[probe.family, column] += 1
        cells["all", column] += 1
        first.setdefault(probe.family, probe.id)
    total = sum(count for (family, _), count in cells.items() if family == "all")
    columns = [str(length) for length in suite.lengths]
    columns += [name for name in suite.conditions if name != "main"]
    width = max(len(name) for name in (*suite.families, "family"))
    lines = [
        f"suite {suite.name} {suite.version} · {total} probes · {', '.join(suite.langs)}",
        "",
        f" {'family':<{width}}  " + "".join(f"{name:>9}" for name in columns) + "    example",
    ]
    for family in (*suite.families, "all"):
        counts = "".join(f"{cells[family, column]:>9}" for column in columns)
        lines.append(f" {family:<{width}}  {counts}    {first.get(family, '')}".rstrip())
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
                "record": refusal.record,
                "exchange": refusal.exchange,
                "reason": refusal.reason,
                "found": refusal.found,
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
                "cluster": probe.cluster,
                "question": probe.question_text,
                "gold": probe.gold,
                "candidates": list(probe.candidates),
            }
            for probe in found
        ],
    }
