"""From messages to the prompt text a model sees.

The checkpoint's own template does the work, through `apply_chat_template`; this module decides
which template, adds the system option, passes flags only when they were set, and checks that the
result still holds the whole conversation. Some templates drop, merge or empty messages without an
error; a model then looks forgetful although it was never told. Knows no token ids and imports no
tokenizer library.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import jinja2

from qwen_bench.chat.messages import Conversation, Message, as_dicts, opens_thought
from qwen_bench.errors import InputError, TemplateError

Thinking = Literal["auto", "on", "off"]
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
CHATML = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
"""ChatML without a default system text; only `--chat-template chatml` chooses it."""
SWITCH: dict[Thinking, dict[str, bool]] = {
    "auto": {},
    "on": {"enable_thinking": True},
    "off": {"enable_thinking": False},
}
"""Template flags by thinking mode. Qwen templates compare with ``is true``: only bools work."""
_ONE_QUESTION = (Message("user", "Hello"),)
_THOUGHT = re.compile(r"^\s*<think>.*?</think>\s*", re.DOTALL)


class ChatTokenizer(Protocol):
    """The one tokenizer method rendering needs; transformers tokenizers have it."""

    def apply_chat_template(self, conversation: list[dict[str, Any]], **options: Any) -> Any:  # noqa: ANN401 - text here, ids with other options
        """Render `conversation` with the template in `options`."""
        ...


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A Jinja chat template and where it came from.

    Attributes:
        text: the Jinja source.
        source: the checkpoint's own, a file of the user's, or the built-in ChatML.
        name: model or file name for messages.
    """

    text: str
    source: Literal["model", "file", "built-in"]
    name: str

    @property
    def sha256(self) -> str:
        """SHA-256 of the template text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """How conversations are turned into prompts in one run.

    Attributes:
        system: ``default`` leaves it to the template, ``none`` sends an empty system message where
            the template would insert a text of its own, anything else is the system text itself.
        thinking: `auto` passes no flag.
    """

    template: ChatTemplate
    system: str = "default"
    thinking: Thinking = "auto"


def choose_template(option: str | None, own: str | None, model: str) -> ChatTemplate:
    """The template of a run.

    Args:
        option: None for the model's own, ``chatml`` for the built-in one, else a file path.
        own: the template shipped with the model, if any.
        model: name of the model for messages.

    Raises:
        TemplateError: the model has no template of its own.
        InputError: the file cannot be read.
    """
    if option == "chatml":
        return ChatTemplate(CHATML, "built-in", "chatml")
    if option is not None:
        try:
            return ChatTemplate(Path(option).read_text("utf-8"), "file", Path(option).name)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"cannot read the chat template {option}",
                why=str(error),
                fix="--chat-template takes a Jinja file or chatml",
            ) from error
    if own is None:
        raise TemplateError(
            f"{model} has no chat template; pass --chat-template FILE or chatml",
            why="a benchmark of conversations needs to know how turns are written",
        )
    return ChatTemplate(own, "model", model)


def render(
    messages: Sequence[Message],
    template: ChatTemplate,
    tokenizer: ChatTokenizer,
    *,
    thinking: Thinking = "auto",
    add_generation_prompt: bool = True,
    tools: Sequence[str] = (),
) -> str:
    """Text of the conversation, exactly as the template writes it.

    Args:
        messages: the conversation.
        template: writes it.
        tokenizer: runs the template.
        thinking: which flag the template gets.
        add_generation_prompt: whether the header of an answer stands at the end.
        tools: those that may be called, each as JSON.

    Raises:
        TemplateError: the template refuses the conversation or is not valid Jinja.
    """
    flags: dict[str, Any] = {**SWITCH[thinking]}
    if tools:
        flags["tools"] = [json.loads(tool) for tool in tools]
    try:
        text = tokenizer.apply_chat_template(
            as_dicts(messages),
            chat_template=template.text,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            **flags,
        )
    except (jinja2.TemplateError, TypeError, ValueError, KeyError) as error:
        raise TemplateError(
            f"the chat template of {template.name} fails on a conversation of "
            f"{len(messages)} messages",
            why=f"{type(error).__name__}: {error}",
            fix="pass another template with --chat-template FILE or chatml",
        ) from error
    return str(text)


def with_system(
    messages: Sequence[Message], settings: ChatSettings, tokenizer: ChatTokenizer
) -> Conversation:
    """The conversation with the system option applied; a system message of its own always wins."""
    if settings.system == "default" or messages[0].role == "system":
        return tuple(messages)
    if settings.system == "none":
        if template_system(settings, tokenizer) is None:
            return tuple(messages)
        return (Message("system", ""), *messages)
    return (Message("system", settings.system), *messages)


def prompt_text(
    messages: Sequence[Message],
    settings: ChatSettings,
    tokenizer: ChatTokenizer,
    tools: Sequence[str] = (),
) -> str:
    """The checked prompt of a conversation, generation prompt included.

    Raises:
        TemplateError: the conversation does not end with a message of a user or a tool, the
            template fails, or it loses part of the conversation.
    """
    if not messages or messages[-1].role not in {"user", "tool"}:
        last = f"message {len(messages) - 1} is from the {messages[-1].role}" if messages else ""
        raise TemplateError(f"a prompt ends with a user message; {last or 'none'}")
    full = with_system(messages, settings, tokenizer)
    text = render(full, settings.template, tokenizer, thinking=settings.thinking, tools=tools)
    check_rendering(full, text)
    for tool in tools:
        name = _tool_name(tool)
        if name not in text:
            raise TemplateError(
                f"the chat template of {settings.template.name} does not write the tool {name}",
                why="it has no place for tools, so a model would call what it was never told of",
                fix="pass another template with --chat-template FILE or chatml",
            )
    return text


def _tool_name(tool: str) -> str:
    """Name of a tool given as JSON; empty where it has none."""
    said = json.loads(tool)
    inner = said.get("function", said)
    return str(inner.get("name", "")) if isinstance(inner, dict) else ""


def template_system(settings: ChatSettings, tokenizer: ChatTokenizer) -> str | None:
    """Text the template puts into a system block by itself; None when it adds no block."""
    return default_system_text(
        render(_ONE_QUESTION, settings.template, tokenizer, thinking=settings.thinking)
    )


def effective_thinking(settings: ChatSettings, tokenizer: ChatTokenizer) -> str:
    """What the rendered prompt asks for: ``on``, ``off``, or ``none`` for templates without both.

    Read from renderings, because unknown flags are ignored by templates without a word.
    """
    on, off, used = (
        render(_ONE_QUESTION, settings.template, tokenizer, thinking=mode)
        for mode in ("on", "off", settings.thinking)
    )
    if on != off:
        return "off" if used == off else "on"
    return "on" if opens_thought(used) else "none"


class RenderedBlock(NamedTuple):
    """One ``<|im_start|>role newline content <|im_end|>`` of a rendering.

    `closed` is False for the open assistant header at the end of a prompt.
    """

    role: str
    content: str
    closed: bool


def blocks(text: str) -> tuple[RenderedBlock, ...]:
    r"""Split a ChatML rendering into its blocks; text before the first one is ignored.

    >>> blocks("<|im_start|>user\nHi<|im_end|>\n")
    (RenderedBlock(role='user', content='Hi', closed=True),)
    """
    found = []
    for piece in text.split(IM_START)[1:]:
        role, _, rest = piece.partition("\n")
        content, closer, _ = rest.partition(IM_END)
        found.append(RenderedBlock(role, content, bool(closer)))
    return tuple(found)


def default_system_text(rendered: str) -> str | None:
    """System text a template adds by itself, read from the rendering of one user message."""
    first = next(iter(blocks(rendered)), None)
    return first.content if first is not None and first.role == "system" else None


def check_rendering(messages: Sequence[Message], text: str) -> None:
    """Make sure every content follows its own role header, in order, and nothing else does.

    Edge whitespace may be trimmed, a thought may stand before an assistant's content, its calls of
    tools behind it, and results of tools that follow each other may share a block, as Qwen
    templates do. For renderings that are not ChatML only the order of the contents is checked.

    Args:
        messages: the conversation, ending with a user message.
        text: its rendering with a generation prompt.

    Raises:
        TemplateError: a message is missing, merged, emptied or out of order; the turn is named.
    """
    if IM_START not in text:
        _check_order(messages, text)
        return
    found = list(blocks(text))
    if messages[0].role != "system" and found and found[0].role == "system":
        del found[0]
    at = 0
    for index, message in enumerate(messages):
        block = found[at] if at < len(found) else None
        if block is not None and block.closed and _holds(block, message):
            at += 1
        elif message.role != "tool" or not (at and _holds(found[at - 1], message)):
            raise _lost(messages, index)
    extra = found[at:]
    if len(extra) != 1 or extra[0].closed or extra[0].role != "assistant":
        raise TemplateError(
            "the rendered prompt does not end with one open assistant turn",
            why=f"{len(extra)} blocks follow the {len(messages)} messages",
            fix="pass another template with --chat-template FILE or chatml",
        )


def _holds(block: RenderedBlock, message: Message) -> bool:
    wanted, content = message.content.strip(), block.content
    if message.role == "system":
        # A template that describes tools does so before or behind the text that it is given.
        return block.role == "system" and (
            content.strip().endswith(wanted) or content.strip().startswith(wanted)
        )
    if message.role == "tool":
        return block.role in {"tool", "user"} and wanted in content
    if message.role == "assistant":
        wanted, content = _THOUGHT.sub("", wanted), _THOUGHT.sub("", content)
        if message.tool_calls and block.role == "assistant":
            called = content.strip().removeprefix(wanted)
            whole = len(called) < len(content.strip()) or not wanted
            return whole and all(call.name in called for call in message.tool_calls)
    return block.role == message.role and content.strip() == wanted


def _check_order(messages: Sequence[Message], text: str) -> None:
    cursor = 0
    for index, message in enumerate(messages):
        at = text.find(message.content.strip(), cursor)
        if at < 0:
            raise _lost(messages, index)
        cursor = at + len(message.content.strip())


def _lost(messages: Sequence[Message], index: int) -> TemplateError:
    total = sum(message.role == "user" for message in messages)
    turn = sum(message.role == "user" for message in messages[: index + 1])
    what = f"turn {turn} of {total}" if turn else "the system message"
    return TemplateError(
        f"the rendered prompt lost {what}; this model cannot be tested for retention as configured",
        why=f"message {index} ({messages[index].role}) does not follow its own role header",
        fix="pass another template with --chat-template FILE or chatml",
    )
