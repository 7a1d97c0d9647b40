"""History policies: which turns of a conversation a client still sends.

Turns are dropped whole and from the oldest on; the system message and the question always stay.
Applied before rendering. Knows no tokenizer: counts come from a `TokenCounter`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol

from qwen_bench.chat.messages import Conversation, Message
from qwen_bench.errors import InputError, near

PolicyKind = Literal["full", "last-turns", "last-tokens", "qwen-v1"]
_FORMS = "the forms are full, last-turns:N, last-tokens:N, qwen-v1:N"
_UNITS: dict[PolicyKind, str] = {
    "last-turns": "turns",
    "last-tokens": "tokens",
    "qwen-v1": "tokens",
}
# <|im_start|> and <|im_end|>: one id each, whatever the tokenizer makes of other text.
_MARKERS = 2


@dataclass(frozen=True, slots=True)
class Policy:
    """A history policy.

    Attributes:
        limit: turns or tokens, 1 or more; None for `full` alone.

    Raises:
        ValueError: a limit where there is none, or none where there must be one.
    """

    kind: PolicyKind
    limit: int | None = None

    def __post_init__(self) -> None:
        sound = self.limit is None if self.kind == "full" else self.limit is not None
        if not sound or (self.limit is not None and self.limit < 1):
            raise ValueError(f"{self.kind} with the limit {self.limit} is no policy")

    def __str__(self) -> str:
        return self.kind if self.limit is None else f"{self.kind}:{self.limit}"

    @property
    def counts_tokens(self) -> bool:
        """Whether it needs a tokenizer."""
        return self.kind in {"last-tokens", "qwen-v1"}


FULL = Policy("full")


class TokenCounter(Protocol):
    """What a policy that counts tokens must be able to ask."""

    def prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the complete rendered prompt, generation prompt included."""
        ...

    def text_tokens(self, text: str) -> int:
        """Tokens of a text encoded alone, special strings as plain text."""
        ...

    def system_text(self, messages: Sequence[Message]) -> str | None:
        """Text of the system block in the prompt of a conversation; None when it has none."""
        ...


class SentConversation(NamedTuple):
    """What a policy leaves of a conversation.

    Attributes:
        dropped: number of oldest user turns left out.
    """

    messages: Conversation
    dropped: int


def parse_policy(text: str) -> Policy:
    """Read ``full``, ``last-turns:N``, ``last-tokens:N`` or ``qwen-v1:N``.

    Raises:
        InputError: no such policy, or N is missing, misplaced, no number or below 1.
    """
    name, colon, number = text.partition(":")
    if name == "full":
        if colon:
            raise InputError(f"the history policy full takes no number, not '{number}'")
        return FULL
    kind = next((known for known in _UNITS if known == name), None)
    if kind is None:
        raise InputError(
            f"unknown history policy '{name}'; {near(name, ('full', *_UNITS))}", fix=_FORMS
        )
    if not number:
        raise InputError(f"the history policy {name} needs a number: {name}:N", fix=_FORMS)
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", number):
        raise InputError(
            f"--policy {name}: '{number}' is not a number of {_UNITS[kind]}", fix=_FORMS
        )
    if int(number) < 1:
        raise InputError(f"--policy {name}: {int(number)} {_UNITS[kind]} is below 1", fix=_FORMS)
    return Policy(kind, int(number))


def keep(
    policy: Policy, messages: Conversation, tokens: TokenCounter | None = None
) -> SentConversation:
    """The conversation as a client with this policy sends it.

    A turn begins with a user message. A conversation of one user message has no turn to drop.

    Args:
        policy: what to keep.
        messages: ends with the question.
        tokens: needed by policies that count tokens.

    Raises:
        ValueError: such a policy without `tokens`.
    """
    if policy.limit is None:
        return SentConversation(messages, 0)
    parts = _parts(messages)
    if policy.kind == "last-turns":
        kept = min(policy.limit, len(parts.turns))
    elif tokens is None:
        raise ValueError(f"the policy {policy} needs a token counter")
    elif policy.kind == "last-tokens":
        kept = _fitting(parts, policy.limit, tokens)
    else:
        kept = _kept_by_qwen_v1(parts.turns, tokens.system_text(messages), policy.limit, tokens)
    return SentConversation(parts.with_newest(kept), len(parts.turns) - kept)


class _ConversationParts(NamedTuple):
    """A conversation taken apart: system message, turns, question."""

    opening: Conversation
    turns: tuple[Conversation, ...]
    question: Message

    def with_newest(self, count: int) -> Conversation:
        """The conversation with the newest turns only."""
        kept = self.turns[len(self.turns) - count :]
        return (*self.opening, *(message for turn in kept for message in turn), self.question)


def _parts(messages: Conversation) -> _ConversationParts:
    history, question = messages[:-1], messages[-1]
    starts = [place for place, message in enumerate(history) if message.role == "user"]
    edges = [*starts, len(history)]
    turns = tuple(history[start:end] for start, end in pairwise(edges))
    return _ConversationParts(history[: edges[0]], turns, question)


def _fitting(parts: _ConversationParts, limit: int, tokens: TokenCounter) -> int:
    """How many of the newest turns fit; found by halving, as a further turn never shortens it."""

    def size(count: int) -> int:
        return tokens.prompt_tokens(parts.with_newest(count))

    return bisect_right(range(1, len(parts.turns) + 1), limit, key=size)


def _kept_by_qwen_v1(
    turns: Sequence[Conversation], system: str | None, window: int, tokens: TokenCounter
) -> int:
    """How many of the newest turns the `make_context` of Qwen v1 keeps.

    Every segment is encoded alone, turns are joined by a newline, the comparison is strict, and
    question and generation prompt are not counted. The first turn that does not fit ends it, so
    one long turn hides everything older.

    Source: `qwen_generation_utils.py` of QwenLM/Qwen (Apache-2.0), rules re-stated.
    """
    newline = tokens.text_tokens("\n")

    def block(message: Message) -> int:
        header = tokens.text_tokens(message.role) + newline
        return _MARKERS + header + tokens.text_tokens(message.content)

    used = 0 if system is None else block(Message("system", system))
    for count, turn in enumerate(reversed(turns)):
        used += sum(newline + block(message) for message in turn)
        if used >= window:
            return count
    return len(turns)
