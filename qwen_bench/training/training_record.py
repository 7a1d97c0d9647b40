"""`training.json` and the README of an adapter: what it was made from, with what, and how it went.

Pure: values in, text out. Holds no machine paths: a committed adapter says the same anywhere.
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
    data, rows = record["data"], record["data"]["rows"]
    base, lora, made = record["base"], record["recipe"]["values"]["lora"], record["result"]
    curve = made["loss_curve"]
    facts = {
        "Base": f"`{base['spec']}`, fingerprint `{base['fingerprint']}`.",
        "Data": f"{data['name']}, {rows['conversations']} conversations, {rows['targets']} answers "
        f"to learn ({rows['trained_tokens']} trained tokens of {rows['tokens']}); "
        f"{rows['dropped']} answers dropped for length.",
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
