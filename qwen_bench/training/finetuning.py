"""The recipe from end to end: training, checks, and the adapter folder.

The folder appears whole at the end or not at all; what an interruption left is continued by the
same command. Prints through `say`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from qwen_bench.chat.chat_record import ChatRecord
from qwen_bench.errors import AdapterMismatchError, InputError, QwenBenchError
from qwen_bench.runs.provenance import package_versions
from qwen_bench.training.adapter import WEIGHTS, add_lora, check_written, save_adapter, seeded
from qwen_bench.training.preparation import Material, Say, TrainingJob, make_rows
from qwen_bench.training.trainer import (
    StepReport,
    computes_in_bfloat16,
    last_checkpoint,
    launch_number,
    measure,
    train,
)
from qwen_bench.training.training_record import ORDINARY_CHATS, TrainingResult, write_record

HARM = 3.0
"""Nats a token by which ordinary answers may become less likely before a warning."""


def time_step(job: TrainingJob, material: Material) -> StepReport:
    """One training step on a fresh adapter, which is thrown away."""
    recipe, base = job.recipe.recipe, material.base
    with seeded(recipe.seed):
        model = add_lora(base, recipe.lora)
        one = recipe.model_copy(update={"steps": 1})
        (report,) = train(model, material.rows, one, base.device, lambda _: None)
    return report


def finetune(job: TrainingJob, material: Material, say: Say) -> Path:
    """Train, check and write the adapter; its folder.

    Of several processes that a launcher started, the first writes; the others only train.

    Raises:
        InputError: the target modules are not in the base, or the folder is there or being made.
        EngineError: the loss is not finite.
        AdapterMismatchError: the result changes nothing or is broken.
    """
    recipe, base, held_out = job.recipe.recipe, material.base, material.held_out
    bfloat16 = computes_in_bfloat16(recipe, base.device)
    work = job.out.parent / f".{job.out.name}.partial-{_settings_hash(job, material)}"
    if launch_number("RANK", 0):
        with seeded(recipe.seed):
            model = add_lora(base, recipe.lora)
            train(model, material.rows, recipe, base.device, lambda _: None, checkpoints=work)
        return job.out
    with seeded(recipe.seed), _work_folder(job.out, work, say):
        model = add_lora(base, recipe.lora)
        done = last_checkpoint(work)
        if done is not None:
            say(f"resumed  after step {done} of {recipe.steps}")
        before = measure(model, held_out, base.device, bfloat16=bfloat16) if held_out else None
        on_step = _progress(say, recipe.steps)
        reports = train(model, material.rows, recipe, base.device, on_step, checkpoints=work)
        after = measure(model, held_out, base.device, bfloat16=bfloat16) if held_out else None
        if before is not None and after is not None:
            say(
                f"held out loss {before.loss:.3f} -> {after.loss:.3f}, answers predicted whole "
                f"{before.exact} -> {after.exact} of {after.answers}"
            )
        folder = work / "adapter"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        save_adapter(model, base, job.base, folder)
        parameters = check_written(model, base, folder)
        change = _ordinary_change(model, material)
        harm = f"the adapter damages ordinary answers: {-change:.1f} nats a token less likely"
        result = TrainingResult(
            reports,
            before,
            after,
            parameters,
            bytes=(folder / WEIGHTS).stat().st_size,
            ordinary_change=round(change, 4),
            warnings=(harm,) if change < -HARM else (),
        )
        for line in result.warnings:
            say(f"warning  {line}")
        write_record(job, material, result, folder)
        refuse_existing(job.out)
        folder.replace(job.out)
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


def _ordinary_change(model: Any, material: Material) -> float:  # noqa: ANN401 - a PEFT model
    """Mean log-probability of fixed everyday answers, adapter minus base, nats a token.

    Raises:
        AdapterMismatchError: there is no change at all.
    """
    records = [
        ChatRecord(f"ordinary-{i}", chat, (*(False for _ in chat[:-1]), True))
        for i, chat in enumerate(ORDINARY_CHATS)
    ]
    rows, _ = make_rows(records, material.settings, material.base.tokenizer, 1 << 30)
    with_adapter = measure(model, rows, material.base.device, bfloat16=False).loss
    with model.disable_adapter():
        change = measure(model, rows, material.base.device, bfloat16=False).loss - with_adapter
    if change == 0:
        raise AdapterMismatchError("the adapter changes no logit of the fixed chats")
    return change


def _settings_hash(job: TrainingJob, material: Material) -> str:
    """Eight hex digits of all that decides the weights; only an equal training is continued."""
    recipe = job.recipe.recipe
    settings = [
        recipe.model_dump(mode="json", exclude={"about", "data"}),
        material.sha256,
        material.base.source.fingerprint,
        material.settings.template.sha256,
        material.base.device.type,
        package_versions(),
    ]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


@contextmanager
def _work_folder(out: Path, work: Path, say: Say) -> Iterator[None]:
    """The folder of checkpoints, which only an interruption after one of them leaves behind.

    Raises:
        InputError: `out` is there already, or another process is at work in the folder.
    """
    refuse_existing(out)
    work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"--out {out} is being made by another process", fix="wait for it, or another --out"
        ) from None
    left = False
    try:
        yield
    except QwenBenchError:
        raise  # the same command would fail in the same way
    except BaseException:
        step = last_checkpoint(work)
        left = step is not None
        if left:
            say(f"stopped  the same command continues after step {step}")
        raise
    finally:
        lock.release()
        if not left:
            shutil.rmtree(work, ignore_errors=True)


def _progress(say: Say, steps: int) -> Callable[[StepReport], None]:
    """A line a step: loss, tokens per second, time left."""

    def show(report: StepReport) -> None:
        left = report.seconds / report.step * (steps - report.step)
        say(
            f"step {report.step:>4}/{steps}  loss {report.loss:.3f}  "
            f"{report.tokens / report.seconds:.0f} tokens/s  {left:.0f} s left"
        )

    return show
