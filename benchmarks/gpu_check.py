"""Equality and speed of the engine on one device, in one table: `make gpu-check`.

    python -m benchmarks.gpu_check --model Qwen/Qwen3-0.6B --device cuda

Written for people with a GPU, because none was there when the engine was made. It also runs on a
CPU (`--device cpu --quick`), which shows that the check itself works and nothing about a GPU.
Exit status 1 if anything that must be equal is not; speeds are only shown.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from benchmarks import grids
from benchmarks.page import table

NEW_TOKENS = 16
FLIP_GAP = {"float32": 1e-4, "bfloat16": 4e-2, "float16": 4e-2}
"""Gap of the best two log-probabilities at which another token is always a numerical tie."""
SCORE_MEAN = {"float32": 1e-4, "bfloat16": 1e-2, "float16": 1e-2}
"""Mean difference of a token's log-probability to a plain forward that is always allowed."""


class Noise(NamedTuple):
    """What 16 bit changes in a plain forward: mean at given tokens, largest at the best two.

    As much is allowed beyond the fixed bounds, because two strategies in 16 bit differ from
    each other as they do from float32; a gap may be twice the largest, because both tokens move.
    """

    mean: float
    largest: float


class Line(NamedTuple):
    """One row of the table; `passed` is None where nothing is demanded."""

    what: str
    dtype: str
    found: str
    bound: str
    passed: bool | None


def main(words: list[str] | None = None) -> int:
    """The command; gives the exit status."""
    given = _parser().parse_args(words)
    import torch  # noqa: PLC0415 - seconds to import

    from qwen_bench.engines.loading import choose_device  # noqa: PLC0415 - as above
    from qwen_bench.errors import QwenBenchError  # noqa: PLC0415 - after the usage is checked

    try:
        device = choose_device(given.device)
    except QwenBenchError as error:
        return _refused(error)
    if device.type == "cpu":
        torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    lines: list[Line] = []
    for dtype in given.dtype or ("float32", "bfloat16"):
        sys.stderr.write(f"checking {given.model} in {dtype} on {device}\n")
        try:
            lines += list(check(given.model, str(device), dtype, quick=given.quick))
        except QwenBenchError as error:
            return _refused(error)
    sys.stdout.write(f"{_heading(given.model, device)}\n\n{_shown(lines)}\n")
    return int(any(line.passed is False for line in lines))


def check(model: str, device: str, dtype: str, *, quick: bool) -> Iterator[Line]:
    """All lines for one number format.

    Args:
        model: SPEC of a full model.
        device: by name.
        dtype: by name.
        quick: short histories and few probes.

    Raises:
        QwenBenchError: the model cannot be had.
    """
    import torch  # noqa: PLC0415 - seconds to import

    from qwen_bench.engines.engine_options import EngineOptions  # noqa: PLC0415
    from qwen_bench.engines.hf.forward import Forward  # noqa: PLC0415 - as above
    from qwen_bench.engines.hf.selfcheck import choose_strategy  # noqa: PLC0415
    from qwen_bench.engines.loading import load_base  # noqa: PLC0415 - as above
    from qwen_bench.engines.model_spec import parse_spec  # noqa: PLC0415
    from qwen_bench.record.counters import Counters  # noqa: PLC0415

    yield from _kernels(device, dtype)
    options = EngineOptions(device=device, dtype=dtype)  # type: ignore[arg-type]  # checked by it
    base = load_base(parse_spec(model), options)
    settings = base.model.generation_config
    settings.eos_token_id, settings.pad_token_id = None, 0
    settings.do_sample, settings.repetition_penalty = False, 1.0
    lengths, probes = ((16, 32, 64), 3) if quick else ((32, 64, 128, 256, 512, 1024, 2048), 20)
    grid = grids.custom(lengths, probes, NEW_TOKENS, int(base.config.vocab_size))
    with torch.inference_mode():
        forward = Forward(base.model, base.config, base.device, base.dtype, Counters())
        choice = choose_strategy(forward, base.model)
        yield Line(
            "way of computing", dtype, choice.strategy, "two-part", choice.strategy == "two-part"
        )
        side = _Side(base, choice.strategy)
        noise = side.noise(grid)
        if noise.mean:
            what = f"plain forward in {dtype}, against float32"
            yield Line(what, dtype, f"{noise.mean:.1e}, largest {noise.largest:.1e}", "", None)
        yield from _scores(side, grid, dtype, noise)
        yield from _answers(side, grid, dtype, noise)
    yield from _adapter(side, grid, dtype)


class _Side:
    """A loaded model, asked by our strategy or plainly."""

    def __init__(self, base: Any, strategy: Any) -> None:  # noqa: ANN401 - torch inside
        self.base = base
        self.strategy = strategy

    def ours(self, grid: grids.Grid, mode: str) -> tuple[list[Any], Any]:
        """Results and counters."""
        from benchmarks.ours import answer_dialogue  # noqa: PLC0415 - after torch
        from qwen_bench.engines.hf.forward import Forward  # noqa: PLC0415 - as above
        from qwen_bench.record.counters import Counters  # noqa: PLC0415

        base, counters = self.base, Counters()
        forward = Forward(base.model, base.config, base.device, base.dtype, counters)
        found = answer_dialogue(
            grid, 0, mode, forward=forward, counters=counters, strategy=self.strategy
        )
        return found, counters

    def logits(self, ids: tuple[int, ...], last: int) -> Any:  # noqa: ANN401 - a tensor
        """(last, vocabulary) float32 logits after the last ids of one plain forward."""
        import torch  # noqa: PLC0415 - already there

        given = torch.tensor([ids], device=self.base.device)
        return self.base.model(given, logits_to_keep=last, use_cache=False).logits[0].float()

    def noise(self, grid: grids.Grid) -> Noise:
        """Plain forwards against those of a float32 copy of the model; nothing for float32."""
        import torch  # noqa: PLC0415 - already there

        if self.base.dtype == torch.float32:
            return Noise(0.0, 0.0)
        given: list[float] = []
        best: list[float] = []
        prompts = grid.flat[:: max(1, len(grid.flat) // 12)]
        narrow = [self.logits(ids[:-1], 4).log_softmax(-1) for ids in prompts]
        wide = copy.deepcopy(self.base.model).float()
        for ids, own in zip(prompts, narrow, strict=True):
            tensor = torch.tensor([ids[:-1]], device=self.base.device)
            plain = wide(tensor, logits_to_keep=4, use_cache=False).logits[0].log_softmax(-1)
            for place, token in enumerate(ids[-4:]):
                gaps = (own[place] - plain[place]).abs()
                given.append(float(gaps[token]))
                best.append(float(gaps[plain[place].topk(2).indices].max()))
        return Noise(fmean(given), max(best))

    def generate(self, prompts: list[tuple[int, ...]], new_tokens: int) -> list[list[int]]:
        """Greedy answers of transformers to prompts, left-padded into one batch."""
        import torch  # noqa: PLC0415 - already there

        width = max(map(len, prompts))
        pads = [width - len(ids) for ids in prompts]
        rows = [[0] * pad + list(ids) for pad, ids in zip(pads, prompts, strict=True)]
        mask = [[0] * pad + [1] * (width - pad) for pad in pads]
        output = self.base.model.generate(
            torch.tensor(rows, device=self.base.device),
            attention_mask=torch.tensor(mask, device=self.base.device),
            max_new_tokens=new_tokens,
        )
        answers: list[list[int]] = output[:, width:].tolist()
        return answers

    def timed(self, work: Callable[[], Any]) -> tuple[Any, float]:
        """Result and seconds: of the clock, for which the device is waited; CPU time on a CPU."""
        import torch  # noqa: PLC0415 - already there

        clock = time.process_time if self.base.device.type == "cpu" else time.perf_counter
        _wait(torch, self.base.device)
        begun = clock()
        result = work()
        _wait(torch, self.base.device)
        return result, clock() - begun


def _kernels(device: str, dtype: str) -> Iterator[Line]:
    """Each attention kernel of this kind of device against the portable one."""
    import torch  # noqa: PLC0415 - already there

    from qwen_bench.engines.hf import kernels  # noqa: PLC0415 - as above

    where, number = torch.device(device), getattr(torch, dtype)
    chosen = kernels.choose_kernel(where, number)
    for name, kernel in kernels.KERNELS.items():
        if name != "portable" and not name.endswith(f"_{where.type}"):
            continue
        what = f"kernel {name}" + (", chosen" if name == chosen else "")
        bound = kernels.BOUNDS[number]
        try:
            found = kernels.compare(kernel, where, number)
        except (RuntimeError, AttributeError, ImportError, TypeError, ValueError) as error:
            # A kernel that is not there is not used; only one that is used must agree.
            yield Line(what, dtype, type(error).__name__, f"{bound:g}", None)
            continue
        passed = found <= bound if name == chosen else None
        yield Line(what, dtype, f"{found:.1e}", f"{bound:g}", passed)


def _scores(side: _Side, grid: grids.Grid, dtype: str, noise: Noise) -> Iterator[Line]:
    """Ranking against the full log-softmax of plain forwards."""
    results, counters = side.ours(grid, "rank")
    gaps = []
    for item, result in zip(grid.scored[0], results, strict=True):
        ids = item.candidates[0]
        rows = side.logits(item.context + ids, len(ids) + 1).log_softmax(-1)
        plain = sum(float(rows[place, token]) for place, token in enumerate(ids))
        gaps.append(abs(plain - result.scores[0][0]) / len(ids))
    bound = max(SCORE_MEAN[dtype], noise.mean)
    what = "log-probability a token, against a plain forward"
    found = f"{fmean(gaps):.1e}, largest {max(gaps):.1e}"
    yield Line(what, dtype, found, f"mean {bound:.1e}", fmean(gaps) <= bound)
    due = counters.tree_tokens + counters.decoded_tokens
    share = counters.forward_tokens / due
    what = "forward tokens by tree and decoded ones"
    yield Line(what, dtype, f"{share:.3f}", "1.02", share <= 1.02)


def _answers(side: _Side, grid: grids.Grid, dtype: str, noise: Noise) -> Iterator[Line]:
    """Greedy answers against `generate`, and how fast both are."""
    prompts = list(grid.flat)
    side.ours(grid, "generate")
    side.generate(prompts[-1:], grid.new_tokens)
    (results, counters), seconds = side.timed(lambda: side.ours(grid, "generate"))
    single, single_seconds = side.timed(
        lambda: [side.generate([ids], grid.new_tokens)[0] for ids in prompts]
    )
    _, batch_seconds = side.timed(
        lambda: [
            side.generate([prompts[place] for place in places], grid.new_tokens)
            for places in grid.batches
        ]
    )
    gaps = []
    for ids, result, other in zip(prompts, results, single, strict=True):
        pairs = list(zip(result.tokens, other, strict=True))
        place = next((place for place, (own, plain) in enumerate(pairs) if own != plain), None)
        if place is not None:
            top = side.logits((*ids, *other[:place]), 1)[0].topk(2).values
            gaps.append(float(top[0] - top[1]))
    found = f"{len(prompts) - len(gaps)}/{len(prompts)} equal"
    found += f", others at gaps up to {max(gaps):.1e}" if gaps else ""
    bound = max(FLIP_GAP[dtype], 2 * noise.largest)
    passed = max(gaps, default=0.0) <= bound
    demand = f"equal, or a gap of {bound:.1e}"
    yield Line("greedy answers, against generate", dtype, found, demand, passed)
    rate = counters.forward_tokens / seconds
    yield Line("tokens a second", dtype, f"{rate:,.0f}", "", None)
    answered = f"{len(prompts) / seconds:,.1f}"
    yield Line("answers a second", dtype, answered, "", None)
    ratio = grids.naive_tokens(grid) / grids.tree_tokens(grid)
    what = f"times faster than generate one by one (prompt tokens: {ratio:.1f})"
    yield Line(what, dtype, f"{single_seconds / seconds:.1f}", "", None)
    what = "times faster than generate in batches"
    yield Line(what, dtype, f"{batch_seconds / seconds:.1f}", "", None)


def _adapter(side: _Side, grid: grids.Grid, dtype: str) -> Iterator[Line]:
    """A random LoRA: the base is bitwise what it was, and our strategy agrees under it too."""
    import torch  # noqa: PLC0415 - already there
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - as above

    from qwen_bench.engines.hf.attaching import attach_adapter  # noqa: PLC0415

    base, ids = side.base, grid.flat[-1]
    with torch.inference_mode():
        before = side.logits(ids, 1)
    with tempfile.TemporaryDirectory() as work:
        torch.manual_seed(0)
        config = LoraConfig(r=4, init_lora_weights=False, target_modules=["q_proj", "v_proj"])
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5.23 for an attribute that is being renamed.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            wrapped = get_peft_model(base.model, config)
        wrapped.save_pretrained(work)
        base.model = wrapped.unload()
        attached = attach_adapter(base, Path(work))
    with torch.inference_mode(), base.weights(attached.name):
        changed = side.logits(ids, 1)
        for line in _scores(side, grid, dtype, side.noise(grid)):
            yield line._replace(what=f"adapter: {line.what}")
    with torch.inference_mode(), base.weights(None):
        after = side.logits(ids, 1)
    moved = float((changed - before).abs().max())
    what = "adapter changes the logits by"
    yield Line(what, dtype, f"{moved:.1e}", "more than 0", moved > 0)
    same = bool(torch.equal(before, after))
    found = "same bits" if same else "differs"
    yield Line("base after an adapter", dtype, found, "same bits", same)


def _wait(torch: Any, device: Any) -> None:  # noqa: ANN401 - the module and a device of it
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _refused(error: Any) -> int:  # noqa: ANN401 - a QwenBenchError, whose module is imported late
    fixes = "".join(f"\n  fix: {line}" for line in error.fix)
    sys.stderr.write(f"error: {error.message}{fixes}\n")
    return 1


def _heading(model: str, device: Any) -> str:  # noqa: ANN401 - a torch device
    import torch  # noqa: PLC0415 - already there
    import transformers  # noqa: PLC0415 - as above

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"{model} on {name}; torch {torch.__version__}, transformers {transformers.__version__}"


def _shown(lines: list[Line]) -> str:
    words = {True: "pass", False: "FAIL", None: ""}
    rows = [(line.what, line.dtype, line.found, line.bound, words[line.passed]) for line in lines]
    return table(("what", "dtype", "found", "bound", ""), rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_check",
        description="Check equality and speed of the engine on one device.",
    )
    parser.add_argument("--model", default="embedded", help="SPEC of a full model")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, mps or cpu")
    parser.add_argument("--dtype", action="append", choices=tuple(FLIP_GAP))
    parser.add_argument("--quick", action="store_true", help="short histories and few probes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
