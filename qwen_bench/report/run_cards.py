"""One run as the page names it: facts of its manifest, commands, and what a reader must know."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from qwen_bench.record.formats import count
from qwen_bench.record.redaction import redact_shown, redact_shown_list
from qwen_bench.report.untrusted_text import plain, private

if TYPE_CHECKING:
    from qwen_bench.record.manifest import Manifest
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
    "quantisation": "model.quantisation",
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
    manifest = run.manifest
    facts = [(name, _fact(manifest, path)) for name, path in _FACTS.items()]
    processes = manifest.invocations
    packages = next((item.packages for item in processes if item.packages), {})
    facts += [
        (plain(name), private(version, name=name)) for name, version in sorted(packages.items())
    ]
    if processes and processes[0].started and processes[-1].finished:
        times = (processes[0].started, processes[-1].finished)
        facts.append(("time", " to ".join(map(private, times))))
    document = redact_shown(manifest.model_dump(mode="json"))
    return RunCard(
        side=side,
        label=label,
        run_id=plain(run.run_id),
        facts=tuple((name, value) for name, value in facts if value),
        commands=tuple(
            plain(shlex.join(map(str, redact_shown_list(item.argv))))
            for item in processes
            if item.argv
        ),
        manifest=plain(
            json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, default=str)
        ),
        remarks=tuple(_remarks(manifest)),
    )


def _remarks(manifest: Manifest) -> list[str]:
    remarks = []
    if manifest.status != "finished":
        remarks.append(
            f"This run is {manifest.status}, not finished: what is missing is not a random sample."
        )
    if "unverified" in manifest.model.fingerprint:
        remarks.append("The server may have changed under its name: this model is unverified.")
    return [*remarks, *map(private, manifest.warnings)]


def _fact(manifest: Manifest, path: str) -> str:
    """A field of the manifest as it is shown; empty where nothing is known."""
    value = attrgetter(path)(manifest)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return count(value)
    return private(value, name=path.rpartition(".")[2])
