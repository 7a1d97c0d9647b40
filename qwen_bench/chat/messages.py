"""Chat messages, the value everything in ChatML is about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str


Conversation = tuple[Message, ...]


def as_dicts(messages: Sequence[Message]) -> list[dict[str, str]]:
    """The OpenAI and ChatML form: a list of ``{"role": ..., "content": ...}``."""
    return [{"role": message.role, "content": message.content} for message in messages]


def conversation_sha256(messages: Sequence[Message]) -> str:
    """SHA-256 of a conversation's canonical JSON, before policy, system option and template."""
    text = json.dumps(as_dicts(messages), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
