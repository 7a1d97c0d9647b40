"""The recipe from end to end: data, rows, training, checks, and the adapter folder.

The folder appears whole at the end or not at all. Knows files and models; prints through `say`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from qwen_bench.chat.jsonl import ChatRecord, read_records, record_line
from qwen_bench.chat.rendering import ChatSettings, choose_template, effective_thinking, render
from qwen_bench.engines.loading import LoadedBase, load_base
from qwen_bench.engines.options import EngineOptions
from qwen_bench.engines.spec import ModelSpec
from qwen_bench.errors import InputError
from qwen_bench.probes.draws import Stream
from qwen_bench.runs.provenance import hardware, package_versions, redact_argv, tool_info
from qwen_bench.training.adapter import AdapterCheck, add_lora, check_adapter, save_adapter, seeded
from qwen_bench.training.data import Generation, generate, training_families
from qwen_bench.training.preparation import RowCounts, make_rows
from qwen_bench.training.recipe import NamedRecipe
from qwen_bench.training.record import (
    ORDINARY_CHATS,
    adapter_readme,
    to_json,
    without_machine_paths,
)
from qwen_bench.training.rows import Row
from qwen_bench.training.trainer import (
    Fit,
    Schedule,
    StepReport,
    measure,
    supports_bfloat16,
    train,
)

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
    template = choose_template(None, base.tokenizer.chat_template, job.base.default_label)
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
    lines = [
        f"rows     {counts.rows} rows, {counts.tokens} tokens, {counts.trained_tokens} trained in "
        f"{counts.targets - counts.dropped} answers",
        "turns    trained share by turn  "
        + " ".join(f"{share:.2f}" for share in counts.share_by_turn),
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


def time_step(job: Job, material: Material) -> StepReport:
    """One training step on a fresh adapter, which is thrown away."""
    with seeded(job.recipe.recipe.seed):
        model = add_lora(material.base, job.recipe.recipe.lora)
        schedule = _schedule(job, material.base.device, steps=1)
        (report,) = train(model, material.rows, schedule, material.base.device, lambda _: None)
    return report


def finetune(job: Job, material: Material, say: Say) -> Path:
    """Train, check and write the adapter.

    Args:
        job: what to train.
        material: from `prepare`.
        say: takes progress lines.

    Returns:
        The adapter folder.

    Raises:
        InputError: the target modules are not in the base.
        EngineError: the loss is not finite.
        AdapterMismatchError: the result changes nothing or is broken.
    """
    recipe, base = job.recipe.recipe, material.base
    schedule = _schedule(job, base.device, steps=recipe.steps)
    with seeded(recipe.seed), _new_folder(job.out) as folder:
        model = add_lora(base, recipe.lora)
        before = _fit(model, material, schedule)
        reports = train(model, material.rows, schedule, base.device, _progress(say, recipe.steps))
        after = _fit(model, material, schedule)
        if before is not None and after is not None:
            say(
                f"held out loss {before.loss:.3f} -> {after.loss:.3f}, answers predicted whole "
                f"{before.exact} -> {after.exact} of {after.answers}"
            )
        save_adapter(model, base, job.base, folder)
        check = check_adapter(model, base, folder, _ordinary_rows(material))
        for line in check.warnings:
            say(f"warning  {line}")
        record = _record(job, material, schedule, reports, (before, after), check)
        (folder / "training.json").write_text(to_json(record), "utf-8")
        (folder / "README.md").write_text(adapter_readme(record, _shown(job.out)), "utf-8")
    return job.out


def refuse_existing(out: Path) -> None:
    """Never write over something.

    Raises:
        InputError: `out` is there already, or its parent is no folder.
    """
    if out.exists() or out.is_symlink():
        raise InputError(
            f"--out {out} exists and is not overwritten", fix="another --out, or remove it first"
        )
    for parent in out.absolute().parents:
        if parent.exists():
            if not parent.is_dir():
                raise InputError(f"--out {out}: {parent} is not a folder", fix="another --out")
            return


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that becomes `out` when all went well and vanishes otherwise."""
    refuse_existing(out)
    work = out.parent / f".{out.name}.partial-{os.getpid()}"
    work.mkdir(parents=True)
    try:
        yield work
        refuse_existing(out)
        work.replace(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


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
            f"{path.name} has {len(records)} conversations and {recipe.held_out} are to be held out",
            fix="held_out: 0 in the recipe, or more data",
        )
    order = Stream("held out", recipe.seed).sample(len(records), len(records))
    back = set(order[: recipe.held_out])
    return (
        path.name,
        [record for i, record in enumerate(records) if i not in back],
        [record for i, record in enumerate(records) if i in back],
    )


def _schedule(job: Job, device: torch.device, *, steps: int) -> Schedule:
    recipe = job.recipe.recipe
    native = recipe.precision == "auto" and supports_bfloat16(device)
    return Schedule(
        steps=steps,
        batch=recipe.batch,
        lr=recipe.lr,
        warmup=recipe.warmup,
        weight_decay=recipe.weight_decay,
        bfloat16=native or recipe.precision == "bfloat16",
        seed=recipe.seed,
    )


def _fit(model: Any, material: Material, schedule: Schedule) -> Fit | None:  # noqa: ANN401
    if not material.held_out:
        return None
    return measure(model, material.held_out, material.base.device, bfloat16=schedule.bfloat16)


def _progress(say: Say, steps: int) -> Callable[[StepReport], None]:
    """A line a step: loss, tokens per second, time left."""

    def show(report: StepReport) -> None:
        left = report.seconds / report.step * (steps - report.step)
        say(
            f"step {report.step:>4}/{steps}  loss {report.loss:.3f}  "
            f"{report.tokens / report.seconds:.0f} tokens/s  {left:.0f} s left"
        )

    return show


def _ordinary_rows(material: Material) -> list[Row]:
    records = [
        ChatRecord(f"ordinary-{i}", chat, (*(False for _ in chat[:-1]), True))
        for i, chat in enumerate(ORDINARY_CHATS)
    ]
    return make_rows(records, material.settings, material.base.tokenizer, 1 << 30)[0]


def _shown(out: Path) -> str:
    """The folder as it can stand in a README: absolute paths by their last component."""
    return out.name if out.is_absolute() else out.as_posix()


def _record(
    job: Job,
    material: Material,
    schedule: Schedule,
    reports: Sequence[StepReport],
    fits: tuple[Fit | None, Fit | None],
    check: AdapterCheck,
) -> dict[str, Any]:
    """The content of `training.json`."""
    base, settings = material.base, material.settings
    tool = tool_info()
    values = job.recipe.recipe.model_dump(mode="json")
    if values["data"] is not None:
        values["data"] = Path(values["data"]).name
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "tool": {"name": "qwen-bench", "version": tool.version, "git_commit": tool.git_commit},
        "command": without_machine_paths(redact_argv(job.command)),
        "base": {
            "spec": job.base.name,
            "kind": job.base.kind,
            "resolved": base.source.resolved,
            "revision": base.source.revision,
            "fingerprint": base.source.fingerprint,
            "architecture": base.architecture,
            "parameters": base.parameters,
            "dtype": str(base.dtype).removeprefix("torch."),
        },
        "template": {
            "source": settings.template.source,
            "sha256": settings.template.sha256,
            "thinking": settings.thinking,
            "effective_thinking": effective_thinking(settings, base.tokenizer),
            "system": settings.system,
            "renderings": [
                render(chat, settings.template, base.tokenizer, add_generation_prompt=False)
                for chat in ORDINARY_CHATS
            ],
        },
        "data": {
            "name": material.name,
            "sha256": material.sha256,
            "rows": asdict(material.counts),
        },
        "held_out": {
            "rows": asdict(material.held_out_counts) if material.held_out_counts else None,
            "before": asdict(fits[0]) if fits[0] else None,
            "after": asdict(fits[1]) if fits[1] else None,
        },
        "recipe": {
            "name": without_machine_paths([job.recipe.name]),
            "sha256": job.recipe.sha256,
            "values": values,
        },
        "schedule": asdict(schedule),
        "result": {
            "steps": len(reports),
            "seconds": round(reports[-1].seconds, 1),
            "tokens": reports[-1].tokens,
            "loss_curve": [round(report.loss, 4) for report in reports],
            **{key: value for key, value in asdict(check).items() if key != "warnings"},
            "warnings": list(check.warnings),
        },
        "machine": {
            **hardware(),
            "device": str(base.device),
            "threads": torch.get_num_threads(),
            "packages": package_versions(),
        },
    }
