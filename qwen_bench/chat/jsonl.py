"""ChatML JSONL, one conversation a line: read as a stream and checked, or made into a line.

The format is that of the Qwen1.5 and Qwen2 fine-tuning examples, which equals the OpenAI message
list. Knows nothing of templates or tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from qwen_bench.chat.messages import ROLES, Conversation, Message, Role, as_dicts
from qwen_bench.errors import DataError, InputError, near

Fault = Callable[..., DataError]
_RECORD_KEYS = frozenset({"messages", "type", "id", "source", "topic", "canary"})
_MESSAGE_KEYS = frozenset({"role", "content", "loss"})
_UNSUPPORTED = frozenset({"chat_template_kwargs", "reasoning_content", "tool_calls", "tools"})
_KINDS = {dict: "object", list: "list", str: "text", bool: "boolean", type(None): "null"}
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


def record_line(record: ChatRecord) -> str:
    """The JSON of one conversation; ``loss`` stands only where an assistant text is context."""
    messages: list[dict[str, object]] = [
        {**message, "loss": False}
        if message["role"] == "assistant" and not trained
        else {**message}
        for message, trained in zip(as_dicts(record.messages), record.trained, strict=True)
    ]
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
        fault = partial(DataError, path, number)
        record = _record(line, f"{path.name}:{number}", fault)
        if record.id in lines:
            raise fault(f"id: '{record.id}' was used in line {lines[record.id]}")
        lines[record.id] = number
        yield record
    if not lines:
        raise DataError(path, None, "holds no conversation", fix=_FORM)


def _record(line: bytes, place: str, fault: Fault) -> ChatRecord:
    """The record of a line, named by its place if it has no id; a fault knows file and line."""
    content = _json_object(line, fault)
    if content.get("type", "chatml") != "chatml":
        raise fault(f"type: {content['type']!r} is not 'chatml'")
    raw = content.get("messages")
    if raw is None:
        raise fault("messages: missing", fix=_FORM)
    if not isinstance(raw, list):
        raise fault(f"messages: {_kind(raw)}, not a list", fix=_FORM)
    if not raw:
        raise fault("messages: empty")
    pairs = [_message(f"messages[{i}]", item, fault) for i, item in enumerate(raw)]
    messages = tuple(message for message, _ in pairs)
    _check_order(messages, fault)
    keys = {*content, *(key for item in raw for key in item)}
    for key in sorted(keys & _UNSUPPORTED):
        raise fault(f"{key}: not supported in training", fix=f"remove {key}")
    source = _text(content, "source", fault)
    return ChatRecord(
        id=_text(content, "id", fault) or place,
        messages=messages,
        trained=tuple(trained for _, trained in pairs),
        source=source,
        ignored=tuple(sorted(keys - _RECORD_KEYS - _MESSAGE_KEYS)),
    )


def _text(content: Mapping[str, object], key: str, fault: Fault) -> str | None:
    value = content.get(key)
    if value is not None and not isinstance(value, str):
        raise fault(f"{key}: {_kind(value)}, not text")
    return value


def _json_object(line: bytes, fault: Fault) -> Mapping[str, object]:
    try:
        content = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        byte = f"0x{line[error.start]:02X}"
        raise fault(f"byte {byte} is not UTF-8; convert the file first") from None
    except (ValueError, RecursionError) as error:
        column = getattr(error, "colno", 1)
        what = str(getattr(error, "msg", error))
        what = what[:1].lower() + what[1:]
        raise fault(f"not valid JSON at column {column}: {what}") from None
    if isinstance(content, list):
        raise fault("this is a JSON array, not one object a line", fix=_FORM)
    if not isinstance(content, dict):
        raise fault(f"{_kind(content)}, not a JSON object", fix=_FORM)
    return content


def _message(place: str, item: object, fault: Fault) -> tuple[Message, bool]:
    """A message, and whether its text is a training target."""
    if not isinstance(item, dict):
        raise fault(f"{place}: {_kind(item)}, not an object")
    role, content = item.get("role"), item.get("content")
    known: Role | None = next((name for name in ROLES if name == role), None)
    if known is None:
        told = "missing" if "role" not in item else f"{role!r} is not one"
        if isinstance(role, str):
            told = f"'{role}' is not system, user, assistant or tool ({near(role, ROLES)})"
        raise fault(f"{place}.role: {told}")
    if not isinstance(content, str):
        told = _kind(content) if "content" in item else "missing"
        raise fault(f"{place}.content: {told}, not text")
    if not content.strip() and known != "system":
        raise fault(f"{place}.content: blank")
    loss = item.get("loss", True)
    if not isinstance(loss, bool) or ("loss" in item and known != "assistant"):
        raise fault(f"{place}.loss: true or false, on assistant messages only")
    return Message(known, content), known == "assistant" and loss


def _check_order(messages: Conversation, fault: Fault) -> None:
    previous: Role | None = None
    for i, message in enumerate(messages):
        role = message.role
        if role == "system":
            if i:
                raise fault(f"messages[{i}]: a system message; only messages[0] may be one")
            continue
        if previous is None and role != "user":
            raise fault(f"messages[{i}]: {role}; a conversation starts with user")
        if (role == previous and role != "tool") or (role == "tool" and previous == "user"):
            raise fault(f"messages[{i}]: {role} after {previous}")
        previous = role
    if all(message.role != "assistant" for message in messages):
        raise fault("messages: no assistant message, nothing to train on")


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "number")
