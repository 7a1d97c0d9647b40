"""What is fixed before the first step: the data, the loaded base, the rows, and how they look.

Knows files and models; trains nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_bench.chat.jsonl import ChatRecord, read_records, record_line
from qwen_bench.chat.rendering import ChatSettings, choose_template
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.loading import LoadedBase, load_base, shipped_template
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.errors import InputError
from qwen_bench.probes.seeded_draws import Stream
from qwen_bench.training.labelled_rows import Row
from qwen_bench.training.preparation import RowCounts, make_rows
from qwen_bench.training.recipe import NamedRecipe
from qwen_bench.training.training_dialogues import Generation, generate, training_families

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What to train.

    Attributes:
        base: a full model; not an adapter, not a mock.
        recipe: values already hold what flags changed.
        out: folder to make; must not exist.
        command: words of the command line, for the record.
    """

    base: ModelSpec
    recipe: NamedRecipe
    out: Path
    command: Sequence[str]


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that is fixed before the first step.

    Attributes:
        name: of the data, for people.
        sha256: of the conversations as JSONL.
        rows, held_out: training rows, and rows kept back.
        counts, held_out_counts: what became of the conversations; None without held-out ones.
    """

    base: LoadedBase
    settings: ChatSettings
    name: str
    sha256: str
    rows: tuple[Row, ...]
    counts: RowCounts
    held_out: tuple[Row, ...]
    held_out_counts: RowCounts | None


def prepare(job: Job, say: Say) -> Material:
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
    say(f"data     {name}: {len(records)} conversations, {len(kept_back)} held out")
    base = load_base(job.base, EngineOptions())
    template = choose_template(None, shipped_template(base.tokenizer), job.base.default_label)
    settings = ChatSettings(template)
    max_length = min(job.recipe.recipe.max_length, base.context_window or 1 << 30)
    rows, counts = make_rows(records, settings, base.tokenizer, max_length)
    held_out, held_out_counts = (
        make_rows(kept_back, settings, base.tokenizer, max_length) if kept_back else ([], None)
    )
    lines = "".join(record_line(record) + "\n" for record in (*records, *kept_back))
    digest = hashlib.sha256(lines.encode("utf-8")).hexdigest()
    return Material(
        base,
        settings,
        name,
        digest,
        tuple(rows),
        counts,
        tuple(held_out),
        held_out_counts,
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
    if counts.several_rows:
        lines.append(
            f"rows     {counts.several_rows} conversations need one row a turn: "
            f"{counts.expansion:.1f} x as many tokens as one row a conversation"
        )
    return lines


def marked(row: Row, tokenizer: Any) -> list[str]:  # noqa: ANN401 - a transformers tokenizer
    """A row decoded, trained text between ``[[`` and ``]]``, then a line for each span."""
    text, spans, end = "", [], 0
    for span in row.spans:
        trained = tokenizer.decode(list(row.ids[span.start : span.end]))
        text += tokenizer.decode(list(row.ids[end : span.start])) + f"[[{trained}]]"
        spans.append(f"  turn {span.turn + 1}: {span.end - span.start} tokens  {trained!r}")
        end = span.end
    head = f"row {row.conversation}: {len(row.ids)} tokens, {row.trained_tokens} trained"
    return [head, *text.splitlines(), *spans]


def _data(job: Job) -> tuple[str, list[ChatRecord], list[ChatRecord]]:
    """Name of the data, conversations to train on, conversations kept back."""
    recipe = job.recipe.recipe
    if recipe.generate is not None:
        block = recipe.generate
        wanted = Generation(
            n=block.n + recipe.held_out,
            lengths=block.lengths,
            langs=block.langs,
            families=block.families if block.families is not None else training_families(),
            seed=block.seed,
            early=block.early,
            train_replies=block.train_replies,
        )
        records = list(generate(wanted))
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
