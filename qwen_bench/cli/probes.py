"""`qwen-bench probes`: what will be asked, and one conversation in full."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from qwen_bench.cli import options as declared

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qwen_bench.probes.model import AskedProbe, Probe
    from qwen_bench.probes.suites import Suite


EXAMPLES = """\b
Examples:
  qwen-bench probes list --suite quick --lang zh
  qwen-bench probes show mixed-0/A/en/fact_recall.value/T8/main
"""


@click.group(epilog=EXAMPLES)
def probes() -> None:
    """What will be asked: list, show."""


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
    from qwen_bench.cli.asking import selection
    from qwen_bench.cli.display import new_screen
    from qwen_bench.cli.judge import stdout_is_free
    from qwen_bench.cli.outputs import check_targets, write_json
    from qwen_bench.probes.suites import build_suite

    options = declared.options_of(context)
    check_targets([("--json", options.json)])
    suite = build_suite(options.suite, selection(options), options.seed)
    found = [asked.probe for dialogue in suite.dialogues() for asked in dialogue.probes]
    new_screen(options).table(_listing(suite, found), stdout_is_free=stdout_is_free(options))
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
    context: click.Context, /, probe_id: str, *, suite: str | None, jsonl: bool, **_: object
) -> None:
    """Print one conversation with its question, its answer and where the evidence is."""
    from qwen_bench.chat.messages import as_dicts
    from qwen_bench.cli.display import new_screen
    from qwen_bench.probes.suites import find_probe

    options = declared.options_of(context)
    asked = find_probe(probe_id, suite, options.seed)[1]
    if jsonl:
        click.echo(json.dumps({"messages": as_dicts(asked.messages)}, ensure_ascii=False))
        return
    new_screen(options).table(_conversation(asked), stdout_is_free=True)


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
    return {
        "suite": {
            "name": suite.name,
            "version": suite.version,
            "sha256": suite.sha256,
            "seed": suite.seed,
        },
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


def _conversation(asked: AskedProbe) -> list[str]:
    """A probe for people; evidence turns carry a star."""
    probe = asked.probe
    place = "" if probe.distance is None else f" · distance {probe.distance}"
    lines = [
        probe.id,
        (
            f"{probe.family} · {probe.lang} · {probe.condition} · "
            f"history length {probe.length}{place} · {probe.cluster}"
        ),
        "",
    ]
    turn = 0
    for number, message in enumerate(asked.messages):
        turn += message.role == "user"
        last = number == len(asked.messages) - 1
        head = "?" if last else "*" if turn in probe.needs else " "
        label = str(turn) if message.role == "user" else ""
        texts = message.content.split("\n")
        lines.append(f"{head} {label:>3} {message.role:<10} {texts[0]}")
        lines += [f"{' ' * 17}{text}" for text in texts[1:]]
    lines += [
        "",
        f"answer      {probe.gold}" + (" (never stated)" if probe.gold_abstains else ""),
        f"candidates  {', '.join(probe.candidates)}",
        f"chance      {100 * probe.chance:.1f} %",
        "* evidence, ? question",
    ]
    return lines
