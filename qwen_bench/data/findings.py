"""What is wrong with a data file, where, and how bad it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from qwen_bench.errors import DataError

Level = Literal["error", "warning", "notice"]
KINDS: Mapping[str, str] = {
    "empty": "no conversation in the file",
    "json": "not one JSON object, or a key twice",
    "encoding": "not UTF-8, or half a character",
    "too-long": "a line that is no conversation",
    "array-file": "one JSON array instead of one object a line",
    "messages": "messages missing, empty or no list of objects",
    "role": "a role that is not system, user, assistant or tool",
    "content": "a content that is no text, or blank",
    "system-place": "a system message that is not the first",
    "first-turn": "a conversation that does not start with user",
    "alternation": "two equal roles in a row",
    "tool-place": "a tool's message behind a user's",
    "no-answer": "no assistant message",
    "duplicate-id": "an id that was used before",
    "key": "a wrong type, id or source",
    "special-string": "a ready-made marker in a text",
    "tools": "tools or calls of tools that no template can write",
    "reasoning": "a thought that is none",
    "mask": "a mask that cannot be honoured, or contradicts another",
    "template-flags": "flags of the template that are none, or differ between lines",
    "unsupported": "a key that would change what is learned and cannot be honoured",
    "template": "a conversation that the chat template of the model loses or refuses",
    "length": "longer than the model's context window",
    "unanswered": "a conversation that ends with a user message",
    "edge-space": "white space at the edge of a content",
    "think-in-history": "a think block in a content that becomes history",
    "duplicate": "the messages of an earlier line",
    "one-turn": "no conversation with two user turns",
    "indented": "an object over several lines",
    "unknown-key": "keys that mean nothing here",
    "mark": "a byte order mark",
    "line-ends": "lines that end with carriage return and line feed",
    "blank-line": "lines that hold nothing",
}
"""Every kind of finding with what it is."""
_PLACE = re.compile(r"^(?:\[\d+\] )?([^\s:]+): ")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        file: as the user gave it.
        line: physical line from 1; None where the whole file is meant.
        level: errors end with exit 1, warnings only with `--strict`, notices never.
        kind: a key of `KINDS`.
        text: what is wrong; begins with the place in the record, counted from 0, if there is one.
        fix: how to mend it, in lines.
    """

    file: str
    line: int | None
    level: Level
    kind: str
    text: str
    fix: tuple[str, ...] = ()

    @property
    def path(self) -> str | None:
        """The place in the record, such as ``messages[2].role``."""
        found = _PLACE.match(self.text)
        return found[1] if found else None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}  {self.level:<7}  {self.text}"


def finding_of(error: DataError) -> Finding:
    """The finding of an error of a reader."""
    return Finding(error.file, error.line, "error", error.kind or "json", error.what, error.fix)
