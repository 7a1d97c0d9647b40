"""One run as the page names it: facts of its manifest, commands, and what a reader must know."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qwen_bench.record.formats import count
from qwen_bench.record.redaction import redact_shown
from qwen_bench.report.untrusted_text import plain

if TYPE_CHECKING:
    from qwen_bench.record.outcome import Run

_FACTS = {
    "model": "model.spec",
    "resolved to": "model.resolved",
    "revision": "model.revision",
    "fingerprint": "model.fingerprint",
    "base fingerprint": "model.base_fingerprint",
    "architecture": "model.architecture",
    "parameters": "model.parameters",
    "context window": "model.context_window",
    "dtype": "model.dtype",
    "chat template": "template.chat_template_sha256",
    "template from": "template.source",
    "default system text": "template.default_system",
    "thinking": "template.thinking.effective",
    "tokenizer": "template.tokenizer_sha256",
    "temperature": "generation.temperature",
    "sampling seed": "generation.seed",
    "top p": "generation.top_p",
    "top k": "generation.top_k",
    "new tokens at most": "generation.max_new_tokens",
    "tokens of a thought at most": "generation.max_thinking_tokens",
    "repetition penalty": "generation.repetition_penalty",
    "engine": "engine.name",
    "engine version": "engine.version",
    "device": "engine.device",
    "history policy": "suite.policy",
    "scorer": "scorer.version",
    "qwen-bench": "tool.version",
}


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


def unique_labels(labels: Sequence[str], run_ids: Sequence[str]) -> tuple[str, ...]:
    """Labels that differ: one used twice is followed by the id of its run."""
    return tuple(
        label if labels.count(label) == 1 else f"{label} ({run_id})"
        for label, run_id in zip(labels, run_ids, strict=True)
    )


def run_card(side: int, label: str, run: Run) -> RunCard:
    """The card of one run.

    Args:
        side: 0 for the baseline.
        label: as shown.
        run: with its manifest.
    """
    manifest = redact_shown(run.manifest.model_dump(mode="json"))
    if not isinstance(manifest, dict):
        raise TypeError("a manifest is a mapping")
    facts = [(name, _short(_look_up(manifest, path))) for name, path in _FACTS.items()]
    processes = manifest.get("invocations") or []
    packages: Mapping[str, str] = next(
        (item["packages"] for item in processes if item.get("packages")), {}
    )
    facts += [(plain(name), plain(version)) for name, version in sorted(packages.items())]
    times = [item.get("started") for item in processes[:1]]
    times += [item.get("finished") for item in processes[-1:]]
    if times and all(times):
        facts.append(("time", f"{plain(times[0])} to {plain(times[-1])}"))
    return RunCard(
        side=side,
        label=label,
        run_id=plain(run.run_id),
        facts=tuple((name, value) for name, value in facts if value),
        commands=tuple(
            plain(shlex.join(str(word) for word in item["argv"]))
            for item in processes
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
    if "unverified" in str(_look_up(manifest, "model.fingerprint") or ""):
        remarks.append("The server may have changed under its name: this model is unverified.")
    return [*remarks, *(plain(text) for text in manifest.get("warnings") or ())]


def _look_up(manifest: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - a JSON value
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
