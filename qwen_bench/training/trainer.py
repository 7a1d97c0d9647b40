"""Labelled rows in, a trained LoRA and its loss curve out, by transformers' Trainer.

One row at a time, gradients accumulated; the loss of a step is the sum over all trained tokens of
its batch divided by their number, so short answers do not dominate long ones. Started by torchrun
or accelerate launch, processes share the rows of each step, so their number changes nothing but
the time. Knows ids and tensors, nothing of chats.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback, Trainer, TrainingArguments

from qwen_bench.engines.quiet_library import quiet_transformers
from qwen_bench.errors import EngineError, InputError
from qwen_bench.training.adapter import write_weights
from qwen_bench.training.labelled_rows import IGNORED, LabelledRow
from qwen_bench.training.recipe import Schedule

MAX_GRADIENT_NORM = 1.0
CHECKPOINTS = 20
"""How many are written in a training; an interruption loses the steps since the last one."""


class StepReport(NamedTuple):
    """One optimizer step."""

    step: int  # number from 1
    loss: float  # mean negative log-likelihood of the trained tokens, nats a token
    tokens: int  # ids put through the model so far
    seconds: float  # of training so far, without the time an interrupted one lay idle


class Fit(NamedTuple):
    """How well rows are predicted, each answer given the true text before it."""

    loss: float  # mean negative log-likelihood of the trained tokens, nats a token
    exact: int  # answers of which every token, end of turn included, was the most likely one
    answers: int


def launch_number(name: str, default: int) -> int:
    """RANK or WORLD_SIZE, which launchers give to each process they start."""
    return int(os.environ.get(name, default))


def own_device() -> str:
    """Name of the device of this process: launchers give each one a GPU of the machine."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if local is not None and torch.cuda.is_available() else "auto"


def computes_in_bfloat16(schedule: Schedule, device: torch.device) -> bool:
    """Whether to; `auto` does where the device has it, since emulation is slower than float32."""
    if schedule.precision != "auto":
        return schedule.precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - no public form
    return False


def train(
    model: Any,  # noqa: ANN401 - a PEFT model has no usable static type
    rows: Sequence[LabelledRow],
    schedule: Schedule,
    device: torch.device,
    on_step: Callable[[StepReport], None],
    *,
    checkpoints: Path | None = None,
) -> list[StepReport]:
    """Train the parameters of `model` that require gradients.

    Args:
        model: a PEFT model, on `device`.
        rows: each holds at least one trained token.
        schedule: the row order depends on its seed; adapter weights are drawn before.
        device: computes; with several processes, one of theirs.
        on_step: called after every step.
        checkpoints: folder for them; training continues from the last one there. None writes none.

    Returns:
        All step reports, those before an interruption included.

    Raises:
        EngineError: the loss is not finite.
        InputError: several processes cannot share the rows of a step evenly.
    """
    # One long epoch in our own order: every step has the rows it would have in any other setting.
    order = islice(_order(len(rows), schedule.seed), schedule.steps * schedule.batch)
    done = last_checkpoint(checkpoints) if checkpoints is not None else None
    with TemporaryDirectory() as scratch, quiet_transformers(), warnings.catch_warnings():
        # accelerate and PEFT ask for an attribute that transformers 5.23 renamed.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        trainer = _LoraTrainer(
            model,
            _arguments(schedule, device, checkpoints, scratch),
            train_dataset=[rows[i] for i in order],
            data_collator=_one_row,
            compute_loss_func=share_of_loss,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.schedule, trainer.on_step = schedule, on_step
        trainer.clock = time.perf_counter()
        trainer.train(
            resume_from_checkpoint=done is not None and f"{checkpoints}/checkpoint-{done}"
        )
    # Takes autocast off the model again, which accelerate had put around it.
    trainer.accelerator.unwrap_model(trainer.model_wrapped, keep_fp32_wrapper=False)
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()
    model.eval()
    return _reports(trainer.state)


def last_checkpoint(folder: Path) -> int | None:
    """The step of the newest checkpoint that was written to its end; its state is written last."""
    steps = [int(path.name.rpartition("-")[2]) for path in folder.glob("checkpoint-*")]
    for step in sorted(steps, reverse=True):
        try:
            json.loads((folder / f"checkpoint-{step}" / "trainer_state.json").read_text("utf-8"))
        except (OSError, ValueError):
            continue
        return step
    return None


def measure(
    model: Any,  # noqa: ANN401 - as above
    rows: Sequence[LabelledRow],
    device: torch.device,
    *,
    bfloat16: bool,
) -> Fit:
    """Loss on rows, and how many answers are predicted whole."""
    loss, trained, exact = 0.0, 0, 0
    model.eval()
    for row in rows:
        inputs = {name: tensor.to(device) for name, tensor in _one_row([row]).items()}
        labels = inputs.pop("labels")
        wanted = labels[labels != IGNORED]
        autocast = torch.autocast(device.type, torch.bfloat16) if bfloat16 else nullcontext()
        with torch.no_grad(), autocast:
            output = model(**inputs, use_cache=False)
        loss += float(share_of_loss(output, labels, 1))
        right = iter((output.logits[0].argmax(-1) == wanted).tolist())
        exact += sum(all([*islice(right, span.end - span.start)]) for span in row.spans)
        trained += len(wanted)
    return Fit(loss / trained, exact, sum(len(row.spans) for row in rows))


def share_of_loss(
    output: Any,  # noqa: ANN401 - as above
    labels: torch.Tensor,
    num_items_in_batch: torch.Tensor | int,
) -> torch.Tensor:
    """What a row adds to the loss of its step, a scalar in float32.

    Args:
        output: of the model, its logits (1, trained, vocab) at the positions before trained tokens.
        labels: (1, time).
        num_items_in_batch: trained tokens in all rows of the step.
    """
    wanted = labels[labels != IGNORED]
    return cross_entropy(output.logits[0].float(), wanted, reduction="sum") / num_items_in_batch


class _LoraTrainer(Trainer):  # type: ignore[misc] # transformers is untyped
    """Trainer with our schedule, reports instead of prints, and checkpoints of the adapter."""

    schedule: Schedule
    on_step: Callable[[StepReport], None]
    clock: float

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> LambdaLR:
        """Linear rise, then linear fall to a tenth; not among the schedules of transformers."""
        del num_training_steps
        self.lr_scheduler = LambdaLR(
            optimizer or self.optimizer, lambda done: _rate(done + 1, self.schedule)
        )
        return self.lr_scheduler

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the time to what Trainer keeps of a step, and report the step.

        Raises:
            EngineError: the loss is not finite.
        """
        super().log(logs, start_time)
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise EngineError(
                f"the loss is not finite at step {self.state.global_step}",
                fix="a smaller --lr, for example a third",
            )
        *earlier, entry = self.state.log_history
        now = time.perf_counter()
        entry["seconds"] = (earlier[-1]["seconds"] if earlier else 0.0) + now - self.clock
        self.clock = now
        self.on_step(_reports(self.state)[-1])

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:  # noqa: FBT001, FBT002 - Trainer's signature
        """The weights alone: PEFT's own saving may ask the Hub about the base."""
        if self.args.should_save and output_dir is not None:
            Path(output_dir).mkdir(parents=True, exist_ok=True)
            write_weights(self.model, Path(output_dir))


def _arguments(
    schedule: Schedule, device: torch.device, checkpoints: Path | None, scratch: str
) -> TrainingArguments:
    processes = launch_number("WORLD_SIZE", 1)
    if schedule.batch % processes:
        raise InputError(
            f"batch: {schedule.batch} rows a step cannot be shared by {processes} processes",
            fix=f"a multiple of {processes} in the recipe",
        )
    # transformers 5.23 renamed it and warns about the old name.
    renamed = hasattr(TrainingArguments, "activation_checkpointing")
    checkpointing = "activation_checkpointing" if renamed else "gradient_checkpointing"
    arguments = TrainingArguments(
        scratch if checkpoints is None else str(checkpoints),
        max_steps=schedule.steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=schedule.batch // processes,
        train_sampling_strategy="sequential",
        learning_rate=schedule.lr,
        weight_decay=schedule.weight_decay,
        optim="adamw_torch",
        max_grad_norm=MAX_GRADIENT_NORM,
        bf16=computes_in_bfloat16(schedule, device),
        use_cpu=device.type == "cpu",
        seed=schedule.seed,
        ddp_find_unused_parameters=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        include_num_input_tokens_seen="all",
        save_strategy="no" if checkpoints is None else "steps",
        save_steps=math.ceil(schedule.steps / CHECKPOINTS),
        save_total_limit=1,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        report_to=[],
        disable_tqdm=True,
        **{checkpointing: schedule.gradient_checkpointing},
    )
    # Without a launcher one device computes; Trainer would copy the model to all it sees.
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001 - no public form
    return arguments


def _one_row(rows: Sequence[LabelledRow]) -> dict[str, torch.Tensor]:
    """What the model gets of a row: ids and labels (1, time), and where logits are wanted.

    Only the positions before trained tokens are computed: 4,096 positions of a 152k vocabulary take
    2.5 GB. There is no padding, since rows come one at a time.
    """
    (row,) = rows
    labels = torch.tensor([row.labels])
    return {
        "input_ids": torch.tensor([row.ids]),
        "labels": labels,
        "logits_to_keep": (labels[0] != IGNORED).nonzero()[:, 0] - 1,
    }


def _reports(state: Any) -> list[StepReport]:  # noqa: ANN401 - Trainer's state, untyped
    return [
        StepReport(entry["step"], entry["loss"], entry["num_input_tokens_seen"], entry["seconds"])
        for entry in state.log_history
        if "loss" in entry
    ]


def _rate(step: int, schedule: Schedule) -> float:
    """Share of the learning rate at a step: linear rise, then linear fall to a tenth."""
    if step <= schedule.warmup:
        return step / schedule.warmup
    done = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    return 1.0 - 0.9 * done


def _order(count: int, seed: int) -> Iterator[int]:
    """Row numbers without end: every row once an epoch, each epoch in an order of its own."""
    generator = random.Random(seed)  # noqa: S311 - reproducible, not secret
    while True:
        yield from generator.sample(range(count), count)
