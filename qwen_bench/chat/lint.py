"""Does a rendered prompt still hold the whole conversation?

Some chat templates drop, merge or empty messages without an error; a model then looks forgetful
although it was never told. The check reads the rendered text only and knows no template.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from qwen_bench.chat.messages import Message
from qwen_bench.errors import TemplateError

IM_START = "<|im_start|>"
IM_END = "<|im_end|>"

_THOUGHT = re.compile(r"^\s*<think>.*?</think>\s*", re.DOTALL)


class Block(NamedTuple):
    """One ``<|im_start|>role newline content <|im_end|>`` of a rendering.

    `closed` is False for the open assistant header at the end of a prompt.
    """

    role: str
    content: str
    closed: bool


def blocks(text: str) -> tuple[Block, ...]:
    r"""Split a ChatML rendering into its blocks; text before the first one is ignored.

    >>> blocks("<|im_start|>user\nHi<|im_end|>\n")
    (Block(role='user', content='Hi', closed=True),)
    """
    found = []
    for piece in text.split(IM_START)[1:]:
        role, _, rest = piece.partition("\n")
        content, closer, _ = rest.partition(IM_END)
        found.append(Block(role, content, bool(closer)))
    return tuple(found)


def default_system_text(rendered: str) -> str | None:
    """System text a template adds by itself, read from the rendering of one user message."""
    first = next(iter(blocks(rendered)), None)
    return first.content if first is not None and first.role == "system" else None


def check_rendering(messages: Sequence[Message], text: str) -> None:
    """Make sure every content follows its own role header, in order, and nothing else does.

    Edge whitespace may be trimmed and a thought may stand before an assistant's content, as Qwen
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
    for index, message in enumerate(messages):
        block = found[index] if index < len(found) else None
        if block is None or not block.closed or not _holds(block, message):
            raise _lost(messages, index)
    extra = found[len(messages) :]
    if len(extra) != 1 or extra[0].closed or extra[0].role != "assistant":
        raise TemplateError(
            "the rendered prompt does not end with one open assistant turn",
            why=f"{len(extra)} blocks follow the {len(messages)} messages",
            fix="pass another template with --chat-template FILE or chatml",
        )


def _holds(block: Block, message: Message) -> bool:
    wanted = message.content.strip()
    if message.role == "system":
        return block.role == "system" and block.content.strip().endswith(wanted)
    if message.role == "tool":
        return block.role in {"tool", "user"} and wanted in block.content
    content = block.content
    if message.role == "assistant":
        wanted = _THOUGHT.sub("", wanted)
        content = _THOUGHT.sub("", content)
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
