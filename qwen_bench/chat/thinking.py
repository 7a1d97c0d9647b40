"""Thoughts in prompts and replies: where they begin, where the answer begins."""

from __future__ import annotations

from typing import NamedTuple

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"


class Answer(NamedTuple):
    """A reply without its thought.

    Attributes:
        text: what follows the last closing tag, without edge whitespace if there was a thought.
        thought: the text up to that tag; None without a thought.
        complete: False when the thought never ended, so that there is no answer.
    """

    text: str
    thought: str | None
    complete: bool


def opens_thought(prompt: str) -> bool:
    """Whether the prompt itself ends inside a thought, so that the reply only closes it."""
    return prompt.rstrip().endswith(THINK_OPEN)


def split_thought(text: str, *, prompt_opened: bool = False) -> Answer:
    r"""Cut the thought off a reply.

    >>> split_thought("It is Li.</think>\n\nLi.", prompt_opened=True)
    Answer(text='Li.', thought='It is Li.', complete=True)
    >>> split_thought("<think>It is")
    Answer(text='', thought='It is', complete=False)
    """
    thought, closer, rest = text.rpartition(THINK_CLOSE)
    if closer:
        return Answer(rest.strip(), thought.removeprefix(THINK_OPEN).strip(), complete=True)
    if prompt_opened or text.lstrip().startswith(THINK_OPEN):
        return Answer("", text.lstrip().removeprefix(THINK_OPEN).strip(), complete=False)
    return Answer(text, None, complete=True)
