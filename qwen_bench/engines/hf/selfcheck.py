"""Which strategy a model allows, decided by comparison and not by its name.

Random token ids through a small forked tree must give the log-probabilities of plain forwards
without a cache. Runs once at load; its tokens are in no counter.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import torch

from qwen_bench.engines.decoding import Stopping
from qwen_bench.engines.hf import cache_forks, shared_prefix
from qwen_bench.engines.hf.forward import Forward
from qwen_bench.engines.hf.tasks import Computation, Finished, Limits, Ranked, Task, TreeCounters
from qwen_bench.engines.prefix_tree import PrefixTree
from qwen_bench.record.counters import Counters

Strategy = Literal["two-part", "copying"]
STRATEGIES: dict[Strategy, Callable[..., Iterator[list[Finished]]]] = {
    "two-part": shared_prefix.batches,
    "copying": cache_forks.batches,
}
TOLERANCE = 1e-4
_LENGTH = 48
_FORKS = ((0, 7), (17, 9), (48, 0))
_CANDIDATES = (2, 4)


class StrategyChoice(NamedTuple):
    """How a model is computed.

    Attributes:
        strategy: two-part attention or copied caches.
        difference: largest log-probability difference to plain forwards; None if not measured.
        reason: why two-part attention was not taken; empty if it was.
    """

    strategy: Strategy
    difference: float | None
    reason: str


def only_full_attention(config: Any) -> bool:  # noqa: ANN401 - a transformers configuration
    """Whether a text configuration names full attention only, without window or soft cap."""
    types = getattr(config, "layer_types", None)
    if types is not None:
        full = set(types) == {"full_attention"}
    else:
        full = getattr(config, "sliding_window", None) is None
    return full and getattr(config, "attn_logit_softcapping", None) is None


def choose_strategy(forward: Forward, model: Any) -> StrategyChoice:  # noqa: ANN401 - a transformers model
    """Take two-part attention if the configuration allows it and the self-check agrees.

    The bound is 1e-4 of the largest logit (at least 1e-4) in float32. In 16 bit, where even cached
    and plain forwards differ, it is twice the difference of copied caches, but not below one
    rounding of the largest logit for each of the tokens that are summed up: on 48 tokens the
    copied caches are often bitwise equal by chance. Wrong attention differs by nats.

    Args:
        forward: device, dtype and configuration to check with.
        model: the model itself.
    """
    if not only_full_attention(forward.config):
        return StrategyChoice("copying", None, "not every layer is full attention")
    scratch = Forward(model, forward.config, forward.device, forward.dtype, Counters())
    tree, tasks = _forked(int(forward.config.vocab_size))
    expected, scale = _plain(tree, tasks, scratch)
    try:
        difference = _difference("two-part", tree, tasks, scratch, expected)
    except (RuntimeError, TypeError, ValueError, AttributeError, LookupError) as error:
        return StrategyChoice("copying", None, f"self-check failed: {type(error).__name__}")
    bound = TOLERANCE * max(1.0, scale)
    if forward.dtype != torch.float32:
        rounding = max(_CANDIDATES) * torch.finfo(forward.dtype).eps * max(1.0, scale)
        copying_difference = _difference("copying", tree, tasks, scratch, expected)
        bound = max(bound, rounding, 2 * copying_difference)
    if difference <= bound:
        return StrategyChoice("two-part", difference, "")
    return StrategyChoice("copying", difference, f"self-check differs by {difference:.1e}")


def _forked(vocabulary: int) -> tuple[PrefixTree, list[Task]]:
    """48 random tokens with branches at 0, 17 and 48, two candidates of unequal length each."""
    source = random.Random(0)  # noqa: S311 - fixed test data

    def draw(count: int) -> list[int]:
        return [source.randrange(vocabulary) for _ in range(count)]

    tree, line, tasks = PrefixTree(), draw(_LENGTH), []
    for number, (fork, length) in enumerate(_FORKS):
        end = tree.insert([*line[:fork], *draw(length)])
        nodes = []
        for size in _CANDIDATES:
            last = tree.insert(draw(size), end)
            nodes.append(tree.path(last, tree.depth(end)))
        tasks.append(Task(number, end, tuple(nodes)))
    return tree, tasks


def _plain(
    tree: PrefixTree, tasks: list[Task], forward: Forward
) -> tuple[dict[tuple[int, int], tuple[float, float]], float]:
    """Scores of every (task, candidate) by one forward each, and the largest logit seen."""
    scores: dict[tuple[int, int], tuple[float, float]] = {}
    scale = 0.0
    for task in tasks:
        for place, nodes in enumerate(task.candidates):
            ids = [tree.token(node) for node in tree.path(nodes[-1])]
            start = len(ids) - len(nodes) - 1
            logits = forward([ids], cache=None, keep=range(start, len(ids)))[0].float()
            logprobs = logits.log_softmax(-1)
            own = sum(float(logprobs[row, token]) for row, token in enumerate(ids[start + 1 :]))
            scores[task.number, place] = (own, float(logprobs[-1, 0]))
            scale = max(scale, float(logits.abs().max()))
    return scores, scale


def _difference(
    strategy: Strategy,
    tree: PrefixTree,
    tasks: list[Task],
    forward: Forward,
    expected: dict[tuple[int, int], tuple[float, float]],
) -> float:
    worst = 0.0
    work = Computation(
        tree, forward, TreeCounters(Counters()), Limits(), Stopping(frozenset(), str), 0
    )
    for batch in STRATEGIES[strategy](work, tasks):
        for task, result in batch:
            if isinstance(result, Ranked):
                for place, score in enumerate(result.scores):
                    pairs = zip(score, expected[task.number, place], strict=True)
                    worst = max(worst, *(abs(own - plain) for own, plain in pairs))
    return worst
