"""What is to be reached, and whether a results file reaches it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from benchmarks.results import cpu

Held = Mapping[str, Any]
DOUBLINGS = ((32, 64), (64, 128), (128, 256))


class Verdict(NamedTuple):
    """One target.

    Attributes:
        bound: what it demands.
        found: what was measured; None if it was not.
        met: None if it was not measured.
    """

    name: str
    bound: str
    found: str | None
    met: bool | None


def verdicts(held: Held) -> list[Verdict]:
    """All targets, in the order of the page."""
    return [
        _ratio(held, "scoring, lm-eval hf (better batch size)", 15.0, "peer_lm_eval", "rank"),
        _ratio(held, "generation, transformers generate (better way)", 12.8, "peer_generate"),
        _ratio(held, "llama.cpp, one slot, float32", 3.0, "peer_llama_cpp", setting="f32"),
        _ratio(held, "vLLM on CPU", 0.9, "peer_vllm_cpu"),
        _ratio(held, "vLLM on CPU, G180", 0.9, "peer_vllm_cpu", grid="G180"),
        _ratio(held, "one probe a dialogue, generate", 0.9, "peer_generate", grid="control-1"),
        _ratio(held, "unrelated prompts, generate", 0.9, "peer_generate", grid="control-0"),
        _forward(held),
        _padding(held),
        _peak(held),
        _proportional(held),
        _doublings(held, "growth", "96 probes in all"),
        _doublings(held, "doubling", "20 probes more each doubling"),
        _suite_size(held),
    ]


def best_pair(
    held: Held, peer: str, mode: str, grid: str, setting: str | None = None
) -> Held | None:
    """Of the settings of a peer the one that took least time; only those with a ratio."""
    found = [
        entry
        for entry in held["pairs"]
        if (entry["peer"], entry["mode"], entry["grid"]) == (peer, mode, grid)
        and entry["model"] == "qwen3-tiny"
        and entry["ratios"]
        and setting in (None, entry["setting"])
    ]
    return min(found, key=lambda entry: cpu(entry["peer_runs"]), default=None)


def _ratio(
    held: Held,
    name: str,
    least: float,
    peer: str,
    mode: str = "generate",
    *,
    grid: str = "G140",
    setting: str | None = None,
) -> Verdict:
    bound = f"at least {least:g} times"
    entry = best_pair(held, peer, mode, grid, setting)
    if entry is None:
        return Verdict(name, bound, None, None)
    ratio = median(entry["ratios"])
    return Verdict(name, bound, f"{ratio:.2f} ({entry['setting']})", ratio >= least)


def _two_part(held: Held) -> list[Held]:
    """Counters and sizes of everything we answered, once for each grid, model and mode."""
    found = {}
    for entry in held["pairs"]:
        key = (entry["grid"], entry["model"], entry["mode"])
        found[key] = {**entry["counters"]["ours"], **_sizes(entry)}
    for entry in held["alone"]:
        key = (entry["grid"], entry["model"], "generate")
        found[key] = {**entry["counters"], **_sizes(entry)}
    return [found[key] for key in sorted(found)]


def _sizes(entry: Held) -> dict[str, Any]:
    sizes = entry["grid_tokens"]
    return {"grid": entry["grid"], "longest": sizes["longest"], "suffixes": sizes["suffixes"]}


def _worst(
    name: str,
    bound: str,
    values: Iterable[tuple[float, str]],
    limit: float,
    form: Callable[[float], str],
) -> Verdict:
    worst = max(values, default=None)
    if worst is None:
        return Verdict(name, bound, None, None)
    return Verdict(name, bound, f"{form(worst[0])} ({worst[1]})", worst[0] <= limit)


def _forward(held: Held) -> Verdict:
    values = [
        (item["forward_tokens"] / (item["tree_tokens"] + item["decoded_tokens"]), item["grid"])
        for item in _two_part(held)
    ]
    name, bound = "forward tokens by tree and decoded ones", "at most 1.02"
    return _worst(name, bound, values, 1.02, "{:.3f}".format)


def _padding(held: Held) -> Verdict:
    values = [(float(item["padding_tokens"]), item["grid"]) for item in _two_part(held)]
    return _worst("padding tokens", "none", values, 0.0, "{:.0f}".format)


def _peak(held: Held) -> Verdict:
    values = [
        (
            item["peak_kv_bytes"]
            / item["kv_bytes_per_token"]
            / (1.2 * item["longest"] + item["suffixes"]),
            item["grid"],
        )
        for item in _two_part(held)
    ]
    name = "peak keys and values by (1.2 longest sequence + suffixes)"
    return _worst(name, "at most 1", values, 1.0, "{:.2f}".format)


def growth(held: Held, kind: str) -> dict[int, Held]:
    """Measurements of a growing grid by turns."""
    return {
        int(entry["grid"].split("-")[1]): entry
        for entry in held["alone"]
        if entry["grid"].startswith(f"{kind}-")
    }


def shared_tokens(entry: Held) -> int:
    """Forward tokens that are neither question nor answer."""
    counters, sizes = entry["counters"], entry["grid_tokens"]
    questions = sizes["tree"] - sizes["trunk"]
    return int(counters["forward_tokens"] - questions - counters["decoded_tokens"])


def _proportional(held: Held) -> Verdict:
    name, bound = "forward tokens without questions and answers", "proportional to T_max"
    found = growth(held, "growth")
    if len(found) < 2:
        return Verdict(name, bound, None, None)
    each = {turns: shared_tokens(entry) / turns for turns, entry in sorted(found.items())}
    values = sorted(set(each.values()))
    text = ", ".join(f"{value:g}" for value in values)
    return Verdict(name, bound, f"{text} a turn", len(values) == 1)


def _doublings(held: Held, kind: str, what: str) -> Verdict:
    name, bound = f"CPU seconds for twice T_max, {what}", "at most 2.2 times"
    found = growth(held, kind)
    steps: Sequence[float] = [
        cpu(found[large]["runs"]) / cpu(found[small]["runs"])
        for small, large in DOUBLINGS
        if small in found and large in found
    ]
    if len(steps) < len(DOUBLINGS):
        return Verdict(name, bound, None, None)
    text = ", ".join(f"{step:.2f}" for step in steps)
    return Verdict(name, bound, f"{text} (32 to 256 turns)", max(steps) <= 2.2)


def _suite_size(held: Held) -> Verdict:
    name, bound = "peak keys and values of 30 dialogues", "that of 3"
    found = growth(held, "dialogues")
    if len(found) < 2:
        return Verdict(name, bound, None, None)
    few, many = (found[count]["counters"]["peak_kv_bytes"] for count in sorted(found))
    return Verdict(name, bound, f"{many:,} and {few:,} bytes", many == few)
