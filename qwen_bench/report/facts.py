"""Facts about runs for the report: key figures, settings, commands, manifests.

Reads manifests as plain mappings so that a manifest with missing or unknown fields still gives a
page; a missing value is shown as a dash, never guessed.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qwen_bench.report.text import (
    count,
    interval,
    one_line,
    percent,
    plain,
    plural,
    redact,
)
from qwen_bench.stats.isotonic import crossing, crossing_words

if TYPE_CHECKING:
    from qwen_bench.record.outcome import Run
    from qwen_bench.stats.results import Accuracy, ModeSummary

STATUS_FIELDS = (
    ("truncated", "truncated"),
    ("refused", "refused"),
    ("too long", "too_long"),
    ("error", "error"),
)


@dataclass(frozen=True, slots=True)
class Value:
    """A cell of a table: text, a second line, and the number behind it when there is one."""

    text: str
    detail: str = ""
    number: float | None = None


@dataclass(frozen=True, slots=True)
class FactRow:
    """One row of a table with a column a run."""

    name: str
    values: tuple[Value, ...]
    help: str = ""


@dataclass(frozen=True, slots=True)
class RunCard:
    """One run as the page names it.

    Attributes:
        side: 0 for the baseline; fixes colour and marker everywhere on the page.
        facts: (name, value) of model, template, generation, engine.
        commands: command lines that wrote the run, oldest first.
        manifest: the whole manifest as JSON text, redacted.
        remarks: what a reader must know before trusting the run.
    """

    side: int
    label: str
    run_id: str
    facts: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]
    manifest: str
    remarks: tuple[str, ...]


def run_cards(runs: Sequence[Run], labels: Sequence[str]) -> tuple[RunCard, ...]:
    """One card a run, in order."""
    return tuple(
        _card(side, label, run) for side, (label, run) in enumerate(zip(labels, runs, strict=True))
    )


def unique_labels(runs: Sequence[Run]) -> tuple[str, ...]:
    """Display names; equal labels are told apart by their run id."""
    labels = [one_line(run.label) or one_line(run.run_id) for run in runs]
    return tuple(
        label if labels.count(label) == 1 else f"{label} ({one_line(run.run_id)})"
        for label, run in zip(labels, runs, strict=True)
    )


def key_figures(
    summaries: Sequence[ModeSummary], retention: Sequence[FactRow] = ()
) -> tuple[FactRow, ...]:
    """Accuracy, what is kept, and accounting of each run under one scorer.

    Args:
        summaries: of the runs.
        retention: rows on what is kept, shown before the accounting.
    """
    overall = [summary.overall for summary in summaries]
    rows = [
        FactRow(
            "accuracy",
            tuple(_accuracy(cell) for cell in overall),
            "macro average over families, main condition; every probe counts, failures as wrong",
        ),
        *_policy_rows(summaries),
        FactRow(
            "group score",
            tuple(_accuracy(summary.group_score) for summary in summaries),
            "probes that differ only in the fact under test count as one, right only if all are",
        ),
        FactRow(
            "falls under 50 %",
            tuple(Value(falls_under(summary.by_length)) for summary in summaries),
            "crossing of the non-increasing fit of accuracy over history length",
        ),
        *retention,
        FactRow(
            "probes",
            tuple(
                Value(count(cell.n), f"{plural(cell.clusters, 'skeleton')}", cell.n)
                for cell in overall
            ),
        ),
    ]
    rows += [
        FactRow(
            name,
            tuple(
                Value(count(number), percent(number / cell.n) if number and cell.n else "", number)
                for cell in overall
                for number in (getattr(cell, field),)
            ),
        )
        for name, field in STATUS_FIELDS
    ]
    thoughts = [summary.reasons.get("no_answer", 0) for summary in summaries]
    if any(thoughts):
        values = tuple(
            Value(count(number), percent(number / cell.n) if number and cell.n else "", number)
            for number, cell in zip(thoughts, overall, strict=True)
        )
        rows.append(
            FactRow(
                "ended inside a thought",
                values,
                "no answer followed the thought; wrong, and truncated where its budget ended it",
            )
        )
    return tuple(rows)


def _policy_rows(summaries: Sequence[ModeSummary]) -> list[FactRow]:
    """What a history policy cut, apart from what was forgotten; nothing when no run had one."""
    if not any(summary.policy for summary in summaries):
        return []
    visible, given = [], []
    for summary in summaries:
        if summary.policy is None:
            visible.append(Value(percent(1.0), "full history", 1.0))
            given.append(_accuracy(summary.overall))
            continue
        whole = summary.policy.overall
        share = whole.accuracy_given_visible
        visible.append(
            Value(percent(whole.share_visible), summary.policy.policy, whole.share_visible)
        )
        parts = f"{percent(whole.visible_part)} + {percent(whole.invisible_part)} after the cut"
        given.append(Value(percent(share), parts, share))
    return [
        FactRow(
            "evidence visible",
            tuple(visible),
            "share of probes whose evidence the history policy left in the prompt",
        ),
        FactRow(
            "accuracy given visible",
            tuple(given),
            "what is forgotten although it was sent; below: the two parts that add up to accuracy",
        ),
    ]


def falls_under(by_length: Mapping[int, Accuracy]) -> str:
    """Where accuracy falls under 50 %, in words; a dash without lengths."""
    lengths = sorted(by_length)
    if not lengths:
        return "–"
    cells = [by_length[length] for length in lengths]
    place = crossing(lengths, [cell.accuracy for cell in cells], [cell.n for cell in cells])
    return crossing_words(place)


def has_failures(summaries: Sequence[ModeSummary]) -> bool:
    """Whether any probe of the main condition was truncated, refused, too long or an error."""
    return any(
        getattr(cell, field)
        for summary in summaries
        for cell in summary.by_length.values()
        for _, field in STATUS_FIELDS
    )


def _accuracy(cell: Accuracy) -> Value:
    return Value(percent(cell.accuracy), interval(cell.low, cell.high), cell.accuracy)


_FACTS = (
    ("model", "model.spec"),
    ("resolved to", "model.resolved"),
    ("revision", "model.revision"),
    ("fingerprint", "model.fingerprint"),
    ("base fingerprint", "model.base_fingerprint"),
    ("architecture", "model.architecture"),
    ("parameters", "model.parameters"),
    ("context window", "model.context_window"),
    ("dtype", "model.dtype"),
    ("chat template", "template.chat_template_sha256"),
    ("template from", "template.source"),
    ("default system text", "template.default_system"),
    ("thinking", "template.thinking.effective"),
    ("tokenizer", "template.tokenizer_sha256"),
    ("temperature", "generation.temperature"),
    ("sampling seed", "generation.seed"),
    ("top p", "generation.top_p"),
    ("top k", "generation.top_k"),
    ("new tokens at most", "generation.max_new_tokens"),
    ("tokens of a thought at most", "generation.max_thinking_tokens"),
    ("repetition penalty", "generation.repetition_penalty"),
    ("engine", "engine.name"),
    ("engine version", "engine.version"),
    ("device", "engine.device"),
    ("history policy", "suite.policy"),
    ("scorer", "scorer.version"),
    ("qwen-bench", "tool.version"),
)


def _card(side: int, label: str, run: Run) -> RunCard:
    manifest = redact(run.manifest.model_dump(mode="json"))
    if not isinstance(manifest, dict):
        raise TypeError("a manifest is a mapping")
    facts = [(name, _short(look_up(manifest, path))) for name, path in _FACTS]
    invocations = manifest.get("invocations") or []
    packages: Mapping[str, str] = next(
        (item["packages"] for item in invocations if item.get("packages")), {}
    )
    facts += [(plain(name), plain(version)) for name, version in sorted(packages.items())]
    times = [item.get("started") for item in invocations[:1]]
    times += [item.get("finished") for item in invocations[-1:]]
    if times and all(times):
        facts.append(("time", f"{plain(times[0])} to {plain(times[-1])}"))
    return RunCard(
        side=side,
        label=label,
        run_id=plain(run.run_id),
        facts=tuple((name, value) for name, value in facts if value),
        commands=tuple(
            plain(shlex.join(str(word) for word in item["argv"]))
            for item in invocations
            if item.get("argv")
        ),
        manifest=plain(
            json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False, default=str)
        ),
        remarks=tuple(_remarks(manifest)),
    )


def _remarks(manifest: Mapping[str, Any]) -> list[str]:
    remarks = []
    status = manifest.get("status", "finished")
    if status != "finished":
        remarks.append(
            f"This run is {plain(status)}, not finished: what is missing is not a random sample."
        )
    if "unverified" in str(look_up(manifest, "model.fingerprint") or ""):
        remarks.append("The server may have changed under its name: this model is unverified.")
    remarks += [plain(text) for text in manifest.get("warnings") or ()]
    return remarks


def look_up(manifest: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - a JSON value
    """The value at a dotted path, None where any part is missing."""
    value: Any = manifest
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _short(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return count(value)
    return plain(value)
