"""The recipe from end to end: training, checks, and the adapter folder.

The folder appears whole at the end or not at all. Prints through `say`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from qwen_bench.chat.jsonl import ChatRecord
from qwen_bench.chat.rendering import effective_thinking, render
from qwen_bench.errors import InputError
from qwen_bench.record.redaction import redact_argv
from qwen_bench.runs.provenance import hardware, package_versions, tool_info
from qwen_bench.training.adapter import AdapterCheck, add_lora, check_adapter, save_adapter, seeded
from qwen_bench.training.labelled_rows import Row
from qwen_bench.training.material import Job, Material, Say
from qwen_bench.training.preparation import make_rows
from qwen_bench.training.trainer import (
    Fit,
    Schedule,
    StepReport,
    measure,
    supports_bfloat16,
    train,
)
from qwen_bench.training.training_record import (
    ORDINARY_CHATS,
    adapter_readme,
    to_json,
    without_machine_paths,
)


class Outcome(NamedTuple):
    """What training gave: a report for every step, fits before and after, the finished adapter."""

    reports: Sequence[StepReport]
    before: Fit | None
    after: Fit | None
    check: AdapterCheck


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
        outcome = Outcome(reports, before, after, check)
        record = _record(job, material, schedule, outcome)
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
    outcome: Outcome,
) -> dict[str, Any]:
    """The content of `training.json`."""
    base, settings = material.base, material.settings
    reports, check = outcome.reports, outcome.check
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
            "before": asdict(outcome.before) if outcome.before else None,
            "after": asdict(outcome.after) if outcome.after else None,
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
