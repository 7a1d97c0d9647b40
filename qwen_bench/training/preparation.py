"""A data set as checked rows, with account of everything that was left out.

Applies the length rule and refuses data from which too little would be learned. Knows token ids,
not tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from qwen_bench.chat.jsonl import ChatRecord
from qwen_bench.chat.rendering import ChatSettings
from qwen_bench.engines.prompter import Prompter
from qwen_bench.errors import DataError, InputError
from qwen_bench.training.labelled_rows import (
    Row,
    Target,
    check_row,
    closer_of,
    make_targets,
    rows_of,
)

MOST_DROPPED = 0.2
"""Largest share of targets that `max_length` may cost before training is refused."""


@dataclass(frozen=True, slots=True)
class RowCounts:
    """What became of the data.

    Attributes:
        conversations: records read.
        targets: answers to train, dropped ones included.
        dropped: answers that do not fit the length.
        cut: conversations that lost answers, those that lost all of them included.
        dropped_whole: conversations that lost all of them.
        unanswered: conversations that end with a user message, which is left out.
        untrained: conversations without a target, by their ``loss`` keys.
        several_rows: conversations that need one row a turn.
        rows: training sequences.
        tokens: ids in all rows.
        trained_tokens: ids with a label.
        expansion: `tokens` relative to one row a conversation; 1.0 when nothing is repeated.
        share_by_turn: for each exchange index, trained answers relative to all answers there.
    """

    conversations: int
    targets: int
    dropped: int
    cut: int
    dropped_whole: int
    unanswered: int
    untrained: int
    several_rows: int
    rows: int
    tokens: int
    trained_tokens: int
    expansion: float
    share_by_turn: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One conversation: its targets, those that fit, and the rows made of them."""

    record: ChatRecord
    targets: tuple[Target, ...]
    kept: tuple[Target, ...]
    rows: tuple[Row, ...]


def make_rows(
    records: Iterable[ChatRecord],
    settings: ChatSettings,
    tokenizer: Any,  # noqa: ANN401 - transformers tokenizers are untyped
    max_length: int,
) -> tuple[list[Row], RowCounts]:
    """Rows of a data set, checked, and what became of the data.

    A target that ends beyond `max_length` tokens is dropped with its exchange, so conversations
    lose exchanges from the end: later answers refer to facts in early turns, and a target that is
    cut inside would teach the model not to stop.

    Raises:
        DataError: there is nothing to train on.
        InputError: more than a fifth of the targets do not fit.
        TemplateError: an answer cannot be rendered or encoded faithfully.
    """
    prompter = Prompter(tokenizer, settings)
    closer = closer_of(prompter)
    prepared = [_prepare(record, prompter, closer, max_length) for record in records]
    counts = _count(prepared)
    if not counts.targets:
        raise DataError(
            "data",
            None,
            f"0 of {counts.conversations} conversations have a trained answer",
            fix='remove "loss": false from the answers that are to be learned',
        )
    if counts.dropped > MOST_DROPPED * counts.targets:
        longest = max(len(target.ids) for item in prepared for target in item.targets)
        raise InputError(
            f"{counts.dropped} of {counts.targets} answers do not fit --max-length {max_length}",
            why="more than 20 % of what is to be learned would be gone",
            fix=f"--max-length {longest} keeps all of them",
        )
    return [row for item in prepared for row in item.rows], counts


def _prepare(record: ChatRecord, prompter: Prompter, closer: str, max_length: int) -> _Prepared:
    targets = make_targets(record, prompter, closer)
    kept = [target for target in targets if len(target.ids) <= max_length]
    rows = rows_of(record.id, kept)
    texts = iter(kept)
    for row in rows:
        check_row(row, [next(texts).text for _ in row.spans], prompter.tokenizer, closer)
    return _Prepared(record, tuple(targets), tuple(kept), tuple(rows))


def _count(prepared: Sequence[_Prepared]) -> RowCounts:
    rows = [row for item in prepared for row in item.rows]
    tokens = sum(len(row.ids) for row in rows)
    single = sum(max((len(row.ids) for row in item.rows), default=0) for item in prepared)
    return RowCounts(
        conversations=len(prepared),
        targets=sum(len(item.targets) for item in prepared),
        dropped=sum(len(item.targets) - len(item.kept) for item in prepared),
        cut=sum(len(item.kept) < len(item.targets) for item in prepared),
        dropped_whole=sum(bool(item.targets) and not item.kept for item in prepared),
        unanswered=sum(item.record.messages[-1].role == "user" for item in prepared),
        untrained=sum(not item.targets for item in prepared),
        several_rows=sum(len(item.rows) > 1 for item in prepared),
        rows=len(rows),
        tokens=tokens,
        trained_tokens=sum(row.trained_tokens for row in rows),
        expansion=round(tokens / single, 3) if single else 1.0,
        share_by_turn=_share_by_turn(prepared),
    )


def _share_by_turn(prepared: Sequence[_Prepared]) -> tuple[float, ...]:
    present: dict[int, int] = {}
    trained: dict[int, int] = {}
    for item in prepared:
        turn = -1
        for message in item.record.messages:
            turn += message.role == "user"
            if message.role == "assistant":
                present[turn] = present.get(turn, 0) + 1
        for target in item.kept:
            trained[target.turn] = trained.get(target.turn, 0) + 1
    return tuple(round(trained.get(turn, 0) / present[turn], 3) for turn in sorted(present))
