"""What a choice of a chat response holds: text, thought, refusal, and what is none of them.

Servers write the content as a string, as one part or as a list of parts, and thoughts as such parts
or as a field of their own, under several names. Nothing is dropped: what is not known is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_TEXTS = {None, "text", "output_text"}
_THOUGHTS = {"thinking", "thought", "reasoning", "reasoning_text", "redacted_thinking"}
_THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_WRITTEN_IN = ("text", "thinking", "reasoning", "summary", "content", "value")
_CALLS = ("tool_calls", "function_call")


@dataclass(slots=True)
class Parts:
    """Parts of a choice.

    Attributes:
        text: of the answer; a thought may still be in it.
        thought: text of the thought that stands apart; empty without one.
        thought_in: what the server calls it: a field, or a type of part.
        refusal: the model's words where the server says that it declined.
        others: names of what is neither, such as ``tool_calls`` or a part's type.
    """

    text: str = ""
    thought: str = ""
    thought_in: str = ""
    refusal: str = ""
    others: list[str] = field(default_factory=list)

    def add_thought(self, text: str, name: str) -> None:
        """Text of a thought under the server's name for it."""
        if text.strip():
            self.thought += text
            self.thought_in = self.thought_in or name

    def add_content(self, content: object) -> None:
        """Content in any form."""
        if isinstance(content, str):
            self.text += content
        elif isinstance(content, list):
            for part in content:
                self.add_content(part)
        elif isinstance(content, dict):
            self._add_part(content)
        elif content is not None:
            self.others.append(f"content of the type {type(content).__name__}")

    def _add_part(self, part: Mapping[str, Any]) -> None:
        given = part.get("type")
        kind = given if given is None else str(given)
        if kind in _THOUGHTS or part.get("thought") is True:
            self.add_thought(_written(part), f"parts of the type {kind or 'thought'}")
        elif kind == "refusal":
            self.refusal += _written(part.get("refusal"))
        elif kind in _TEXTS and _is_written(part):
            self.text += _written(part)
        else:
            self.others.append(f"a part of the type {kind}" if kind else "a part without a type")


def parts_of(choice: Mapping[str, Any]) -> Parts:
    """Read a choice: its message, a piece of a stream, or the text of a completion."""
    found = Parts()
    held: object = choice.get("message") or choice.get("delta") or {}
    message: Mapping[str, Any] = held if isinstance(held, dict) else {"content": held}
    found.add_content(message.get("content"))
    if not found.text and isinstance(choice.get("text"), str):
        found.text = choice["text"]
    if not found.thought:
        for name in _THOUGHT_FIELDS:
            if not found.thought:
                found.add_thought(_written(message.get(name)), name)
    found.refusal += _written(message.get("refusal"))
    found.others += [name for name in _CALLS if message.get(name)]
    if message.get("audio"):
        found.others.append("audio")
    return found


def only_calls(parts: Parts) -> bool:
    """Whether there is nothing unknown but calls of tools."""
    return bool(parts.others) and set(parts.others) <= set(_CALLS)


def _is_written(part: Mapping[str, Any]) -> bool:
    return any(name in part for name in _WRITTEN_IN)


def _written(value: object) -> str:
    """The text in a value of any depth."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_written, value))
    if isinstance(value, dict):
        return next((text for name in _WRITTEN_IN if (text := _written(value.get(name)))), "")
    return ""
