"""The picture of a results file: bars of CPU seconds, and growth with the history. Pure."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from benchmarks.results import cpu
from benchmarks.targets import growth

Held = Mapping[str, Any]
_OURS, _PEER, _TOKENS = "#0b6e4f", "#8a8f98", "#b5651d"
_LABELS = {
    "peer_lm_eval": "lm-eval",
    "peer_generate": "generate",
    "peer_llama_cpp": "llama.cpp",
    "peer_vllm_cpu": "vLLM CPU",
}


def picture(held: Held) -> str:
    """SVG of two panels; the same results give the same bytes."""
    import matplotlib as mpl  # noqa: PLC0415 - half a second to import

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415 - after the backend is chosen

    settings: Any = {
        "svg.hashsalt": "qwen-bench",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
    }
    with mpl.rc_context(settings):
        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
        _bars(left, held)
        _lines(right, held)
        target = io.StringIO()
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines()) + "\n"


def _bars(axes: Any, held: Held) -> None:  # noqa: ANN401 - matplotlib
    """Grid G140 on the tiny model; peers with equal answers only."""
    bars: dict[str, tuple[float, str]] = {}
    for mode, word in (("generate", "answers"), ("rank", "scores")):
        shown = [
            entry
            for entry in held["pairs"]
            if (entry["grid"], entry["model"], entry["mode"]) == ("G140", "qwen3-tiny", mode)
            and entry["ratios"]
        ]
        if not shown:
            continue
        own = [run for entry in shown for run in entry["ours"]]
        bars[f"qwen-bench, {word}"] = (cpu(own), _OURS)
        for entry in sorted(shown, key=lambda item: cpu(item["peer_runs"])):
            name = f"{_LABELS[entry['peer']]} {entry['setting']}, {word}"
            bars[name] = (cpu(entry["peer_runs"]), _PEER)
    names = list(bars)[::-1]
    axes.barh(names, [bars[n][0] for n in names], color=[bars[n][1] for n in names])
    for name in names:
        axes.text(bars[name][0], name, f" {bars[name][0]:.2f}", va="center", fontsize=8)
    if bars:
        axes.set_xscale("log")
        axes.set_xlim(0.1, 3 * max(seconds for seconds, _ in bars.values()))
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("CPU seconds, one thread, log scale")
    axes.set_title("140 probes on one history of 2,048 tokens, equal answers", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _lines(axes: Any, held: Held) -> None:  # noqa: ANN401 - matplotlib
    found = growth(held, "growth")
    axes.set_title("96 probes, history of T turns of 16 tokens", fontsize=10)
    axes.set_xlabel("T, turns")
    axes.set_ylabel("forward tokens")
    axes.spines[["top"]].set_visible(False)
    if not found:
        return
    turns = sorted(found)
    tokens = [found[t]["counters"]["forward_tokens"] for t in turns]
    base = tokens[0] - 16 * turns[0]
    axes.plot(turns, [base + 16 * t for t in turns], color="#cccccc", lw=6, label="straight line")
    axes.plot(turns, tokens, "o-", color=_TOKENS, label="forward tokens")
    axes.set_ylim(bottom=0)
    seconds = axes.twinx()
    seconds.plot(
        turns, [cpu(found[t]["runs"]) for t in turns], "s--", color=_OURS, label="CPU seconds"
    )
    seconds.set_ylabel("CPU seconds")
    seconds.set_ylim(bottom=0)
    seconds.spines[["top"]].set_visible(False)
    lines = [*axes.get_lines(), *seconds.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], frameon=False, fontsize=8)
