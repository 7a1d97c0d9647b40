"""The table of a results file, as Markdown. Pure; nothing in it is written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.plan import PAIRS
from benchmarks.results import BUSY, SCORE_TOLERANCE, cpu, spread
from benchmarks.targets import growth, shared_tokens, verdicts

Held = Mapping[str, Any]
_NAMES = {
    "peer_lm_eval": "lm-eval hf",
    "peer_generate": "transformers generate",
    "peer_llama_cpp": "llama.cpp, one slot",
    "peer_vllm_cpu": "vLLM CPU",
}
_WORDS = {True: "met", False: "**missed**", None: "not measured"}


def page(held: Held, picture: str) -> str:
    """The whole page.

    Args:
        held: a results file.
        picture: file name of its picture.
    """
    parts = [
        _opening(held),
        f"![CPU seconds by runner; tokens and seconds by length of the history]({picture})",
        "### Targets",
        _targets(held),
        "### Pairs",
        _pairs(held),
        _notes(held),
        "### Growing histories",
        _growth(held),
        "### Command lines and versions",
        _commands(held),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _opening(held: Held) -> str:
    machine, source, load = held["machine"], held["source"], held["state"]
    clean = {True: "clean", False: "changed", None: "unknown"}[source["clean"]]
    flags = ", ".join(machine["flags"]) or "none of those looked for"
    cores = machine["physical_cores"] or machine["logical_cores"]
    averages = " / ".join(
        f"{at[0]:.2f}" if (at := load[when]["load_average"]) else "unknown"
        for when in ("start", "end")
    )
    return (
        f"Measured on {held['date']}: {machine['processor']}, {cores} cores, "
        f"{machine['memory_gib']} GiB, {machine['system']}; instruction sets: {flags}. One thread "
        f"on one core, float32, models and grids of random ids unless said otherwise. Load before "
        f"and after: {averages}. Commit `{str(source['commit'])[:12]}` ({clean} tree). CPU seconds "
        "leave out imports, loading and one warm-up; a ratio is the median of at least "
        f"{PAIRS} pairs of fresh processes, in turns, with minimum and maximum. "
        "Measured is one fork-shaped workload on small models and one thread, nothing on a GPU."
    )


def _targets(held: Held) -> str:
    rows = [(item.name, item.bound, item.found or "", _WORDS[item.met]) for item in verdicts(held)]
    return table(("target", "bound", "measured", ""), rows)


def _pairs(held: Held) -> str:
    order = sorted(held["pairs"], key=lambda item: (item["model"], item["grid"], item["mode"]))
    rows = [_pair(entry) for entry in order]
    head = "peer|setting|grid, model|asked|probes a history|equal|peer, CPU s|ours, CPU s|ratio"
    head += "|tokens forward: peer|ours"
    return table(head.split("|"), rows, right=6)


def _pair(entry: Held) -> tuple[str, ...]:
    sizes = entry["grid_tokens"]
    forward = {side: entry["counters"][side].get("forward_tokens") for side in ("peer", "ours")}
    ratios = entry["ratios"]
    ratio = f"{median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]" if ratios else ""
    equal = f"{entry['equal']}/{entry['answers']}" + ("" if entry["steady"] else ", unsteady")
    return (
        _NAMES[entry["peer"]],
        entry["setting"],
        f"{entry['grid']}, {entry['model']}",
        "scores" if entry["mode"] == "rank" else "answers",
        f"{sizes['prompts'] / sizes['dialogues']:g}",
        equal,
        f"{cpu(entry['peer_runs']):.2f}" if ratios else "",
        f"{cpu(entry['ours']):.2f}" if ratios else "",
        ratio,
        "" if forward["peer"] is None else f"{forward['peer']:,}",
        f"{forward['ours']:,}",
    )


def _notes(held: Held) -> str:
    lines = [
        (
            f"Equal scores differ by at most {SCORE_TOLERANCE:g}. No seconds and no ratio where "
            f"answers differ, or where fewer than {PAIRS} pairs were run to see that they are "
            "equal. Grids `control-1` and `control-0` are controls: nothing is shared, so about 1 "
            "is expected."
        )
    ]
    for entry in held["pairs"]:
        name = f"{_NAMES[entry['peer']]} {entry['setting']}, {entry['grid']}"
        if entry["differences"]:
            gaps = [item["gap"] for item in entry["differences"]]
            lines.append(
                f"{name}: {len(gaps)} of {entry['answers']} answers differ; where they part the "
                f"best two log-probabilities were {min(gaps):.1e} to {max(gaps):.1e} apart."
            )
        if entry["busy"]:
            lines.append(
                f"{name}: our own times spread by {spread(entry['ours']):.2f} (above {BUSY:g}): "
                "the machine was busy."
            )
    lines += [
        f"Ours alone, {entry['grid']}: times spread by {spread(entry['runs']):.2f}: the machine "
        "was busy."
        for entry in held["alone"]
        if entry["busy"]
    ]
    if held["failed"]:
        lines.append(f"Ended without a result: {', '.join(held['failed'])}.")
    return "\n".join(f"- {line}" for line in lines)


def _growth(held: Held) -> str:
    rows = []
    for kind in ("growth", "doubling"):
        found = growth(held, kind)
        for turns in sorted(found):
            entry = found[turns]
            counters, sizes = entry["counters"], entry["grid_tokens"]
            rows.append(
                (
                    entry["grid"],
                    str(sizes["prompts"]),
                    f"{sizes['naive']:,}",
                    f"{counters['forward_tokens']:,}",
                    f"{shared_tokens(entry):,}",
                    f"{cpu(entry['runs']):.2f}",
                    f"{counters['peak_kv_bytes'] / 2**20:.1f}",
                )
            )
    head = "grid-turns|probes|naive prompt tokens|forward tokens|of them history|CPU s|peak K/V MiB"
    return table(head.split("|"), rows, right=1) if rows else ""


def _commands(held: Held) -> str:
    lines: dict[str, None] = {}
    for entry in held["pairs"]:
        for side in ("ours", "peer"):
            versions = ", ".join(f"{k} {v}" for k, v in sorted(entry["versions"][side].items()))
            lines[f"`{entry['commands'][side]}` ({versions})"] = None
    for entry in held["alone"]:
        lines[f"`{entry['command']}`"] = None
    return "\n".join(f"- {line}" for line in sorted(lines))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: int | None = None) -> str:
    """A Markdown table; columns from `right` on are aligned to the right."""
    rule = ["--:" if right is not None and place >= right else "---" for place in range(len(head))]
    lines = [" | ".join(row) for row in (head, rule, *rows)]
    return "\n".join(f"| {line} |" for line in lines)
