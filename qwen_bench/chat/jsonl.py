"""ChatML JSONL, one conversation a line: read as a stream, checked, and written.

The format is that of the Qwen1.5 and Qwen2 fine-tuning examples, which equals the OpenAI message
list. Knows nothing of templates or tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from qwen_bench.chat.messages import ROLES, Conversation, Message, Role
from qwen_bench.errors import DataError, InputError, near

_RECORD_KEYS = frozenset({"messages", "type", "id", "source", "topic", "canary"})
_MESSAGE_KEYS = frozenset({"role", "content", "loss"})
_UNSUPPORTED = frozenset({"chat_template_kwargs", "reasoning_content", "tool_calls", "tools"})
_FORM = 'one JSON object a line: {"messages": [{"role": "user", "content": "..."}, ...]}'


@dataclass(frozen=True, slots=True)
class ChatRecord:
    """One conversation of a data file.

    Attributes:
        id: unique in its file; ``FILE:LINE`` where the file gives none.
        trained: for each message whether its text is a training target; only assistant messages
            can be, and those are unless the file says ``"loss": false``.
        source: free label.
        ignored: keys of the record or its messages that mean nothing here.
    """

    id: str
    messages: Conversation
    trained: tuple[bool, ...]
    source: str | None = None
    ignored: tuple[str, ...] = ()


def read_records(path: Path) -> Iterator[ChatRecord]:
    """Conversations of a file, checked one by one; the whole file is never in memory.

    A byte order mark, CRLF and blank lines are accepted.

    Raises:
        InputError: the file cannot be opened.
        DataError: a line is not a usable conversation, or the file holds none.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        raise InputError(
            f"cannot read the data file {path}", why=error.strerror or "", fix="--data FILE.jsonl"
        ) from error
    with stream:
        yield from _records(path, stream)


def write_records(path: Path, records: Iterable[ChatRecord]) -> int:
    """Write conversations, one a line, keys in a fixed order; returns their number."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for record in records:
            stream.write(record_line(record) + "\n")
            count += 1
    return count


def record_line(record: ChatRecord) -> str:
    """The JSON of one conversation; ``loss`` stands only where an assistant text is context."""
    messages: list[dict[str, object]] = []
    for message, trained in zip(record.messages, record.trained, strict=True):
        item: dict[str, object] = {"role": message.role, "content": message.content}
        if message.role == "assistant" and not trained:
            item["loss"] = False
        messages.append(item)
    content: dict[str, object] = {"type": "chatml", "id": record.id}
    if record.source is not None:
        content["source"] = record.source
    return json.dumps(content | {"messages": messages}, ensure_ascii=False)


def _records(path: Path, stream: BinaryIO) -> Iterator[ChatRecord]:
    lines: dict[str, int] = {}
    for number, raw in enumerate(stream, start=1):
        line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
        if not line.strip():
            continue
        record = _record(path, number, line)
        if record.id in lines:
            raise DataError(path, number, f"id: '{record.id}' was used in line {lines[record.id]}")
        lines[record.id] = number
        yield record
    if not lines:
        raise DataError(path, None, "holds no conversation", fix=_FORM)


def _record(path: Path, number: int, line: bytes) -> ChatRecord:
    content = _json_object(path, number, line)
    if content.get("type", "chatml") != "chatml":
        raise DataError(path, number, f"type: {content['type']!r} is not 'chatml'")
    raw = content.get("messages")
    if raw is None:
        raise DataError(path, number, "messages: missing", fix=_FORM)
    if not isinstance(raw, list):
        raise DataError(path, number, f"messages: {_kind(raw)}, not a list", fix=_FORM)
    if not raw:
        raise DataError(path, number, "messages: empty")
    pairs = [_message(path, number, i, item) for i, item in enumerate(raw)]
    messages = tuple(message for message, _ in pairs)
    _check_order(path, number, messages)
    keys = {*content, *(key for item in raw for key in item)}
    for key in sorted(keys & _UNSUPPORTED):
        raise DataError(path, number, f"{key}: not supported in training", fix=f"remove {key}")
    source = _text(path, number, content, "source")
    return ChatRecord(
        id=_text(path, number, content, "id") or f"{path.name}:{number}",
        messages=messages,
        trained=tuple(trained for _, trained in pairs),
        source=source,
        ignored=tuple(sorted(keys - _RECORD_KEYS - _MESSAGE_KEYS)),
    )


def _text(path: Path, number: int, content: Mapping[str, object], key: str) -> str | None:
    value = content.get(key)
    if value is not None and not isinstance(value, str):
        raise DataError(path, number, f"{key}: {_kind(value)}, not text")
    return value


def _json_object(path: Path, number: int, line: bytes) -> Mapping[str, object]:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"0x{line[error.start]:02X}"
        raise DataError(path, number, f"byte {byte} is not UTF-8; convert the file first") from None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        column = getattr(error, "colno", 1)
        what = str(getattr(error, "msg", error))
        what = what[:1].lower() + what[1:]
        raise DataError(path, number, f"not valid JSON at column {column}: {what}") from None
    if isinstance(content, list):
        raise DataError(path, number, "this is a JSON array, not one object a line", fix=_FORM)
    if not isinstance(content, dict):
        raise DataError(path, number, f"{_kind(content)}, not a JSON object", fix=_FORM)
    return content


def _message(path: Path, number: int, index: int, item: object) -> tuple[Message, bool]:
    place = f"messages[{index}]"
    if not isinstance(item, dict):
        raise DataError(path, number, f"{place}: {_kind(item)}, not an object")
    role, content = item.get("role"), item.get("content")
    known = _role(role)
    if known is None:
        told = "missing" if "role" not in item else f"{role!r} is not one"
        hint = f" ({near(role, ROLES)})" if isinstance(role, str) else ""
        if isinstance(role, str):
            told = f"'{role}' is not system, user, assistant or tool"
        raise DataError(path, number, f"{place}.role: {told}{hint}")
    if not isinstance(content, str):
        told = _kind(content) if "content" in item else "missing"
        raise DataError(path, number, f"{place}.content: {told}, not text")
    if not content.strip() and known != "system":
        raise DataError(path, number, f"{place}.content: blank")
    loss = item.get("loss", True)
    if not isinstance(loss, bool) or ("loss" in item and known != "assistant"):
        raise DataError(path, number, f"{place}.loss: true or false, on assistant messages only")
    return Message(known, content), known == "assistant" and loss


def _role(value: object) -> Role | None:
    return next((role for role in ROLES if role == value), None)


def _check_order(path: Path, number: int, messages: Conversation) -> None:
    previous: Role | None = None
    for i, message in enumerate(messages):
        role = message.role
        if role == "system":
            if i:
                what = f"messages[{i}]: a system message; only messages[0] may be one"
                raise DataError(path, number, what)
            continue
        if previous is None and role != "user":
            what = f"messages[{i}]: {role}; a conversation starts with user"
            raise DataError(path, number, what)
        if role == previous and role != "tool":
            raise DataError(path, number, f"messages[{i}]: {role} after {previous}")
        if role == "tool" and previous == "user":
            raise DataError(path, number, f"messages[{i}]: tool after user")
        previous = role
    if all(message.role != "assistant" for message in messages):
        raise DataError(path, number, "messages: no assistant message, nothing to train on")


def _kind(value: object) -> str:
    names = {dict: "object", list: "list", str: "text", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
