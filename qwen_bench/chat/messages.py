"""Chat messages, the value everything in ChatML is about, and the thoughts inside texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"


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


class SplitReply(NamedTuple):
    """A reply without its thought.

    Attributes:
        text: what follows the last closing tag, without edge whitespace if there was a thought.
        thought: the text up to that tag; None without a thought.
        complete: False when the thought never ended, so that there is no answer.
    """

    text: str
    thought: str | None
    complete: bool


def opens_thought(prompt: str) -> bool:
    """Whether the prompt itself ends inside a thought, so that the reply only closes it."""
    return prompt.rstrip().endswith(THINK_OPEN)


def split_thought(text: str, *, prompt_opened: bool = False) -> SplitReply:
    r"""Cut the thought off a reply.

    >>> split_thought("It is Li.</think>\n\nLi.", prompt_opened=True)
    SplitReply(text='Li.', thought='It is Li.', complete=True)
    >>> split_thought("<think>It is")
    SplitReply(text='', thought='It is', complete=False)
    """
    thought, closer, rest = text.rpartition(THINK_CLOSE)
    if closer:
        return SplitReply(rest.strip(), thought.removeprefix(THINK_OPEN).strip(), complete=True)
    if prompt_opened or text.lstrip().startswith(THINK_OPEN):
        return SplitReply("", text.lstrip().removeprefix(THINK_OPEN).strip(), complete=False)
    return SplitReply(text, None, complete=True)
