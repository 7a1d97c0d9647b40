"""`training.json` and the README of an adapter: what it was made from, with what, and how it went.

Pure: values in, text out. Holds no machine paths, so that a committed adapter says the same anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from qwen_bench.chat.messages import Conversation, Message

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


def without_machine_paths(words: Sequence[str]) -> str:
    """A command line in which absolute paths are cut to their last component."""
    return " ".join(
        f".../{PurePath(word).name}" if PurePath(word).is_absolute() else word for word in words
    )


def to_json(record: Mapping[str, Any]) -> str:
    """The text of `training.json`."""
    return json.dumps({"schema": SCHEMA, **record}, indent=2, ensure_ascii=False) + "\n"


def adapter_readme(record: Mapping[str, Any], out: str) -> str:
    """README of an adapter folder.

    Args:
        record: what `to_json` was given.
        out: the folder as the user named it.
    """
    data, counts, fit = record["data"], record["data"]["rows"], record["held_out"]
    base, lora, made = record["base"], record["recipe"]["values"]["lora"], record["result"]
    lines = [
        f"# LoRA adapter on {base['resolved']}",
        "",
        f"Made by `{record['command']}` with qwen-bench {record['tool']['version']}.",
        "",
        f"- Base: `{base['spec']}`, fingerprint `{base['fingerprint']}`.",
        f"- Data: {data['name']}, {counts['conversations']} conversations, {counts['targets']} trained "
        f"answers ({counts['trained_tokens']} tokens of {counts['tokens']}); "
        f"{counts['dropped']} answers dropped for length.",
        f"- Adapter: rank {lora['rank']}, alpha {lora['alpha']:g}, {made['parameters']} parameters, "
        f"{made['bytes'] / 1e6:.1f} MB.",
        f"- Training: {made['steps']} steps, {made['seconds']:.0f} s on {record['machine']['device']}; "
        f"loss {made['loss_curve'][0]:.2f} at the first step, {made['loss_curve'][-1]:.2f} at the last.",
    ]
    if fit["before"] is not None:
        before, after = fit["before"], fit["after"]
        lines.append(
            f"- Held-out conversations of the same kind (n = {after['answers']} answers): loss "
            f"{before['loss']:.2f} before, {after['loss']:.2f} after; answers predicted whole "
            f"{before['exact']} before, {after['exact']} after. They share words with the training "
            "data and say nothing about other text."
        )
    lines += [
        f"- Ordinary answers (4 fixed chats): {made['ordinary_change']:+.2f} nats a token.",
        "",
        "Does it remember better than its base? Ask the benchmark, whose words were not trained on:",
        "",
        "```",
        f"qwen-bench run --suite demo --baseline {base['spec']} --model {out} --html report.html",
        "```",
        "",
        "`training.json` holds every setting, hash and the loss curve.",
    ]
    if base["kind"] != "local":
        lines.append(
            "Tokenizer and chat template are those of the base, which is found by its name; "
            "they are not repeated here."
        )
    return "\n".join(lines) + "\n"
