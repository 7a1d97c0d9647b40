"""Tools of a conversation and calls of them, as records of data files hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from qwen_bench.chat.json_objects import Fault, kind_of
from qwen_bench.chat.messages import ToolCall


def read_tools(value: object, fault: Fault) -> tuple[str, ...]:
    """The tools that a conversation may call, each as JSON.

    Args:
        value: a list of objects, or the JSON of one, as LLaMA-Factory and ms-swift write it.
        fault: makes the error.

    Raises:
        DataError: it is neither.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise fault("tools: text that is not JSON", kind="tools", fix=_TOOLS) from None
    if not isinstance(value, list):
        raise fault(f"tools: {kind_of(value)}, not a list", kind="tools", fix=_TOOLS)
    for i, tool in enumerate(value):
        if not isinstance(tool, dict):
            raise fault(f"tools[{i}]: {kind_of(tool)}, not an object", kind="tools", fix=_TOOLS)
    return tuple(json.dumps(tool, ensure_ascii=False) for tool in value)


def read_tool_calls(place: str, value: object, fault: Fault) -> tuple[ToolCall, ...]:
    """The calls of an assistant's message.

    Args:
        place: of the calls in the record, for messages.
        value: a list of ``{"function": {"name": ..., "arguments": ...}}`` or of what is inside.
        fault: makes the error.

    Raises:
        DataError: it is none.
    """
    if not isinstance(value, list):
        raise fault(f"{place}: {kind_of(value)}, not a list", kind="tools", fix=_CALLS)
    return tuple(_call(f"{place}[{i}]", call, fault) for i, call in enumerate(value))


_TOOLS = 'a list such as [{"type": "function", "function": {"name": "weather", ...}}]'
_CALLS = 'calls such as [{"type": "function", "function": {"name": "weather", "arguments": {}}}]'
_CALL_KEYS = frozenset({"id", "type", "index", "function", "name", "arguments"})


def _call(place: str, value: object, fault: Fault) -> ToolCall:
    if not isinstance(value, dict):
        raise fault(f"{place}: {kind_of(value)}, not an object", kind="tools", fix=_CALLS)
    if (kind := value.get("type", "function")) != "function":
        raise fault(f"{place}.type: {kind!r}, not 'function'", kind="tools", fix=_CALLS)
    said: object = value.get("function", value)
    inside = f"{place}.function" if "function" in value else place
    if not isinstance(said, Mapping):
        raise fault(f"{inside}: {kind_of(said)}, not an object", kind="tools", fix=_CALLS)
    unknown = sorted({*value, *said} - _CALL_KEYS)
    if unknown:
        raise fault(
            f"{place}: unknown key {unknown[0]!r}, which no template writes",
            kind="tools",
            fix=_CALLS,
        )
    name, arguments, call_id = said.get("name"), said.get("arguments"), value.get("id")
    if not isinstance(name, str) or not name:
        raise fault(f"{inside}.name: {_what(name)}", kind="tools", fix=_CALLS)
    if isinstance(arguments, dict):
        arguments = json.dumps(arguments, ensure_ascii=False)
    if arguments is not None and not isinstance(arguments, str):
        what = f"{kind_of(arguments)}, not an object or its JSON"
        raise fault(f"{inside}.arguments: {what}", kind="tools", fix=_CALLS)
    if call_id is not None and not isinstance(call_id, str):
        raise fault(f"{place}.id: {kind_of(call_id)}, not text", kind="tools", fix=_CALLS)
    return ToolCall(name, arguments or "{}", call_id)


def _what(name: object) -> str:
    return "missing or empty" if name in (None, "") else f"{kind_of(name)}, not text"
