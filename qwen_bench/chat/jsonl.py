"""Conversations of JSON files, checked one by one, or made into a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from qwen_bench.chat.chat_record import ChatRecord, record_of
from qwen_bench.chat.json_objects import FORM, read_objects
from qwen_bench.chat.messages import as_dicts
from qwen_bench.errors import DataError, InputError

REMEDY = "mend or delete this line: user and assistant take turns, no message is empty"
"""Of a fault that has no other."""


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
        try:
            for item in read_objects(path, stream):
                record, faults = record_of(item, check_texts=check_texts)
                if record is None:
                    raise faults[0]
                if record.id in lines:
                    raise item.fault(
                        f"id: '{record.id}' was used in line {lines[record.id]}",
                        fix="give every conversation an id of its own, or none",
                        kind="duplicate-id",
                    )
                lines[record.id] = record.line
                yield record
        except DataError as error:
            error.fix = error.fix or (REMEDY,)
            raise
    if not lines:
        raise DataError(path, None, "holds no conversation", fix=FORM, kind="empty")


def record_line(record: ChatRecord) -> str:
    """The JSON of one conversation; ``loss`` stands only where an assistant text is context."""
    content: dict[str, object] = {"type": "chatml", "id": record.id}
    if record.source is not None:
        content["source"] = record.source
    content["messages"] = message_dicts(record)
    if record.tools:
        content["tools"] = [json.loads(tool) for tool in record.tools]
    if record.flags:
        content["chat_template_kwargs"] = dict(record.flags)
    return json.dumps(content, ensure_ascii=False)


def message_dicts(record: ChatRecord) -> list[dict[str, object]]:
    """The messages of a conversation as they stand in a file."""
    return [
        {**message, "loss": False}
        if message["role"] == "assistant" and not trained
        else {**message}
        for message, trained in zip(as_dicts(record.messages), record.trained, strict=True)
    ]
