"""Forms whose turns are a list of objects: ShareGPT, ms-swift's pairs, and Qwen v1."""

from __future__ import annotations

import json
from collections.abc import Mapping
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

LISTS = ("conversations", "conversation")
ROLES: Mapping[str, str] = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "bot", "chatgpt", "model"), "assistant"),
    "system": "system",
    **dict.fromkeys(("observation", "tool", "function_response", "tool_response"), "tool"),
}
CALLING = ("function_call", "tool_call")
V1_ROLES = ("user", "assistant", "system")
_NAMES = {"user": "human", "assistant": "gpt", "tool": "observation"}
_TURN_KEYS = frozenset({"from", "value", "role", "content", "human", "user", "assistant", "gpt"})
_RECORD_KEYS = frozenset({*LISTS, "system", "messages", "tools"})


def turns_of(content: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever the file holds
    """The list of turns of a record; None without one."""
    return next((content[key] for key in LISTS if content.get(key) is not None), None)


def read_sharegpt(content: Mapping[str, Any], fault: Fault) -> Chat:
    """ShareGPT with system and tools, or pairs of texts.

    Raises:
        DataError: it is not in this form.
    """
    turns = turns_of(content)
    if all(content.get(key) is not None for key in LISTS):
        raise fault("conversations: there is conversation too; keep one of them", kind="messages")
    if not isinstance(turns, list) or not turns:
        raise fault(f"conversations: {kind_of(turns)}, not a list of turns", kind="messages")
    messages: list[object] = []
    for i, turn in enumerate(turns):
        place = f"conversations[{i}]"
        if not isinstance(turn, dict):
            raise fault(f"{place}: {kind_of(turn)}, not an object", kind="messages")
        if "from" in turn or "role" in turn:
            messages.append(_turn(place, turn, fault))
        else:
            messages += _pair(place, turn, fault)
    return _record(content, messages)


def read_qwen_v1(content: Mapping[str, Any], fault: Fault) -> Chat:
    """Qwen v1: roles are user, assistant and system.

    Raises:
        DataError: it is not in this form.
    """
    turns = turns_of(content)
    for i, turn in enumerate(turns if isinstance(turns, list) else ()):
        if isinstance(turn, dict) and turn.get("from") not in V1_ROLES:
            what = f"conversations[{i}].from: {turn.get('from')!r} is not user, assistant or system"
            raise fault(what, fix="--from sharegpt reads other roles", kind="role")
    return read_sharegpt(content, fault)


def _record(content: Mapping[str, Any], messages: list[object]) -> Chat:
    chat = {key: value for key, value in content.items() if key not in LISTS}
    if chat.get("system") in (None, ""):
        chat.pop("system", None)
    first = messages[0]
    if isinstance(first, dict) and first.get("role") == "system" and first.get("content") == "":
        messages = messages[1:]
    return {**chat, "messages": messages}


def _turn(place: str, turn: Mapping[str, Any], fault: Fault) -> Chat:
    for one, other in (("from", "role"), ("value", "content")):
        if one in turn and other in turn:
            raise fault(f"{place}: {one} and {other}; keep one of them", kind="messages")
    name = turn.get("from", turn.get("role"))
    text = turn.get("value", turn.get("content"))
    said = {"from", "value", "role", "content"}
    rest = {key: value for key, value in turn.items() if key not in said}
    if name in CALLING:
        calls = _calls(place, text, fault)
        return {"role": "assistant", "content": "", "tool_calls": calls, **rest}
    role = ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        known = ", ".join([*ROLES, *CALLING])
        raise fault(f"{place}.from: {name!r} is not one of {known}", kind="role")
    return {"role": role, "content": text, **rest}


def _calls(place: str, text: object, fault: Fault) -> list[Chat]:
    """The calls of a turn, whose text is JSON of one or of several."""
    value = text
    if isinstance(text, str):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise fault(f"{place}.value: a call of a tool that is not JSON", kind="tools") from None
    calls: list[Any] = value if isinstance(value, list) else [value]
    for call in calls:
        if not isinstance(call, dict):
            what = f"{place}.value: {kind_of(call)}, not a call such as"
            raise fault(what + ' {"name": "weather", "arguments": {}}', kind="tools")
    return calls


def _pair(place: str, turn: Mapping[str, Any], fault: Fault) -> list[Chat]:
    asked = next((key for key in ("human", "user") if key in turn), None)
    said = next((key for key in ("assistant", "gpt", "bot") if key in turn), None)
    if asked is None or said is None or len(turn) > 2:
        raise fault(f"{place}: neither from and value nor human and assistant", kind="messages")
    return [
        {"role": "user", "content": turn[asked]},
        {"role": "assistant", "content": turn[said]},
    ]


def write_sharegpt(chat: Chat) -> Chat:
    """ShareGPT as LLaMA-Factory reads it; tools are JSON.

    Raises:
        CannotHoldError: an answer that is not learned, a thought, a text beside calls, or a key
            whose name is taken.
    """
    system, messages = split_system(chat)
    record = other_keys(chat, _RECORD_KEYS)
    record["conversations"] = [_sharegpt_turn(message) for message in messages]
    if system is not None:
        record["system"] = system
    if "tools" in chat:
        record["tools"] = json.dumps(chat["tools"], ensure_ascii=False)
    return record


def _sharegpt_turn(message: Chat) -> Chat:
    no_place(message)
    own = keys_of_own(message, _TURN_KEYS)
    if "tool_call_id" in message:
        own["tool_call_id"] = message["tool_call_id"]
    calls = message.get("tool_calls")
    if not calls:
        return {"from": _NAMES[message["role"]], "value": message["content"], **own}
    if message["content"]:
        raise CannotHoldError("a text beside calls of tools")
    made = [{**({"id": call["id"]} if "id" in call else {}), **call["function"]} for call in calls]
    value = json.dumps(made if len(made) > 1 else made[0], ensure_ascii=False)
    return {"from": "function_call", "value": value, **own}


def write_qwen_v1(chat: Chat) -> Chat:
    """Qwen v1, for its fine-tuning script.

    Raises:
        CannotHoldError: as for ShareGPT, or tools.
    """
    if "tools" in chat:
        raise CannotHoldError("tools")
    split_system(chat)
    turns = []
    for message in chat["messages"]:
        no_place(message)
        if message["role"] == "tool" or "tool_calls" in message:
            raise CannotHoldError("calls of tools")
        own = keys_of_own(message, _TURN_KEYS)
        turns.append({"from": message["role"], "value": message["content"], **own})
    return {**other_keys(chat, _RECORD_KEYS), "conversations": turns}
