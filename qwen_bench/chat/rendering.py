"""From messages to the prompt text a model sees.

The checkpoint's own template does the work, through `apply_chat_template`; this module decides
which template, adds the system option, passes flags only when they were set, and checks the
result. It does not know token ids and imports no tokenizer library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import jinja2

from qwen_bench.chat.builtin import CHATML
from qwen_bench.chat.lint import check_rendering, default_system_text
from qwen_bench.chat.messages import Conversation, Message, as_dicts
from qwen_bench.chat.thinking import opens_thought
from qwen_bench.errors import InputError, TemplateError

Thinking = Literal["auto", "on", "off"]
TemplateSource = Literal["model", "file", "built-in"]
SWITCH: dict[Thinking, dict[str, bool]] = {
    "auto": {},
    "on": {"enable_thinking": True},
    "off": {"enable_thinking": False},
}
"""Template flags by thinking mode. Qwen templates compare with ``is true``: only bools work."""


class ChatTokenizer(Protocol):
    """The one tokenizer method rendering needs; transformers tokenizers have it."""

    def apply_chat_template(self, conversation: list[dict[str, str]], **options: Any) -> Any:  # noqa: ANN401 - text here, ids with other options
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
    source: TemplateSource
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
) -> str:
    """Text of the conversation, exactly as the template writes it.

    Raises:
        TemplateError: the template refuses the conversation or is not valid Jinja.
    """
    try:
        text = tokenizer.apply_chat_template(
            as_dicts(messages),
            chat_template=template.text,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            **SWITCH[thinking],
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
    messages: Sequence[Message], settings: ChatSettings, tokenizer: ChatTokenizer
) -> str:
    """The checked prompt of a conversation, generation prompt included.

    Raises:
        TemplateError: the conversation does not end with a user message, the template fails, or
            it loses part of the conversation.
    """
    if not messages or messages[-1].role != "user":
        last = (
            f"message {len(messages) - 1} is from the {messages[-1].role}" if messages else "none"
        )
        raise TemplateError(f"a prompt ends with a user message; {last}")
    full = with_system(messages, settings, tokenizer)
    text = render(full, settings.template, tokenizer, thinking=settings.thinking)
    check_rendering(full, text)
    return text


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


_ONE_QUESTION = (Message("user", "Hello"),)
