"""Chat messages, the value everything in ChatML is about, and the thoughts inside texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool by an assistant.

    Attributes:
        arguments: JSON of an object as a rule, kept as it was written where it is none.
        id: names the call in the message of its result.
    """

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    Attributes:
        reasoning: the thought before an assistant's content, where it is kept apart from it.
        tool_calls: what an assistant calls; its content may then be empty.
        tool_call_id: of a tool's message, the call that it answers.
    """

    role: Role
    content: str
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


Conversation = tuple[Message, ...]


def as_dicts(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The OpenAI and ChatML form: a list of ``{"role": ..., "content": ...}``.

    Arguments of tools are objects, as chat templates want them.
    """
    return [_as_dict(message) for message in messages]


def _as_dict(message: Message) -> dict[str, Any]:
    said: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning is not None:
        said["reasoning_content"] = message.reasoning
    if message.tool_calls:
        said["tool_calls"] = [
            {
                **({} if call.id is None else {"id": call.id}),
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        said["tool_call_id"] = message.tool_call_id
    return said


def _arguments(text: str) -> Any:  # noqa: ANN401 - a JSON object, or the text
    """Arguments as an object where the text says the same as the object."""
    try:
        pairs = json.loads(text, object_pairs_hook=_no_key_twice)
        json.dumps(pairs, allow_nan=False)
    except (ValueError, RecursionError):
        return text
    return pairs if isinstance(pairs, dict) else text


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


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
