"""Answers that are not read because a server sent them as no text: their kinds and the mends.

The kind is the `error_type` of such a row.
"""

from __future__ import annotations

from typing import Literal

Unread = Literal[
    "ReasoningOnly", "UnclosedThought", "ToolCallOnly", "UnreadableContent", "WithheldText"
]

UNREAD_LIMIT = 0.05
"""Accepted share of them: as much as the margin of a verdict, which more could decide alone."""

MENDS: dict[str, str] = {
    "ReasoningOnly": (
        "start the server without a reasoning parser, or with that of the model (vLLM, SGLang: "
        "--reasoning-parser; llama.cpp: --reasoning-format none), or pass --thinking off; a "
        "thought that was cut needs a larger --max-thinking-tokens"
    ),
    "UnclosedThought": (
        "the prompt opens a thought here, and the answers do not close it: pass --thinking off, "
        "have the server send its thoughts, or leave out -M tokenizer="
    ),
    "ToolCallOnly": (
        "start the server without a tool parser (vLLM: no --enable-auto-tool-choice, SGLang: no "
        "--tool-call-parser)"
    ),
    "UnreadableContent": "have the server answer in text: a string, or parts of the type text",
    "WithheldText": (
        "the server counts tokens that it does not send: have it send its thoughts, or pass "
        "--thinking off"
    ),
}
