"""A small LoRA training loop: rows in, a trained adapter and its loss curve out.

One row at a time, gradients accumulated; the loss of a step is the sum over all trained tokens of
its batch divided by their number, so short answers do not dominate long ones. Knows ids and
tensors, nothing of chats or files.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from qwen_bench.errors import EngineError
from qwen_bench.training.labelled_rows import Row

MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        steps: optimizer steps.
        batch: rows a step.
        lr: learning rate after the warm-up; it then falls linearly to a tenth.
        warmup: steps in which the rate rises linearly.
        weight_decay: of AdamW.
        bfloat16: compute in bfloat16 where autocast allows it; weights stay as they are.
        seed: of the order of rows; adapter weights are drawn before.
    """

    steps: int
    batch: int
    lr: float
    warmup: int
    weight_decay: float
    bfloat16: bool
    seed: int


@dataclass(frozen=True, slots=True)
class StepReport:
    """One optimizer step.

    Attributes:
        step: number from 1.
        loss: mean negative log-likelihood of the trained tokens, nats a token.
        tokens: ids put through the model so far.
        seconds: since the first step began.
    """

    step: int
    loss: float
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Fit:
    """How well rows are predicted.

    Attributes:
        loss: mean negative log-likelihood a trained token, in nats.
        exact: answers of which every token was the most likely one, closer included.
        answers: all answers.
    """

    loss: float
    exact: int
    answers: int


def supports_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is computed natively there; emulation is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - no public form
    return False


def train(
    model: Any,  # noqa: ANN401 - a PEFT model has no usable static type
    rows: Sequence[Row],
    schedule: Schedule,
    device: torch.device,
    on_step: Callable[[StepReport], None],
) -> list[StepReport]:
    """Train the parameters of `model` that require gradients.

    Args:
        model: called with transformers' keyword arguments.
        rows: each holds at least one trained token.
        schedule: see there.
        device: where the model is.
        on_step: called after every step.

    Returns:
        All step reports.

    Raises:
        EngineError: the loss is not finite.
    """
    parameters = [tensor for tensor in model.parameters() if tensor.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=schedule.lr, weight_decay=schedule.weight_decay)
    order = _order(len(rows), schedule.seed)
    reports: list[StepReport] = []
    tokens = 0
    began = time.perf_counter()
    model.train()
    for step in range(1, schedule.steps + 1):
        batch = [rows[next(order)] for _ in range(schedule.batch)]
        for group in optimizer.param_groups:
            group["lr"] = schedule.lr * _rate(step, schedule)
        total = sum(row.trained_tokens for row in batch)
        loss = 0.0
        for row in batch:
            with _precision(device, bfloat16=schedule.bfloat16):
                part = row_loss(model, row, device) / total
            part.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            loss += float(part.detach())
            tokens += len(row.ids)
        if loss != loss or loss == float("inf"):  # noqa: PLR0124 - NaN
            raise EngineError(
                f"the loss is not finite at step {step}", fix="a smaller --lr, for example a third"
            )
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        reports.append(StepReport(step, loss, tokens, time.perf_counter() - began))
        on_step(reports[-1])
    model.eval()
    return reports


def row_loss(model: Any, row: Row, device: torch.device) -> torch.Tensor:  # noqa: ANN401 - as above
    """Sum of the negative log-likelihoods of a row's trained tokens, a scalar in float32."""
    logits, wanted = _logits(model, row, device)
    return cross_entropy(logits, wanted, reduction="sum")


def measure(
    model: Any,  # noqa: ANN401 - as above
    rows: Sequence[Row],
    device: torch.device,
    *,
    bfloat16: bool,
) -> Fit:
    """Loss on rows and how many answers are predicted whole, each given the true text before it."""
    loss, trained, exact, answers = 0.0, 0, 0, 0
    model.eval()
    for row in rows:
        with torch.no_grad(), _precision(device, bfloat16=bfloat16):
            logits, wanted = _logits(model, row, device)
        loss += float(cross_entropy(logits, wanted, reduction="sum"))
        right = (logits.argmax(-1) == wanted).tolist()
        start = 0
        for span in row.spans:
            length = span.end - span.start
            exact += all(right[start : start + length])
            start += length
        trained += start
        answers += len(row.spans)
    return Fit(loss / trained, exact, answers)


def _logits(model: Any, row: Row, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401 - as above
    """Logits (trained, vocabulary) in float32 that predict the trained tokens, and those tokens.

    Only these positions are computed: 4,096 positions of a 152k vocabulary take 2.5 GB.
    """
    places = [i for span in row.spans for i in range(span.start, span.end)]
    ids = torch.tensor([row.ids], device=device)
    keep = torch.tensor(places, device=device) - 1
    output = model(input_ids=ids, logits_to_keep=keep, use_cache=False)
    return output.logits[0].float(), ids[0, keep + 1]


def _precision(device: torch.device, *, bfloat16: bool) -> AbstractContextManager[object]:
    return torch.autocast(device.type, dtype=torch.bfloat16) if bfloat16 else nullcontext()


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
