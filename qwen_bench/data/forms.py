"""The forms of training data that can be read and written, and which one a record is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from qwen_bench.chat.json_objects import Fault
from qwen_bench.data.chat_form import Chat, read_messages, write_chatml, write_openai
from qwen_bench.data.pair_forms import (
    ANSWERS,
    QUESTIONS,
    read_alpaca,
    read_query_response,
    write_alpaca,
    write_query_response,
)
from qwen_bench.data.turn_forms import (
    V1_ROLES,
    read_qwen_v1,
    read_sharegpt,
    turns_of,
    write_qwen_v1,
    write_sharegpt,
)


class Form(NamedTuple):
    """One form.

    Attributes:
        read: keys of a record as those of ChatML.
        write: a conversation in this form; raises `CannotHoldError`.
        array: its file is always one JSON array.
    """

    read: Callable[[Mapping[str, Any], Fault], Chat]
    write: Callable[[Chat], Chat]
    array: bool = False


FORMS: Mapping[str, Form] = {
    "chatml": Form(read_messages, write_chatml),
    "openai": Form(read_messages, write_openai),
    "sharegpt": Form(read_sharegpt, write_sharegpt),
    "alpaca": Form(read_alpaca, write_alpaca),
    "query-response": Form(read_query_response, write_query_response),
    "qwen-v1": Form(read_qwen_v1, write_qwen_v1, array=True),
}
# A reader of the first reads the second as well.
_READS = {
    ("openai", "chatml"),
    ("sharegpt", "qwen-v1"),
}


def form_of(content: Mapping[str, Any]) -> str | None:
    """The form that the keys of a record are of; None for no known one."""
    if content.get("messages") is not None:
        return "chatml"
    turns = turns_of(content)
    if turns is not None:
        named = isinstance(turns, list) and all(
            isinstance(turn, dict) and turn.get("from") in V1_ROLES for turn in turns
        )
        return "qwen-v1" if named and "tools" not in content else "sharegpt"
    if "instruction" in content:
        return "alpaca"
    asked = any(content.get(key) is not None for key in QUESTIONS)
    said = any(content.get(key) is not None for key in ANSWERS)
    return "query-response" if asked and said else None


def form_of_all(records: Sequence[Mapping[str, Any]]) -> str | None:
    """The form of the first record that has one; ShareGPT where any record needs its roles."""
    found = [form for form in map(form_of, records) if form is not None]
    if not found:
        return None
    return "sharegpt" if found[0] == "qwen-v1" and "sharegpt" in found else found[0]


def is_read(form: str, content: Mapping[str, Any]) -> bool:
    """Whether the reader of a form reads a record, as far as its keys tell."""
    found = form_of(content)
    return found == form or (form, found) in _READS
