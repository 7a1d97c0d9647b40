"""The form in the middle of every conversion: ChatML messages with all that a record may hold.

Keys are `id`, `source`, `messages`, `tools`, `chat_template_kwargs`, then what no reader knows, as
it stands in the file. Masks of all trainers are `loss`, arguments of tools are objects, contents
texts. OpenAI's messages are the same with other names, so both are read and written here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qwen_bench.chat.chat_record import MESSAGE_KEYS, RECORD_KEYS, record_of
from qwen_bench.chat.json_objects import Fault, JsonObject
from qwen_bench.chat.jsonl import message_dicts

Chat = dict[str, Any]
_ROLES = {"developer": "system", "function": "tool"}
_OF_MESSAGES = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "loss")
_KEPT = {"topic", "canary"}


class CannotHoldError(ValueError):
    """A form has no place for something that a conversation has; the text says what."""


def chat_of(item: JsonObject, content: Chat) -> tuple[Chat, tuple[str, ...]]:
    """A conversation in the middle form, checked by the reader of `finetune`.

    Args:
        item: the object it comes from.
        content: its keys as those of ChatML.

    Returns:
        The conversation, and keys of parts of texts, which no form keeps.

    Raises:
        DataError: the first of its faults.
    """
    record, faults = record_of(item._replace(content=content), check_texts=False)
    if record is None:
        raise faults[0]
    raw = content["messages"]
    messages = message_dicts(record)
    shift = len(messages) - len(raw)
    for message, given in zip(messages[shift:], raw, strict=True):
        message.update({key: given[key] for key in given.keys() - MESSAGE_KEYS})
    chat: Chat = {key: content[key] for key in ("id", "source") if content.get(key) is not None}
    chat["messages"] = messages
    if record.tools:
        chat["tools"] = [json.loads(tool) for tool in record.tools]
    if record.flags:
        chat["chat_template_kwargs"] = dict(record.flags)
    others = sorted(key for key in content if key in _KEPT or key not in RECORD_KEYS)
    chat.update({key: content[key] for key in others})
    parts = tuple(key for key in record.ignored if "[]." in key and "content[]" in key)
    return chat, (*parts, *(key for key in record.ignored if key.startswith("system[]")))


def read_messages(content: Mapping[str, Any], fault: Fault) -> Chat:
    """ChatML, and OpenAI's messages with the roles and calls of all their versions."""
    chat = dict(content)
    if isinstance(chat.get("functions"), list) and "tools" not in chat:
        chat["tools"] = [{"type": "function", "function": one} for one in chat.pop("functions")]
    if isinstance(chat.get("messages"), list):
        chat["messages"] = [_message(message, fault) for message in chat["messages"]]
    return chat


def _message(message: object, fault: Fault) -> object:
    if not isinstance(message, dict):
        return message
    role = message.get("role")
    made = dict(message)
    if isinstance(role, str) and role in _ROLES:
        made["role"] = _ROLES[role]
    call = made.pop("function_call", None)
    if call is not None:
        if made.get("tool_calls"):
            what = "function_call: there is tool_calls too; keep one of them"
            raise fault(what, kind="tools")
        made["tool_calls"] = [{"type": "function", "function": call}]
    return made


def write_chatml(chat: Chat) -> Chat:
    """The form itself."""
    return chat


def write_openai(chat: Chat) -> Chat:
    """OpenAI's messages: arguments of tools as JSON, `weight` 0 for what is not learned.

    Raises:
        CannotHoldError: a key of the user's own is one of OpenAI's.
    """
    messages = []
    for given in chat["messages"]:
        message = dict(given)
        if message.pop("loss", True) is False:
            message["weight"] = 0
        if calls := message.get("tool_calls"):
            message["content"] = message["content"] or None
            message["tool_calls"] = [_with_text(call) for call in calls]
        messages.append(message)
    return {**chat, "messages": messages}


def _with_text(call: Chat) -> Chat:
    """A call whose arguments are JSON."""
    arguments = call["function"]["arguments"]
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {**call, "function": {**call["function"], "arguments": arguments}}


def other_keys(chat: Chat, taken: frozenset[str]) -> Chat:
    """Keys of a conversation beside its messages, tools apart, for a form that has own names.

    Args:
        chat: the conversation.
        taken: names that mean something in the form.

    Raises:
        CannotHoldError: one of the keys has such a name.
    """
    others = {key: value for key, value in chat.items() if key not in {"messages", "tools"}}
    both = sorted(taken & others.keys())
    if both:
        raise CannotHoldError(f"the key {both[0]!r} means something else there")
    return others


def keys_of_own(message: Chat, taken: frozenset[str]) -> Chat:
    """Keys of a message that no reader knows, for a form that has own names; as `other_keys`."""
    own = {key: value for key, value in message.items() if key not in _OF_MESSAGES}
    both = sorted(taken & own.keys())
    if both:
        raise CannotHoldError(f"the key {both[0]!r} of a message means something else there")
    return own


def split_system(chat: Chat) -> tuple[str | None, list[Chat]]:
    """The system text, and the other messages, for a form that holds the text beside them.

    Raises:
        CannotHoldError: the text is empty, or it has keys of its own.
    """
    first, *rest = chat["messages"]
    if first["role"] != "system":
        return None, chat["messages"]
    if not first["content"]:
        raise CannotHoldError("an empty system message, which means none there")
    if keys_of_own(first, frozenset()):
        raise CannotHoldError("keys of the system message")
    return first["content"], rest


def no_place(message: Chat) -> None:
    """Refuse what only messages can hold.

    Raises:
        CannotHoldError: there is something.
    """
    if message.get("loss") is False:
        raise CannotHoldError('"loss": false; the answer would be learned')
    if "reasoning_content" in message:
        raise CannotHoldError("a thought")
