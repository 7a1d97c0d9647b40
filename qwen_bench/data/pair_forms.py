"""Forms of one question and one answer with what was said before: Alpaca, query and response."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from qwen_bench.chat.json_objects import Fault, kind_of
from qwen_bench.data.chat_form import (
    CannotHoldError,
    Chat,
    keys_of_own,
    no_place,
    other_keys,
    split_system,
)

QUESTIONS = ("query", "prompt", "question", "input")
ANSWERS = ("response", "answer", "output", "completion")
LONGEST_LITERAL = 1 << 20
"""Characters of a history written as a Python list; a longer one is not evaluated."""
_ALPACA = frozenset({"instruction", "input", "output", "history", "system"})


def read_alpaca(content: Mapping[str, Any], fault: Fault) -> Chat:
    """Stanford Alpaca with the history and system of LLaMA-Factory.

    Raises:
        DataError: it is not in this form.
    """
    asked = _text(content, "instruction", fault)
    more = _text(content, "input", fault) if content.get("input") else ""
    user = f"{asked}\n{more}" if asked and more else asked or more
    answer = _text(content, "output", fault)
    rest = {key: value for key, value in content.items() if key not in _ALPACA}
    return _chat(content, rest, user, answer, fault)


def read_query_response(content: Mapping[str, Any], fault: Fault) -> Chat:
    """ms-swift's query, response and history, by the names of other data sets too.

    Raises:
        DataError: it is not in this form.
    """
    asked, said = _only(content, QUESTIONS, fault), _only(content, ANSWERS, fault)
    taken = {asked, said, "history", "system"}
    rest = {key: value for key, value in content.items() if key not in taken}
    question, answer = _text(content, asked, fault), _text(content, said, fault)
    return _chat(content, rest, question, answer, fault)


def _only(content: Mapping[str, Any], names: Sequence[str], fault: Fault) -> str:
    """The one of several names that a record has."""
    given = [name for name in names if content.get(name) not in (None, "")]
    if not given:
        raise fault(f"{names[0]}: missing", kind="messages")
    if len(given) > 1:
        raise fault(f"{given[0]}: there is {given[1]} too; keep one of them", kind="messages")
    return given[0]


def _text(content: Mapping[str, Any], key: str, fault: Fault) -> str:
    value = content.get(key)
    if not isinstance(value, str):
        raise fault(f"{key}: {kind_of(value)}, not text", kind="content")
    return value


def _chat(content: Mapping[str, Any], rest: Chat, asked: str, answer: str, fault: Fault) -> Chat:
    messages: list[Chat] = []
    system = content.get("system")
    if system not in (None, ""):
        messages.append({"role": "system", "content": system})
    for before, said in [*_history(content.get("history"), fault), (asked, answer)]:
        messages.append({"role": "user", "content": before})
        messages.append({"role": "assistant", "content": said})
    return {**rest, "messages": messages}


def _history(value: object, fault: Fault) -> list[tuple[str, str]]:
    """Pairs of user and assistant texts, also as the text of a Python list."""
    if isinstance(value, str) and value.strip():
        if len(value) > LONGEST_LITERAL:
            what = f"history: a text of {len(value):,} characters, too long for a list"
            raise fault(what, kind="content")
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            raise fault("history: text that is no list of pairs", kind="content") from None
    if value in (None, "", []):
        return []
    if not isinstance(value, list | tuple):
        raise fault(f"history: {kind_of(value)}, not a list of pairs", kind="content")
    pairs = []
    for i, pair in enumerate(value):
        texts = isinstance(pair, list | tuple) and len(pair) == 2
        if not texts or not all(isinstance(text, str) for text in pair):
            raise fault(f"history[{i}]: not a pair of texts", kind="content")
        pairs.append((pair[0], pair[1]))
    return pairs


def write_alpaca(chat: Chat) -> Chat:
    """Alpaca; the last exchange is instruction and output, the others are history.

    Raises:
        CannotHoldError: tools, thoughts, answers that are not learned, keys of messages, or no
            answer at the end.
    """
    system, before, (asked, answer) = _pairs(chat)
    record = other_keys(chat, _ALPACA | {"messages", "conversations", "conversation"})
    record |= {"instruction": asked, "input": "", "output": answer}
    return _with_history(record, system, before)


def write_query_response(chat: Chat) -> Chat:
    """ms-swift's query, response and history; raises as `write_alpaca`."""
    system, before, (asked, answer) = _pairs(chat)
    taken = {*QUESTIONS, *ANSWERS, *_ALPACA, "messages", "conversations", "conversation"}
    record = other_keys(chat, frozenset(taken))
    record |= {"query": asked, "response": answer}
    return _with_history(record, system, before)


def _with_history(record: Chat, system: str | None, before: list[tuple[str, str]]) -> Chat:
    if before:
        record["history"] = [list(pair) for pair in before]
    if system is not None:
        record["system"] = system
    return record


def _pairs(chat: Chat) -> tuple[str | None, list[tuple[str, str]], tuple[str, str]]:
    if "tools" in chat:
        raise CannotHoldError("tools")
    system, messages = split_system(chat)
    for message in messages:
        no_place(message)
        if message["role"] == "tool" or "tool_calls" in message:
            raise CannotHoldError("calls of tools")
        if own := keys_of_own(message, frozenset()):
            raise CannotHoldError(f"the key {min(own)!r} of a message")
    if len(messages) % 2:
        raise CannotHoldError("a last message without an answer")
    texts = [message["content"] for message in messages]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    return system, pairs[:-1], pairs[-1]
