"""One answer being generated: which token comes next, and when it is enough.

A row takes the logits at the end of what it has so far and decides. Thought and answer have budgets
of their own; a thought is never closed by force. Knows token ids and logits; nothing of caches,
trees' shapes or models.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from qwen_bench.chat.messages import THINK_CLOSE, THINK_OPEN
from qwen_bench.protocol import GREEDY, Sampling

_TAIL = 8
"""Tokens looked at for a closing tag that is not one token."""


class Written(NamedTuple):
    """A generated answer.

    Attributes:
        tokens: ids, a stop token included as the last one.
        thought_tokens: how many of them are the thought, its closing tag included.
        thinking: whether the thought had not ended.
        stopped: whether the last one is a stop token, or completed a text that stops.
        margin: smallest gap between the best two log-probabilities at any token, in nats.
        stop_text: the text that ended it; None where a token did, or nothing.
    """

    tokens: tuple[int, ...]
    thought_tokens: int
    thinking: bool
    stopped: bool
    margin: float
    stop_text: str | None = None


class Stopping(NamedTuple):
    """What ends answers and thoughts of a model.

    Attributes:
        ids: tokens that end an answer.
        text: text of some ids, special tokens kept; tells thoughts from answers.
        texts: strings that end an answer, for markers that are no single token.
    """

    ids: frozenset[int]
    text: Callable[[Sequence[int]], str]
    texts: tuple[str, ...] = ()

    def text_in(self, tokens: Sequence[int]) -> str | None:
        """The text of `texts` that the last of some tokens completed; None without one."""
        if not self.texts:
            return None
        # A token has a byte of the text at least, but for the first, which may begin before it.
        most = max(len(text.encode()) for text in self.texts) + 1
        tail = self.text(tokens[-most:])
        return next((text for text in self.texts if text in tail), None)


class Budget(NamedTuple):
    """Most tokens of an answer, and of the thought before it."""

    answer: int
    thought: int


NOTHING = Budget(0, 0)


@dataclass(slots=True)
class GeneratedRow:
    """One sequence being generated.

    Attributes:
        start: node of the prompt's last token.
        budget: tokens it may have.
        opened: whether the prompt itself opened a thought.
        sampling: how tokens are chosen.
        key: request id that seeds the draws.
        tokens: ids so far.
        margins: gap between the best two log-probabilities at each of them, in nats.
    """

    start: int
    budget: Budget
    opened: bool = False
    sampling: Sampling = GREEDY
    key: str = ""
    tokens: list[int] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    stopped: bool = False
    stop_text: str | None = None
    thought_tokens: int | None = None
    _thinking: bool | None = None
    _generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        self._thinking = True if self.opened else None

    @property
    def live(self) -> bool:
        """Whether another token is wanted."""
        if self.stopped:
            return False
        if self._thinking:
            return len(self.tokens) < self.budget.thought
        return len(self.tokens) - (self.thought_tokens or 0) < self.budget.answer

    @property
    def most_tokens(self) -> int:
        """Tokens it can still have fed back at most, thought included."""
        thought = self.budget.thought if self._thinking is not False else 0
        return thought + self.budget.answer

    def take(self, token: int, margin: float, stopping: Stopping) -> None:
        """Append a token."""
        self.tokens.append(token)
        self.margins.append(margin)
        self.stop_text = None if token in stopping.ids else stopping.text_in(self.tokens)
        if token in stopping.ids or self.stop_text is not None:
            self.stopped = True
            return
        if self._thinking is None:
            self._thinking = self._begins_thought(stopping)
        if self._thinking:
            tail = stopping.text(self.tokens[-_TAIL:])
            if THINK_CLOSE in tail:
                self._thinking = False
                self.thought_tokens = len(self.tokens)

    def _begins_thought(self, stopping: Stopping) -> bool | None:
        """Whether the output opens with a thought; None as long as it cannot be told."""
        text = stopping.text(self.tokens).lstrip()
        if text.startswith(THINK_OPEN):
            return True
        return None if THINK_OPEN.startswith(text) else False

    def draw(self, logits: torch.Tensor) -> int:
        """Token id drawn from (vocabulary,) logits by the row's own generator, on the CPU."""
        if self._generator is None:
            digest = hashlib.sha256(f"{self.sampling.seed}\t{self.key}".encode()).digest()
            self._generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        probabilities = filtered(logits.detach().cpu().float(), self.sampling)
        return int(torch.multinomial(probabilities, 1, generator=self._generator))

    def written(self, budget: Budget) -> Written:
        """The answer as a budget, not larger than the row's, cuts it."""
        thought = len(self.tokens) if self._thinking else self.thought_tokens or 0
        if self._thinking or thought > budget.thought:
            end, thinking = min(thought, budget.thought), True
        else:
            end, thinking = thought + budget.answer, False
        tokens = tuple(self.tokens[:end])
        stopped = self.stopped and len(self.tokens) <= end
        return Written(
            tokens,
            min(thought, len(tokens)),
            thinking,
            stopped,
            min(self.margins[:end]),
            self.stop_text if stopped else None,
        )


def filtered(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """(vocabulary,) probabilities after temperature, then top-k, then top-p, in that order."""
    scaled = logits / sampling.temperature
    if 0 < sampling.top_k < len(scaled):
        least = scaled.topk(sampling.top_k).values[-1]
        scaled = scaled.masked_fill(scaled < least, float("-inf"))
    probabilities = scaled.softmax(-1)
    if sampling.top_p < 1:
        ordered, order = probabilities.sort(descending=True, stable=True)
        beyond = ordered.cumsum(-1) - ordered >= sampling.top_p
        probabilities[order[beyond]] = 0
        probabilities /= probabilities.sum()
    return probabilities


def advance(rows: Sequence[GeneratedRow], logits: torch.Tensor, stopping: Stopping) -> None:
    """Give every row its next token.

    Args:
        rows: live ones.
        logits: (len(rows), vocabulary) at the last token of each.
        stopping: of the model.
    """
    if not rows:
        return
    part = logits.float()
    top = part.topk(2, dim=-1).values
    best = part.argmax(-1).tolist()
    margins = (top[:, 0] - top[:, 1]).tolist()
    for place, row in enumerate(rows):
        token = row.draw(part[place]) if row.sampling.temperature else best[place]
        row.take(token, margins[place], stopping)
