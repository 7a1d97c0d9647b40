"""One conversation of a data file: everything it says that is read, and all of its faults.

The format is that of the Qwen1.5 and Qwen2 fine-tuning examples, which equals the OpenAI message
list. Knows nothing of templates or tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from qwen_bench.chat.json_objects import FORM, Fault, JsonObject, kind_of
from qwen_bench.chat.loss_masks import (
    SETTINGS,
    SWITCHES,
    check_message_keys,
    check_record_keys,
    is_learned,
)
from qwen_bench.chat.messages import ROLES, Conversation, Message, Role, ToolCall
from qwen_bench.chat.plain_text import MARKERS, half_character, text_fault
from qwen_bench.chat.tool_calls import read_tool_calls, read_tools
from qwen_bench.errors import DataError, near

RECORD_KEYS = (
    SWITCHES
    | SETTINGS
    | {"messages", "type", "id", "source", "topic", "canary", "system", "tools"}
    | {"chat_template_kwargs"}
)
"""Keys of a conversation that are read."""
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
MESSAGE_KEYS = SWITCHES | {"role", "content", "tool_calls", "tool_call_id", *THOUGHTS}
"""Keys of a message that are read."""
_PART_KEYS = SWITCHES | {"type", "text", "value"}
_TEXT_PARTS = ("text", "input_text", "output_text")
_OTHER_FORMS = ("conversations", "conversation", "prompt", "instruction", "query", "text")
_ELSEWHERE: Mapping[str, Role] = {
    **dict.fromkeys(("bot", "gpt", "chatgpt", "model", "ai"), "assistant"),
    "human": "user",
    "developer": "system",
    **dict.fromkeys(("function", "observation", "ipython"), "tool"),
}
"""Roles of other forms of data."""
_BY_NAME: Mapping[str, Role] = {role: role for role in ROLES}
T = TypeVar("T")


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
        tools: those that may be called, each as JSON.
        flags: what is passed to the template, sorted by name.
    """

    id: str
    messages: Conversation
    trained: tuple[bool, ...]
    source: str | None = None
    ignored: tuple[str, ...] = ()
    line: int = field(default=0, compare=False)
    tools: tuple[str, ...] = ()
    flags: tuple[tuple[str, bool | str], ...] = ()


def record_of(
    item: JsonObject, *, check_texts: bool = True
) -> tuple[ChatRecord | None, list[DataError]]:
    """The conversation of an object, and its faults.

    Args:
        item: of a file.
        check_texts: a ready-made marker or half a character in a message is a fault.

    Returns:
        No conversation where there is a fault. At most one fault for each part of a message.
    """
    faults: list[DataError] = []
    fault, content = item.fault, _present(item.content)
    for key in item.content:
        _tried(faults, _check_label, f"key {key!r}", key, fault)
    if content.get("type", "chatml") != "chatml":
        faults.append(fault(f"type: {content['type']!r} is not 'chatml'", kind="key"))
    raw = item.content.get("messages")
    if not isinstance(raw, list) or not raw:
        return None, [*faults, _no_messages(raw, content, fault)]
    _tried(faults, check_record_keys, content, fault)
    learned = _tried(faults, is_learned, "", content, fault)
    read = [_tried(faults, _message, f"messages[{i}]", item, fault) for i, item in enumerate(raw)]
    faults += _out_of_order([_role(item) for item in raw], fault)
    known = [message for message in read if message is not None]
    system: tuple[Conversation, list[str]] = ((), [])
    if len(known) == len(raw):
        messages = tuple(message.message for message in known)
        system = _tried(faults, _system, content, messages, fault) or system
    if check_texts:
        named = [("system", message) for message in system[0]]
        named += [(f"messages[{i}]", m.message) for i, m in enumerate(read) if m is not None]
        for place, message in named:
            _tried(faults, _check_message_texts, place, message, fault)
    source = _tried(faults, _text, content, "source", fault)
    record_id = _tried(faults, _id, content, fault)
    tools = _tried(faults, read_tools, content["tools"], fault) if "tools" in content else ()
    flags = _tried(faults, _flags, content, fault)
    if faults:
        return None, faults
    trained = (*(False for _ in system[0]), *(m.learned and learned is not False for m in known))
    unread = [*system[1], *sorted(content.keys() - RECORD_KEYS)]
    record = ChatRecord(
        id=record_id or item.place,
        messages=(*system[0], *(m.message for m in known)),
        trained=trained,
        source=source,
        ignored=(*unread, *(key for m in known for key in m.unread)),
        line=item.line,
        tools=tools or (),
        flags=flags or (),
    )
    return record, []


def _tried(faults: list[DataError], step: Callable[..., T], *arguments: object) -> T | None:
    """What a step gives; its error becomes one more fault."""
    try:
        return step(*arguments)
    except DataError as error:
        faults.append(error)
        return None


def _no_messages(raw: object, content: Mapping[str, object], fault: Fault) -> DataError:
    """The fault of an object without messages."""
    if isinstance(raw, list):
        return fault("messages: empty", fix=FORM, kind="messages")
    if raw is not None:
        return fault(f"messages: {kind_of(raw)}, not a list", fix=FORM, kind="messages")
    other = next((key for key in _OTHER_FORMS if key in content), None)
    if other is None:
        return fault("messages: missing", fix=FORM, kind="messages")
    what = f"messages: missing; '{other}' is another form of training data"
    return fault(what, fix="qwen-bench data convert FILE -o OUT.jsonl", kind="messages")


@dataclass(frozen=True, slots=True)
class _Read:
    """A message, whether its text is a training target, and keys that are not read."""

    message: Message
    learned: bool
    unread: list[str]


def _role(item: object) -> Role | None:
    role = item.get("role") if isinstance(item, dict) else None
    return _BY_NAME.get(role) if isinstance(role, str) else None


def _present(content: Mapping[str, object]) -> dict[str, object]:
    """The keys that hold something; null and empty mean absent."""
    return {key: value for key, value in content.items() if value not in (None, "", [], {})}


def _id(content: Mapping[str, object], fault: Fault) -> str | None:
    """The id as text; whole numbers are ids too."""
    value = content.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise fault(f"id: {kind_of(value)}, not text or a whole number", kind="key")
    return _text(content, "id", fault)


def _text(content: Mapping[str, object], key: str, fault: Fault) -> str | None:
    value = content.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise fault(f"{key}: {kind_of(value)}, not text", kind="key")
    _check_label(key, value, fault)
    return value


def _check_label(what: str, text: str, fault: Fault) -> None:
    """Refuse a key, id or label that no file could hold."""
    wrong = half_character(text)
    if wrong is not None:
        raise fault(f"{what}: {wrong}", fix="write the whole character", kind="encoding")


def _check_message_texts(place: str, message: Message, fault: Fault) -> None:
    """Refuse a text that the tokenizer would misread or could not read."""
    texts = [(place if place == "system" else f"{place}.content", message.content)]
    if message.reasoning is not None:
        texts.append((f"{place}.{THOUGHTS[0]}", message.reasoning))
    for i, call in enumerate(message.tool_calls):
        texts += [(f"{place}.tool_calls[{i}]", text) for text in (call.name, call.arguments)]
    for name, text in texts:
        wrong = text_fault(text)
        if wrong is not None:
            marker = any(found in text for found in MARKERS)
            how = "split a rendered chat into messages" if marker else "write the whole character"
            kind = "special-string" if marker else "encoding"
            raise fault(f"{name}: {wrong}", fix=f"{how}, or take it out of the text", kind=kind)


def _system(
    content: Mapping[str, object], messages: Conversation, fault: Fault
) -> tuple[Conversation, list[str]]:
    """The system message that stands beside the messages, if any, and its keys not read."""
    if "system" not in content:
        return (), []
    text, learned, unread = _content("system", content["system"], fault)
    if learned:
        raise fault(
            "system: only assistant messages are learned", fix="remove its mask", kind="mask"
        )
    if messages[0].role != "system":
        return (Message("system", text),), unread
    if messages[0].content != text:
        raise fault(
            "system: another text than the system message in messages[0]",
            fix="keep one of them",
            kind="system-place",
        )
    return (), unread


def _message(place: str, item: object, fault: Fault) -> _Read:
    """One message.

    Raises:
        DataError: it is none.
    """
    if not isinstance(item, dict):
        raise fault(f"{place}: {kind_of(item)}, not an object", kind="messages")
    keys = _present(item)
    for key in item:
        _check_label(f"{place}, key {key!r}", key, fault)
    known = _role(item)
    if known is None:
        role = item.get("role")
        told = "missing" if "role" not in item else f"{role!r} is not one"
        if isinstance(role, str):
            other = _ELSEWHERE.get(role.casefold())
            hint = f"near: {other}" if other else near(role, ROLES)
            told = f"{role!r} is not system, user, assistant or tool ({hint})"
        raise fault(f"{place}.role: {told}", kind="role")
    check_message_keys(place, keys, fault)
    calls = _calls(place, keys, known, fault)
    given = item.get("content")
    if "content" not in item and not calls:
        raise fault(f"{place}.content: missing, not text", kind="content")
    nothing = given is None and bool(calls)
    text, of_parts, unread = _content(f"{place}.content", "" if nothing else given, fault)
    if not text.strip() and known != "system" and not calls:
        raise fault(f"{place}.content: blank", kind="content")
    learned = is_learned(place, keys, fault)
    if None not in (learned, of_parts) and learned != of_parts:
        what = f"{place}: its masks and those of its parts contradict each other"
        raise fault(what, kind="mask")
    learned = of_parts if learned is None else learned
    if learned and known != "assistant":
        mask = ", ".join(sorted(SWITCHES & keys.keys())) or "content"
        raise fault(
            f"{place}.{mask}: only assistant messages are learned, this one is from {known}",
            fix=f"remove {mask}, or set it to what masks the message",
            kind="mask",
        )
    unread += [f"messages[].{key}" for key in sorted(keys.keys() - MESSAGE_KEYS)]
    message = Message(
        known,
        text,
        _thought(place, keys, known, fault),
        calls,
        _call_id(place, keys, known, fault),
    )
    return _Read(message, known == "assistant" and learned is not False, unread)


def _calls(
    place: str, keys: Mapping[str, object], role: Role, fault: Fault
) -> tuple[ToolCall, ...]:
    """The calls of tools of a message; only an assistant's may have some."""
    if "tool_calls" not in keys:
        return ()
    if role != "assistant":
        raise fault(f"{place}.tool_calls: only an assistant calls tools", kind="tools")
    return read_tool_calls(f"{place}.tool_calls", keys["tool_calls"], fault)


def _call_id(place: str, keys: Mapping[str, object], role: Role, fault: Fault) -> str | None:
    """The call that a tool's message answers."""
    value = keys.get("tool_call_id")
    if value is None:
        return None
    if not isinstance(value, str):
        raise fault(f"{place}.tool_call_id: {kind_of(value)}, not text", kind="tools")
    if role != "tool":
        raise fault(f"{place}.tool_call_id: only a tool's message has one", kind="tools")
    return value


def _thought(place: str, keys: Mapping[str, object], role: Role, fault: Fault) -> str | None:
    """The thought of an assistant's message."""
    given = [key for key in THOUGHTS if key in keys]
    for key in given:
        value = keys[key]
        if not isinstance(value, str):
            raise fault(f"{place}.{key}: {kind_of(value)}, not text", kind="reasoning")
        if role != "assistant":
            raise fault(f"{place}.{key}: only an assistant has thoughts", kind="reasoning")
        if value != keys[given[0]]:
            what = f"{place}: {given[0]} and {key} are two thoughts"
            raise fault(what, kind="reasoning", fix="keep one of them")
    return str(keys[given[0]]) if given else None


def _flags(content: Mapping[str, object], fault: Fault) -> tuple[tuple[str, bool | str], ...]:
    """What is passed to the template."""
    given = content.get("chat_template_kwargs", {})
    if not isinstance(given, dict):
        what = f"chat_template_kwargs: {kind_of(given)}, not an object"
        raise fault(what, kind="template-flags")
    for key, value in given.items():
        if not isinstance(value, bool | str):
            what = f"chat_template_kwargs.{key}: {kind_of(value)}, not a boolean or text"
            raise fault(what, kind="template-flags")
    return tuple(sorted(given.items()))


def _content(place: str, value: object, fault: Fault) -> tuple[str, bool | None, list[str]]:
    """A text or a list of text parts, joined; what their masks say; keys that are not read."""
    if isinstance(value, str):
        return value, None, []
    if not isinstance(value, list):
        raise fault(f"{place}: {kind_of(value)}, not text", kind="content")
    texts: list[str] = []
    masks: set[bool | None] = set()
    unread: list[str] = []
    parts = "system[]" if place == "system" else "messages[].content[]"
    for i, part in enumerate(value):
        inside = f"{place}[{i}]"
        if not isinstance(part, dict):
            raise fault(f"{inside}: {kind_of(part)}, not a part of a text", kind="content")
        kind = part.get("type", "text")
        if kind not in _TEXT_PARTS:
            raise fault(
                f"{inside}: a part of type {kind!r}; only text is read",
                fix="leave the part out, or the conversation",
                kind="content",
            )
        text = part.get("text", part.get("value"))
        if not isinstance(text, str):
            raise fault(f"{inside}.text: {kind_of(text)}, not text", kind="content")
        keys = _present(part)
        texts.append(text)
        masks.add(is_learned(inside, keys, fault))
        for key in sorted(keys.keys() - _PART_KEYS):
            _check_label(f"{inside}, key {key!r}", key, fault)
            unread.append(f"{parts}.{key}")
    if False in masks and len(masks) > 1:
        what = f"{place}: parts that are learned beside parts that are not; mask all or none"
        raise fault(what, kind="mask")
    said = masks - {None}
    return "".join(texts), next(iter(said), None), unread


def _out_of_order(roles: Sequence[Role | None], fault: Fault) -> Iterator[DataError]:
    """Faults in the order of roles; nothing is said beside a message whose role is not known."""
    previous: Role | None = None
    known = True
    for i, role in enumerate(roles):
        if role == "system":
            if i:
                what = f"messages[{i}]: a system message; only messages[0] may be one"
                yield fault(what, kind="system-place")
            continue
        if role is not None and known:
            if previous is None and role != "user":
                what = f"messages[{i}]: {role}; a conversation starts with user"
                yield fault(what, kind="first-turn")
            elif role == "tool" and previous == "user":
                yield fault(f"messages[{i}]: tool after user", kind="tool-place")
            elif role == previous and role != "tool":
                yield fault(f"messages[{i}]: {role} after {previous}", kind="alternation")
        known = role is not None
        previous = role
    if all(role not in ("assistant", None) for role in roles):
        yield fault("messages: no assistant message, nothing to train on", kind="no-answer")
