"""What is fixed before the first step: the data, the loaded base, and the rows.

Applies the length rule and accounts for everything that was left out. Knows files and models;
trains nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from qwen_bench.chat.chat_record import ChatRecord
from qwen_bench.chat.jsonl import read_records, record_line
from qwen_bench.chat.plain_text import text_fault
from qwen_bench.chat.rendering import ChatSettings, Thinking, choose_template
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.loading import LoadedBase, load_base, shipped_template
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.prompter import Prompter
from qwen_bench.errors import DataError, InputError
from qwen_bench.probes.seeded_draws import Stream
from qwen_bench.training.labelled_rows import (
    LabelledRow,
    Target,
    check_row,
    end_of_turn_of,
    make_targets,
    rows_of,
)
from qwen_bench.training.recipe import NamedRecipe
from qwen_bench.training.trainer import own_device
from qwen_bench.training.training_dialogues import generate

Say = Callable[[str], None]
MOST_DROPPED = 0.2
"""Largest share of targets that `max_length` may cost before training is refused."""


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What to train."""

    base: ModelSpec  # a full model; not an adapter, not a mock
    recipe: NamedRecipe  # values already hold what flags changed
    out: Path  # folder to make; must not exist
    command: Sequence[str]  # words of the command line, for the record


@dataclass(frozen=True, slots=True)
class RowCounts:
    """What became of the data; part of `training.json`."""

    conversations: int  # records read
    targets: int  # answers to train, dropped ones included
    dropped: int  # answers that do not fit the length
    cut: int  # conversations that lost answers, those that lost all of them included
    dropped_whole: int  # conversations that lost all of them
    unanswered: int  # conversations that end with a user message, which is left out
    untrained: int  # conversations without a target, by their masks
    without_thought: int  # answers whose thought the template does not write
    several_rows: int  # conversations that need one row a turn
    rows: int  # training sequences
    tokens: int  # ids in all rows
    trained_tokens: int  # ids with a label
    expansion: float  # `tokens` relative to one row a conversation; 1.0 when nothing is repeated
    share_by_turn: tuple[float, ...]  # trained answers of all, for each exchange index


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that is fixed before the first step."""

    base: LoadedBase
    settings: ChatSettings
    name: str  # of the data, for people
    sha256: str  # of the conversations as JSONL
    rows: tuple[LabelledRow, ...]
    counts: RowCounts
    held_out: tuple[LabelledRow, ...]  # kept back
    held_out_counts: RowCounts | None
    ignored: Mapping[
        str, int
    ]  # keys of the data that were not read, and how often they stand there


def prepare(job: TrainingJob, say: Say) -> Material:
    """Read or make the data, load the base, and build the rows.

    Raises:
        InputError: the base cannot be trained, or too much does not fit the length.
        DataError: the data cannot be used.
        ModelError: the base cannot be loaded.
    """
    if job.base.kind not in {"embedded", "hub", "local"}:
        raise InputError(
            f"--base {job.base.text}: a LoRA is trained on a full model",
            fix="--base embedded, a Hub id, or a folder with config.json",
        )
    name, records, kept_back = _data(job)
    ignored = Counter(key for record in (*records, *kept_back) for key in record.ignored)
    say(f"data     {name}: {len(records)} conversations, {len(kept_back)} held out")
    for line in _not_read(ignored):
        say(line)
    base = load_base(job.base, EngineOptions(device=own_device()))
    _check_markers(job, (*records, *kept_back), base)
    template = choose_template(None, shipped_template(base.tokenizer), job.base.default_label)
    settings = ChatSettings(template, thinking=_thinking(job, (*records, *kept_back)))
    max_length = min(job.recipe.recipe.max_length, base.context_window or 1 << 30)
    rows, counts = make_rows(records, settings, base.tokenizer, max_length)
    held_out, held_out_counts = (
        make_rows(kept_back, settings, base.tokenizer, max_length) if kept_back else ([], None)
    )
    lines = "".join(record_line(record) + "\n" for record in (*records, *kept_back))
    return Material(
        base,
        settings,
        name,
        hashlib.sha256(lines.encode("utf-8")).hexdigest(),
        tuple(rows),
        counts,
        tuple(held_out),
        held_out_counts,
        dict(sorted(ignored.items())),
    )


def _not_read(ignored: Counter[str]) -> list[str]:
    """A line for people about keys that mean nothing here; empty without any."""
    named = ", ".join(f"{key} ({count})" for key, count in sorted(ignored.items()))
    return [f"warning  keys of the data that are not read: {named}"] if named else []


def _thinking(job: TrainingJob, records: Iterable[ChatRecord]) -> Thinking:
    """The thinking mode that all conversations ask for; auto where they say nothing.

    Raises:
        DataError: they differ, or ask the template for something else.
    """
    file = job.recipe.recipe.data
    first: ChatRecord | None = None
    for record in records:
        first = first or record
        if record.flags != first.flags:
            what = f"chat_template_kwargs: another one than in line {first.line}"
            raise DataError(file, record.line, what, fix="train on one mode at a time")
    for flag, value in first.flags if first else ():
        if flag != "enable_thinking" or not isinstance(value, bool):
            what = f"chat_template_kwargs.{flag}: only enable_thinking, true or false, is passed on"
            raise DataError(file, first.line if first else None, what, fix=f"remove {flag}")
        return "on" if value else "off"
    return "auto"


def _check_markers(job: TrainingJob, records: Iterable[ChatRecord], base: LoadedBase) -> None:
    """Refuse texts that hold a special token of this base beyond those of every ChatML model.

    Raises:
        DataError: with file and line.
    """
    added = base.tokenizer.added_tokens_decoder.values()
    markers = tuple(str(token.content) for token in added if token.special)
    for record in records:
        for message in record.messages if record.line else ():
            calls = (text for call in message.tool_calls for text in (call.name, call.arguments))
            texts = (message.content, message.reasoning or "", *calls)
            wrong = next(filter(None, (text_fault(text, markers) for text in texts)), None)
            if wrong is not None:
                raise DataError(
                    job.recipe.recipe.data,
                    record.line,
                    f"{message.role}: {wrong}",
                    fix="take it out of the text",
                )


def describe(material: Material) -> list[str]:
    """Lines about the rows, for people."""
    counts = material.counts
    answers = counts.targets - counts.dropped
    shares = " ".join(f"{share:.2f}" for share in counts.share_by_turn)
    lines = [
        f"rows     {counts.rows} rows, {counts.tokens} tokens",
        f"trained  {counts.trained_tokens} tokens in {answers} answers",
        f"turns    share of answers trained, by turn: {shares}",
    ]
    if counts.dropped:
        lines.append(
            f"length   {counts.cut} conversations cut, {counts.dropped} answers dropped, "
            f"{counts.dropped_whole} conversations dropped whole"
        )
    if counts.unanswered:
        lines.append(f"data     {counts.unanswered} conversations end with a user turn, left out")
    if counts.untrained:
        lines.append(f"data     {counts.untrained} conversations have no trained answer")
    if counts.without_thought:
        lines.append(
            f"warning  {counts.without_thought} answers are trained without their thought, which "
            "this chat template does not write"
        )
    if counts.several_rows:
        lines.append(
            f"rows     {counts.several_rows} conversations need one row a turn: "
            f"{counts.expansion:.1f} x as many tokens as one row a conversation"
        )
    return lines


def _data(job: TrainingJob) -> tuple[str, list[ChatRecord], list[ChatRecord]]:
    """Name of the data, conversations to train on, conversations kept back."""
    recipe = job.recipe.recipe
    if recipe.generate is not None:
        block = recipe.generate
        more = block.model_copy(update={"n": block.n + recipe.held_out})
        records = list(generate(more))
        return "generated from the train split", records[: block.n], records[block.n :]
    assert recipe.data is not None, "a recipe has generate or data"  # noqa: S101 - load_recipe
    path = Path(recipe.data)
    records = list(read_records(path))
    if recipe.held_out >= len(records):
        raise InputError(
            f"{path.name}: {recipe.held_out} of {len(records)} conversations are to be held out",
            fix="held_out: 0 in the recipe, or more data",
        )
    order = Stream("held out", recipe.seed).sample(len(records), len(records))
    back = set(order[: recipe.held_out])
    return (
        path.name,
        [record for i, record in enumerate(records) if i not in back],
        [record for i, record in enumerate(records) if i in back],
    )


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One conversation: its targets, those that fit, and the rows made of them."""

    record: ChatRecord
    targets: tuple[Target, ...]
    kept: tuple[Target, ...]
    rows: tuple[LabelledRow, ...]


def make_rows(
    records: Iterable[ChatRecord],
    settings: ChatSettings,
    tokenizer: Any,  # noqa: ANN401 - transformers tokenizers are untyped
    max_length: int,
) -> tuple[list[LabelledRow], RowCounts]:
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
    end_of_turn = end_of_turn_of(prompter)
    prepared = [_prepare(record, prompter, end_of_turn, max_length) for record in records]
    counts = _count(prepared)
    if not counts.targets:
        raise DataError(
            "data",
            None,
            f"0 of {counts.conversations} conversations have a trained answer",
            fix='remove masks, such as "loss": false or "weight": 0, from what is to be learned',
        )
    if counts.dropped > MOST_DROPPED * counts.targets:
        longest = max(len(target.ids) for item in prepared for target in item.targets)
        raise InputError(
            f"{counts.dropped} of {counts.targets} answers do not fit --max-length {max_length}",
            why="more than 20 % of what is to be learned would be gone",
            fix=f"--max-length {longest} keeps all of them",
        )
    return [row for item in prepared for row in item.rows], counts


def _prepare(
    record: ChatRecord, prompter: Prompter, end_of_turn: str, max_length: int
) -> _Prepared:
    targets = make_targets(record, prompter, end_of_turn)
    kept = [target for target in targets if len(target.ids) <= max_length]
    rows = rows_of(record.id, kept)
    texts = iter(kept)
    for row in rows:
        check_row(row, [next(texts).text for _ in row.spans], prompter.tokenizer, end_of_turn)
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
        without_thought=sum(target.without_thought for item in prepared for target in item.kept),
        several_rows=sum(len(item.rows) > 1 for item in prepared),
        rows=len(rows),
        tokens=tokens,
        trained_tokens=sum(row.trained_tokens for row in rows),
        expansion=round(tokens / single, 3) if single else 1.0,
        share_by_turn=_share_by_turn(prepared),
    )


def _share_by_turn(prepared: Sequence[_Prepared]) -> tuple[float, ...]:
    present: Counter[int] = Counter()
    trained: Counter[int] = Counter()
    for item in prepared:
        messages = item.record.messages
        users = accumulate(message.role == "user" for message in messages)
        answers = zip(users, messages, strict=True)
        present.update(user - 1 for user, message in answers if message.role == "assistant")
        trained.update(target.turn for target in item.kept)
    return tuple(round(trained[turn] / present[turn], 3) for turn in sorted(present))
