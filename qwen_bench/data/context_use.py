"""Which answers of a file need what was said before? Measured on a model.

The loss of an answer given its whole conversation is compared with its loss given the last exchange
alone: the system message, the last user message, and calls of tools since then.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from qwen_bench.chat.chat_record import ChatRecord
from qwen_bench.engines.loading import LoadedBase
from qwen_bench.engines.prompter import Prompter
from qwen_bench.training.labelled_rows import LabelledRow, Span, end_of_turn_of, make_targets
from qwen_bench.training.trainer import measure

NEEDED = 0.25
"""An answer needs its history when its loss without is this much higher, in nats a token."""


@dataclass(frozen=True, slots=True)
class HistoryUse:
    """One answer.

    Attributes:
        line: of its conversation.
        turn: number of its exchange, from 1.
        tokens: of the answer, its end of turn included.
        loss: with the history, nats a token.
        without: the same without.
    """

    line: int
    turn: int
    tokens: int
    loss: float
    without: float

    @property
    def help(self) -> float:
        """How much the history lowers the loss, nats a token."""
        return self.without - self.loss

    @property
    def needed(self) -> bool:
        """Whether the answer needs its history."""
        return self.help > NEEDED


def later_answers(records: Iterable[ChatRecord], most: int) -> list[ChatRecord]:
    """Conversations up to one of their learned answers, which is behind a second user message.

    Args:
        records: read once.
        most: how many; if there are more, which ones follows from their places alone.
    """
    heap: list[tuple[int, int, int, ChatRecord]] = []
    for number, record in enumerate(records):
        for k in _later(record):
            rank = -int.from_bytes(_hash(number, k), "big")
            cut = replace(
                record,
                messages=record.messages[: k + 1],
                trained=(*(False for _ in range(k)), True),
            )
            push = heapq.heappush if len(heap) < most else heapq.heappushpop
            push(heap, (rank, number, k, cut))
    return [cut for *_, cut in sorted(heap, key=lambda item: item[1:3])]


def _later(record: ChatRecord) -> Iterator[int]:
    users = 0
    for k, message in enumerate(record.messages):
        users += message.role == "user"
        if record.trained[k] and users > 1:
            yield k


def _hash(number: int, k: int) -> bytes:
    return hashlib.blake2b(f"{number} {k}".encode(), digest_size=8).digest()


def without_history(record: ChatRecord) -> ChatRecord:
    """The last exchange of a conversation, behind its system message."""
    last = max(i for i, message in enumerate(record.messages) if message.role == "user")
    kept = [i for i, m in enumerate(record.messages) if i >= last or m.role == "system"]
    return replace(
        record,
        messages=tuple(record.messages[i] for i in kept),
        trained=tuple(record.trained[i] for i in kept),
    )


def history_use(
    records: Iterable[ChatRecord], base: LoadedBase, prompter: Prompter
) -> Iterator[HistoryUse]:
    """Measure the last answer of each conversation; those longer than the window are passed over.

    Raises:
        TemplateError: an answer cannot be rendered.
    """
    window = base.context_window or 1 << 30
    end_of_turn = end_of_turn_of(prompter)
    for record in records:
        whole = _row(record, prompter, end_of_turn)
        if len(whole.ids) > window:
            continue
        alone = _row(without_history(record), prompter, end_of_turn)
        losses = [
            measure(base.model, [row], base.device, bfloat16=False).loss for row in (whole, alone)
        ]
        turn = sum(message.role == "user" for message in record.messages)
        yield HistoryUse(record.line, turn, whole.trained_tokens, *losses)


def _row(record: ChatRecord, prompter: Prompter, end_of_turn: str) -> LabelledRow:
    (target,) = make_targets(record, prompter, end_of_turn)
    span = Span(len(target.prompt), len(target.ids), target.turn)
    return LabelledRow(record.id, target.ids, (span,))
