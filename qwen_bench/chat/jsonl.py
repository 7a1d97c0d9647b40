"""Conversations of JSON files, checked one by one, or made into a line.

The format is that of the Qwen1.5 and Qwen2 fine-tuning examples, which equals the OpenAI message
list. Knows nothing of templates or tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from qwen_bench.chat.json_objects import FORM, Fault, JsonObject, kind_of, read_objects
from qwen_bench.chat.loss_masks import (
    SWITCHES,
    check_message_keys,
    check_record_keys,
    is_learned,
)
from qwen_bench.chat.messages import ROLES, Conversation, Message, Role, as_dicts
from qwen_bench.chat.plain_text import MARKERS, half_character, text_fault
from qwen_bench.errors import DataError, InputError, near

_RECORD_KEYS = (
    SWITCHES
    | {"messages", "type", "id", "source", "topic", "canary", "system"}
    | {
        "mask_history",
        "train_on_inputs",
        "train_on_prompt",
    }
)
_MESSAGE_KEYS = SWITCHES | {"role", "content"}
_PART_KEYS = SWITCHES | {"type", "text", "value"}
_TEXT_PARTS = ("text", "input_text", "output_text")
_OTHER_FORMS = ("conversations", "conversation", "prompt", "instruction", "query", "text")


@dataclass(frozen=True, slots=True)
class ChatRecord:
    """One conversation of a data file.

    Attributes:
        id: unique in its file; ``FILE:LINE`` where the file gives none, ``FILE[INDEX]`` in arrays.
        trained: for each message whether its text is a training target; only assistant messages
            can be, and those are unless a mask says otherwise.
        source: free label.
        ignored: keys that mean nothing here, as paths, once for every time they stand there.
        line: physical line it begins in, from 1; 0 for what comes from no file.
    """

    id: str
    messages: Conversation
    trained: tuple[bool, ...]
    source: str | None = None
    ignored: tuple[str, ...] = ()
    line: int = field(default=0, compare=False)


def read_records(path: Path, *, check_texts: bool = True) -> Iterator[ChatRecord]:
    """Conversations of a file; one JSON object a line, indented objects, or one JSON array.

    Only an array is ever wholly in memory. Keys that are null or empty count as absent.

    Args:
        path: a byte order mark, CRLF and blank lines are accepted.
        check_texts: refuse messages that hold a ready-made marker or half a character; without,
            whoever asks has to look at them.

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
        lines: dict[str, int] = {}
        for record, fault in _with_remedy(path, stream, check_texts=check_texts):
            if record.id in lines:
                raise fault(
                    f"id: '{record.id}' was used in line {lines[record.id]}",
                    fix="give every conversation an id of its own, or none",
                )
            lines[record.id] = record.line
            yield record
    if not lines:
        raise DataError(path, None, "holds no conversation", fix=FORM)


def _with_remedy(
    path: Path, stream: BinaryIO, *, check_texts: bool
) -> Iterator[tuple[ChatRecord, Fault]]:
    """Records and what makes their errors; an error that says no remedy gets the general one."""
    try:
        for item in read_objects(path, stream):
            yield _record(item, check_texts=check_texts), item.fault
    except DataError as error:
        error.fix = error.fix or (
            "mend or delete this line: user and assistant take turns, no message is empty",
        )
        raise


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


def _record(item: JsonObject, *, check_texts: bool) -> ChatRecord:
    """The record of an object."""
    fault, content = item.fault, _present(item.content)
    for key in item.content:
        _check_label(f"key {key!r}", key, fault)
    if content.get("type", "chatml") != "chatml":
        raise fault(f"type: {content['type']!r} is not 'chatml'")
    raw = item.content.get("messages")
    if raw is None:
        other = next((key for key in _OTHER_FORMS if key in content), None)
        seen = f"; '{other}' is another form of training data" if other else ""
        raise fault(f"messages: missing{seen}", fix=FORM)
    if not isinstance(raw, list):
        raise fault(f"messages: {kind_of(raw)}, not a list", fix=FORM)
    if not raw:
        raise fault("messages: empty", fix=FORM)
    check_record_keys(content, fault)
    learned = is_learned("", content, fault)
    read = [_message(f"messages[{i}]", message, fault) for i, message in enumerate(raw)]
    messages = tuple(message for message, _, _ in read)
    trained = tuple(target and learned is not False for _, target, _ in read)
    _check_order(messages, fault)
    system, unread = _system(content, messages, fault)
    if check_texts:
        named = [("system", message) for message in system]
        named += [(f"messages[{i}].content", message) for i, message in enumerate(messages)]
        for place, message in named:
            _check_message_text(place, message.content, fault)
    unread += sorted(content.keys() - _RECORD_KEYS)
    return ChatRecord(
        id=_id(content, fault) or item.place,
        messages=(*system, *messages),
        trained=(*(False for _ in system), *trained),
        source=_text(content, "source", fault),
        ignored=(*unread, *(key for _, _, keys in read for key in keys)),
        line=item.line,
    )


def _present(content: Mapping[str, object]) -> dict[str, object]:
    """The keys that hold something; null and empty mean absent."""
    return {key: value for key, value in content.items() if value not in (None, "", [], {})}


def _id(content: Mapping[str, object], fault: Fault) -> str | None:
    """The id as text; whole numbers are ids too."""
    value = content.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise fault(f"id: {kind_of(value)}, not text or a whole number")
    return _text(content, "id", fault)


def _text(content: Mapping[str, object], key: str, fault: Fault) -> str | None:
    value = content.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise fault(f"{key}: {kind_of(value)}, not text")
    _check_label(key, value, fault)
    return value


def _check_label(what: str, text: str, fault: Fault) -> None:
    """Refuse a key, id or label that no file could hold."""
    wrong = half_character(text)
    if wrong is not None:
        raise fault(f"{what}: {wrong}", fix="write the whole character")


def _check_message_text(place: str, text: str, fault: Fault) -> None:
    """Refuse a text that the tokenizer would misread or could not read."""
    wrong = text_fault(text)
    if wrong is not None:
        marker = any(found in text for found in MARKERS)
        how = "split a rendered chat into messages" if marker else "write the whole character"
        raise fault(f"{place}: {wrong}", fix=f"{how}, or take it out of the text")


def _system(
    content: Mapping[str, object], messages: Conversation, fault: Fault
) -> tuple[Conversation, list[str]]:
    """The system message that stands beside the messages, if any, and its keys not read."""
    if "system" not in content:
        return (), []
    text, learned, unread = _content("system", content["system"], fault)
    if learned:
        raise fault("system: only assistant messages are learned", fix="remove its mask")
    if messages[0].role != "system":
        return (Message("system", text),), unread
    if messages[0].content != text:
        raise fault(
            "system: another text than the system message in messages[0]", fix="keep one of them"
        )
    return (), unread


def _message(place: str, item: object, fault: Fault) -> tuple[Message, bool, list[str]]:
    """A message, whether its text is a training target, and keys that are not read."""
    if not isinstance(item, dict):
        raise fault(f"{place}: {kind_of(item)}, not an object")
    keys = _present(item)
    for key in item:
        _check_label(f"{place}, key {key!r}", key, fault)
    role = item.get("role")
    known: Role | None = next((name for name in ROLES if name == role), None)
    if known is None:
        told = "missing" if "role" not in item else f"{role!r} is not one"
        if isinstance(role, str):
            told = f"{role!r} is not system, user, assistant or tool ({near(role, ROLES)})"
        raise fault(f"{place}.role: {told}")
    check_message_keys(place, keys, fault)
    if "content" not in item:
        raise fault(f"{place}.content: missing, not text")
    text, of_parts, unread = _content(f"{place}.content", item["content"], fault)
    if not text.strip() and known != "system":
        raise fault(f"{place}.content: blank")
    learned = is_learned(place, keys, fault)
    if None not in (learned, of_parts) and learned != of_parts:
        raise fault(f"{place}: its masks and those of its parts contradict each other")
    learned = of_parts if learned is None else learned
    if learned and known != "assistant":
        mask = ", ".join(sorted(SWITCHES & keys.keys())) or "content"
        raise fault(
            f"{place}.{mask}: only assistant messages are learned, this one is from {known}",
            fix=f"remove {mask}, or set it to what masks the message",
        )
    unread += [f"messages[].{key}" for key in sorted(keys.keys() - _MESSAGE_KEYS)]
    return Message(known, text), known == "assistant" and learned is not False, unread


def _content(place: str, value: object, fault: Fault) -> tuple[str, bool | None, list[str]]:
    """A text or a list of text parts, joined; what their masks say; keys that are not read."""
    if isinstance(value, str):
        return value, None, []
    if not isinstance(value, list):
        raise fault(f"{place}: {kind_of(value)}, not text")
    texts: list[str] = []
    masks: set[bool | None] = set()
    unread: list[str] = []
    parts = "system[]" if place == "system" else "messages[].content[]"
    for i, part in enumerate(value):
        inside = f"{place}[{i}]"
        if not isinstance(part, dict):
            raise fault(f"{inside}: {kind_of(part)}, not a part of a text")
        kind = part.get("type", "text")
        if kind not in _TEXT_PARTS:
            raise fault(
                f"{inside}: a part of type {kind!r}; only text is read",
                fix="leave the part out, or the conversation",
            )
        text = part.get("text", part.get("value"))
        if not isinstance(text, str):
            raise fault(f"{inside}.text: {kind_of(text)}, not text")
        keys = _present(part)
        texts.append(text)
        masks.add(is_learned(inside, keys, fault))
        for key in sorted(keys.keys() - _PART_KEYS):
            _check_label(f"{inside}, key {key!r}", key, fault)
            unread.append(f"{parts}.{key}")
    if False in masks and len(masks) > 1:
        raise fault(f"{place}: parts that are learned beside parts that are not; mask all or none")
    said = masks - {None}
    return "".join(texts), next(iter(said), None), unread


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
