"""What a run cost, for the report: time, tokens, memory and speed.

Reads the counters that manifests keep of every process; what none of them knows is shown as a dash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from qwen_bench.record.counters import total_counters
from qwen_bench.report.facts import FactRow, Value
from qwen_bench.report.text import byte_size, count, duration, rate

if TYPE_CHECKING:
    from qwen_bench.record.manifest import Manifest
    from qwen_bench.record.outcome import Run


class Effort(NamedTuple):
    """A row on the work of a run.

    Attributes:
        field: counter it shows.
        text: how a value is written.
        always: shown also where every run has 0 or does not know it.
    """

    name: str
    field: str
    text: Callable[[float], str]
    help: str
    always: bool = False


_EFFORTS = (
    Effort("answering time", "seconds", duration, "wall time, model load excluded", always=True),
    Effort(
        "tokens through the model",
        "forward_tokens",
        count,
        "prompts, candidates and generated tokens, what prompts share counted once; "
        "both scorers together",
        always=True,
    ),
    Effort(
        "tokens without sharing",
        "naive_tokens",
        count,
        "what a program that reads every prompt whole would have computed",
    ),
    Effort(
        "sharing ratio",
        "sharing_ratio",
        lambda ratio: f"{ratio:.1f} ×",
        "tokens without sharing for each token through the model",
        always=True,
    ),
    Effort("tokens generated", "decoded_tokens", count, "the last one of an answer not counted"),
    Effort("padding", "padding_tokens", count, "tokens that only fill up a batch"),
    Effort(
        "tokens computed again",
        "recomputed_tokens",
        count,
        "shared tokens that went through the model more than once",
    ),
    Effort(
        "memory for keys and values", "peak_kv_bytes", byte_size, "most at one time, all layers"
    ),
    Effort(
        "memory in all",
        "peak_memory_bytes",
        byte_size,
        "most at one time, weights included: of the GPU, or of the process on a CPU",
    ),
    Effort(
        "tokens a second", "tokens_per_second", rate, "through the model, over the answering time"
    ),
    Effort("answers a second", "answers_per_second", rate, "over the answering time"),
    Effort("memory ran out", "oom_splits", count, "times; less was computed together afterwards"),
    Effort("sent again", "retries", count, "requests a server failed first, or units of a worker"),
)


def effort_rows(runs: Sequence[Run]) -> tuple[FactRow, ...]:
    """Work of each run, over all invocations that reported it; a dash is unknown.

    What went wrong on the way (tokens computed again, memory that ran out, requests sent again)
    has a row only where it happened.
    """
    totals = [_efficiency(run.manifest) for run in runs]
    if not any(totals):
        return ()
    rows = [
        FactRow(effort.name, tuple(_effort_value(total, effort) for total in totals), effort.help)
        for effort in _EFFORTS
        if effort.always or any(total.get(effort.field) for total in totals)
    ]
    return tuple(rows)


def _effort_value(total: Mapping[str, Any], effort: Effort) -> Value:
    """One counter of one run; a dash where it is unknown."""
    number = total.get(effort.field)
    if number is None:
        return Value("–")
    killed = total.get("partial") and effort.field == "seconds"
    return Value(effort.text(number), "without killed invocations" if killed else "", number)


def _efficiency(manifest: Manifest) -> dict[str, Any]:
    """Counters of all invocations; `partial` when one was killed before it could report."""
    accounts = [item.efficiency for item in manifest.invocations]
    known = [account for account in accounts if account is not None]
    if not known:
        return {}
    return total_counters(known) | {"partial": len(known) < len(accounts)}
