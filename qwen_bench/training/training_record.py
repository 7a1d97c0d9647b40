"""`training.json` and the README of an adapter: what it was made from, with what, and how it went.

Holds no machine paths: a committed adapter says the same anywhere.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import torch

from qwen_bench.chat.messages import Conversation, Message
from qwen_bench.chat.rendering import effective_thinking, render
from qwen_bench.record.redaction import redact_argv
from qwen_bench.runs.provenance import hardware, package_versions, tool_info
from qwen_bench.training.preparation import Material, TrainingJob
from qwen_bench.training.recipe import Schedule
from qwen_bench.training.trainer import Fit, StepReport, computes_in_bfloat16, launch_number

SCHEMA = 1

ORDINARY_CHATS: tuple[Conversation, ...] = (
    (
        Message("user", "What is the capital of France?"),
        Message("assistant", "The capital of France is Paris."),
    ),
    (
        Message("system", "You are a helpful assistant."),
        Message("user", "How many days does a week have?"),
        Message("assistant", "A week has seven days."),
    ),
    (
        Message("user", "Hello!"),
        Message("assistant", "Hello! How can I help you today?"),
        Message("user", "Name three primary colours."),
        Message("assistant", "Three primary colours are red, yellow and blue."),
    ),
    (
        Message("user", "水在多少度结冰？"),
        Message("assistant", "水在零摄氏度结冰。"),
    ),
)
"""Everyday chats. Their renderings identify the template, their last answers show damage."""


class TrainingResult(NamedTuple):
    """What training gave; fits of held-out rows before and after it, if there are any."""

    reports: Sequence[StepReport]
    before: Fit | None
    after: Fit | None
    parameters: int  # trained numbers
    bytes: int  # size of the weights file
    ordinary_change: float  # log-probability of ordinary answers, adapter minus base, nats a token
    warnings: tuple[str, ...]  # lines for the user


def _without_machine_paths(words: Sequence[str]) -> str:
    """A command line in which absolute paths are cut to their last component."""
    return " ".join(
        f".../{PurePath(word).name}" if PurePath(word).is_absolute() else word for word in words
    )


def write_record(
    job: TrainingJob, material: Material, result: TrainingResult, folder: Path
) -> None:
    """Write both files into an existing folder; reads the clock and the machine."""
    record = _record(job, material, result)
    content = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    (folder / "training.json").write_text(content, "utf-8")
    shown = job.out.name if job.out.is_absolute() else job.out.as_posix()
    (folder / "README.md").write_text(_readme(record, shown), "utf-8")


def _record(job: TrainingJob, material: Material, result: TrainingResult) -> dict[str, Any]:
    base, settings, recipe = material.base, material.settings, job.recipe.recipe
    tool = tool_info()
    values = recipe.model_dump(mode="json")
    if values["data"] is not None:
        values["data"] = Path(values["data"]).name
    return {
        "schema": SCHEMA,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "tool": {"name": "qwen-bench", "version": tool.version, "git_commit": tool.git_commit},
        "command": _without_machine_paths(redact_argv(job.command)),
        "base": {
            "spec": job.base.name,
            "kind": job.base.kind,
            "resolved": base.source.resolved,
            "revision": base.source.revision,
            "fingerprint": base.source.fingerprint,
            "architecture": base.architecture,
            "parameters": base.parameters,
            "dtype": str(base.dtype).removeprefix("torch."),
        },
        "template": {
            "source": settings.template.source,
            "sha256": settings.template.sha256,
            "thinking": settings.thinking,
            "effective_thinking": effective_thinking(settings, base.tokenizer),
            "system": settings.system,
            "renderings": [
                render(chat, settings.template, base.tokenizer, add_generation_prompt=False)
                for chat in ORDINARY_CHATS
            ],
        },
        "data": {
            "name": material.name,
            "sha256": material.sha256,
            "ignored": material.ignored,
            "rows": asdict(material.counts),
        },
        "held_out": {
            "rows": asdict(material.held_out_counts) if material.held_out_counts else None,
            "before": result.before._asdict() if result.before else None,
            "after": result.after._asdict() if result.after else None,
        },
        "recipe": {
            "name": _without_machine_paths([job.recipe.name]),
            "sha256": job.recipe.sha256,
            "values": values,
        },
        "schedule": {
            **recipe.model_dump(include=set(Schedule.model_fields) - {"precision"}),
            "bfloat16": computes_in_bfloat16(recipe, base.device),
        },
        "result": {
            "steps": len(result.reports),
            "seconds": round(result.reports[-1].seconds, 1),
            "tokens": result.reports[-1].tokens,
            "loss_curve": [round(report.loss, 4) for report in result.reports],
            "parameters": result.parameters,
            "bytes": result.bytes,
            "ordinary_change": result.ordinary_change,
            "warnings": result.warnings,
        },
        "machine": {
            **hardware(),
            "device": str(base.device),
            "processes": launch_number("WORLD_SIZE", 1),
            "threads": torch.get_num_threads(),
            "packages": package_versions(),
        },
    }


def _readme(record: Mapping[str, Any], out: str) -> str:
    """README of an adapter, from what `training.json` says; `out` is its folder as users see it."""
    data, rows = record["data"], record["data"]["rows"]
    base, lora, made = record["base"], record["recipe"]["values"]["lora"], record["result"]
    curve = made["loss_curve"]
    facts = {
        "Base": f"`{base['spec']}`, fingerprint `{base['fingerprint']}`.",
        "Data": f"{data['name']}, {rows['conversations']} conversations, {rows['targets']} answers "
        f"to learn ({rows['trained_tokens']} trained tokens of {rows['tokens']}); "
        f"{rows['dropped']} answers dropped for length.{_not_read(data['ignored'])}",
        "Adapter": f"rank {lora['rank']}, alpha {lora['alpha']:g}, "
        f"{made['parameters']:,} parameters, {made['bytes'] / 1e6:.1f} MB.",
        "Training": f"{made['steps']} steps, {made['seconds']:.0f} s on "
        f"{record['machine']['device']}; loss {curve[0]:.2f} in the first step, {curve[-1]:.2f} in "
        "the last.",
        **_held_out(record["held_out"]),
        "Ordinary answers": f"{made['ordinary_change']:+.2f} nats a token on {len(ORDINARY_CHATS)} "
        "fixed everyday chats, adapter minus base.",
    }
    evaluation = (
        f"qwen-bench run --suite demo --baseline {base['spec']} --model {out} --html report.html"
    )
    lines = [
        f"# LoRA adapter on {base['resolved']}",
        "",
        f"Made with qwen-bench {record['tool']['version']} by",
        "",
        f"    {record['command']}",
        "",
        *(f"- {name}: {text}" for name, text in facts.items()),
        "",
        "Does it remember better than its base? Ask the benchmark; its words were not trained on:",
        "",
        f"    {evaluation}",
        "",
        "`training.json` holds every setting, hash and the loss curve.",
    ]
    if base["kind"] != "local":
        lines.append("Tokenizer and chat template are those of the base, found there by its name.")
    return "\n".join(lines) + "\n"


def _not_read(ignored: Mapping[str, int]) -> str:
    """A sentence about keys of the data that were not read, if there are any."""
    named = ", ".join(f"`{key}` ({count})" for key, count in ignored.items())
    return f" Keys not read: {named}." if named else ""


def _held_out(held_out: Mapping[str, Any]) -> dict[str, str]:
    """The line about held-out conversations, if there are any."""
    before, after = held_out["before"], held_out["after"]
    if before is None or after is None:
        return {}
    return {
        "Held-out conversations": f"{after['answers']} answers; loss {before['loss']:.2f} before, "
        f"{after['loss']:.2f} after; predicted whole {before['exact']} before, {after['exact']} "
        "after. They are made from the same words as the training data."
    }
