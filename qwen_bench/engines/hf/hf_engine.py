"""The hf engine: a transformers model that answers one dialogue at a time.

Every token that the prompts of a dialogue share goes through the model once. Knows requests and
replies, the tree, and a loaded model; how a tree is computed is in `shared_prefix` and
`cache_forks`.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
import transformers

from qwen_bench.chat.policy import FULL, Policy
from qwen_bench.chat.rendering import ChatSettings, effective_thinking
from qwen_bench.engines.adapters import AttachedAdapter
from qwen_bench.engines.decoding import Budget, Stopping
from qwen_bench.engines.device_memory import is_out_of_memory, peak_memory_bytes
from qwen_bench.engines.hf.forward import Forward
from qwen_bench.engines.hf.kernels import choose_kernel
from qwen_bench.engines.hf.selfcheck import STRATEGIES, Strategy, StrategyChoice, choose_strategy
from qwen_bench.engines.hf.tasks import (
    SMALLEST_CHUNK,
    Computation,
    Finished,
    Limits,
    Ranked,
    Task,
    TreeCounters,
    head_size,
    told_nobody,
)
from qwen_bench.engines.loading import LoadedBase
from qwen_bench.engines.model_identity import identity_of
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.prefix_tree import PrefixTree
from qwen_bench.engines.prepared_request import Prepared, prepare, ranked, written
from qwen_bench.engines.prompter import Prompter
from qwen_bench.protocol import Abilities, Identity, ReadTokens, Reply, Unit
from qwen_bench.record.counters import Counters
from qwen_bench.record.manifest import EngineInfo


class HfEngine:
    """Implements `qwen_bench.protocol.Engine` on a loaded model.

    Args:
        base: the model; shared with other engines, so closing an engine does not free it.
        settings: how prompts are written.
        spec: what the user asked for, for the identity.
        adapter: answer with this adapter; None is the base.
        policy: which turns of a history are sent.
        limits: how much is computed together.
        strategy: force one; by default the self-check decides.
    """

    def __init__(
        self,
        base: LoadedBase,
        settings: ChatSettings,
        spec: ModelSpec,
        *,
        adapter: AttachedAdapter | None = None,
        policy: Policy = FULL,
        limits: Limits | None = None,
        strategy: Strategy | None = None,
    ) -> None:
        self._base = base
        self._adapter = adapter
        self._policy = policy
        self._limits = limits if limits is not None else Limits()
        self._prompter = Prompter(base.tokenizer, settings)
        self._stops = self._prompter.stop_tokens(base.eos_ids)
        self._thinks = effective_thinking(settings, base.tokenizer) == "on"
        self._counters = Counters(load_seconds=base.load_seconds)
        self._read: ReadTokens = told_nobody
        self._forward = Forward(base.model, base.config, base.device, base.dtype, self._counters)
        with torch.inference_mode(), base.weights(adapter.name if adapter else None):
            self._choice = (
                choose_strategy(self._forward, base.model)
                if strategy is None
                else StrategyChoice(strategy, None, "")
            )
        self._identity = identity_of(
            base, spec, self._prompter, self._stops, self._account(), adapter=adapter
        )

    def identity(self) -> Identity:
        """Who answers."""
        return self._identity

    def abilities(self) -> Abilities:
        """Both modes; the context window of the model's configuration."""
        return Abilities(
            max_context=self._base.context_window,
            system_messages=self._prompter.takes_system(),
        )

    def counters(self) -> Counters:
        """Work done so far."""
        return replace(self._counters)

    def tell(self, read: ReadTokens) -> None:
        """Tell how far the trunk is read: after each chunk, and while prompts are encoded."""
        self._read = read

    def close(self) -> None:
        """Free nothing: the base belongs to whoever loaded it."""

    def answer(self, unit: Unit) -> Iterator[Reply]:
        """One reply for each request of the unit, as batches finish.

        Raises:
            TemplateError: the template loses part of a conversation.
            EngineError: the adapter has changed the base while it answered.
        """
        begun = _Moment.now()
        tree, counters = PrefixTree(), TreeCounters(self._counters)
        planned: dict[int, Prepared] = {}
        tasks: list[Task] = []
        refused: list[Reply] = []
        for number, request in enumerate(unit.requests):
            plan, reply = prepare(
                request,
                self._prompter,
                self._policy,
                window=self._base.context_window,
                thinks=self._thinks,
            )
            if reply is not None:
                refused.append(reply)
            else:
                tasks.append(self._task(tree, number, plan))
                planned[number] = plan._replace(ids=())  # the tree has them, each once
                self._read(0, len(tree))
        self._counters.encode_seconds += time.perf_counter() - begun.wall
        self._count(refused, begun)
        yield from refused
        for batch in self._batches(tree, tasks, planned, counters):
            yield from batch
        if self._adapter is not None and self._base.isolation is not None:
            self._base.isolation.check(None)

    def _account(self) -> EngineInfo:
        """What the manifest records of this engine."""
        base, choice, limits = self._base, self._choice, self._limits
        shared = choice.strategy == "two-part"
        own: dict[str, Any] = {
            "prefix_sharing_reason": choice.reason or None,
            "attention_kernel": choose_kernel(base.device, base.dtype, head_size(base.config))
            if shared
            else None,
            "linear_layers": self._forward.linear.library,
            "self_check_difference": choice.difference,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "chunk_tokens": limits.chunk,
        }
        return EngineInfo(
            name="hf",
            version=transformers.__version__,
            device=base.device.type,
            batch_size="auto" if limits.rows == Limits().rows else limits.rows,
            prefix_sharing=choice.strategy,
            **own,
        )

    def _task(self, tree: PrefixTree, number: int, plan: Prepared) -> Task:
        """Grow the tree by a request."""
        request, size = plan.request, plan.prompt_tokens
        end = tree.insert(plan.ids)
        if plan.candidates:
            ends = [tree.insert(candidate, end) for candidate in plan.candidates]
            return Task(number, end, tuple(tree.path(last, size) for last in ends))
        thought, window = request.max_thinking_tokens, self._base.context_window
        if window is not None:
            # A thought nobody asked for may use what is left; one that was asked for fits.
            thought = min(thought, window - size - request.max_new_tokens)
        return Task(
            number,
            end,
            budget=Budget(request.max_new_tokens, thought),
            opened=plan.opened,
            sampling=request.sampling,
            key=request.id,
            thinks=self._thinks,
        )

    def _batches(
        self,
        tree: PrefixTree,
        tasks: list[Task],
        planned: dict[int, Prepared],
        counters: TreeCounters,
    ) -> Iterator[list[Reply]]:
        """Compute until every task has a reply; on short memory with ever fewer rows at once."""
        pending = tasks
        single = False
        while pending:
            chosen = pending[:1] if single else pending
            work = self._compute(tree, chosen, counters)
            done: set[int] = set()
            begun = _Moment.now()
            while (step := _next_step(work, counters)).finished is not None:
                replies = [self._reply(planned[item.task.number], item) for item in step.finished]
                done |= {item.task.number for item in step.finished}
                share = (time.perf_counter() - begun.wall) / max(1, len(replies))
                self._count(replies, begun)
                yield [replace(reply, seconds=share) for reply in replies]
                begun = _Moment.now()
            self._count([], begun)
            pending = [task for task in pending if task.number not in done]
            if not step.out_of_memory:
                if any(task.number not in done for task in chosen):
                    raise RuntimeError("the computation ended without an answer for every request")
                continue
            # The failed computation is what holds memory.
            del work
            _release(self._base.device)
            self._counters.oom_splits += 1
            if self._shrink(pending, alone=single):
                single = single or self._limits.rows == 1
            else:
                yield [self._out_of_memory(planned[pending.pop(0).number])]

    def _shrink(self, pending: Sequence[Task], *, alone: bool) -> bool:
        """Compute less together from now on; False when a request alone is at its least.

        Args:
            pending: not answered yet.
            alone: whether one request alone ran out of memory.
        """
        limits = self._limits
        if not alone:
            rows = sum(max(1, len(task.candidates)) for task in pending)
            limits.rows = max(1, min(limits.rows, rows) // 2)
            return True
        if limits.chunk > SMALLEST_CHUNK:
            limits.chunk = max(SMALLEST_CHUNK, limits.chunk // 2)
            return True
        return False

    def _compute(
        self, tree: PrefixTree, tasks: list[Task], counters: TreeCounters
    ) -> Iterator[list[Finished]]:
        stops = self._stops
        work = STRATEGIES[self._choice.strategy](
            Computation(
                tree,
                self._forward,
                counters,
                self._limits,
                Stopping(stops.ids, self._prompter.whole_text, stops.texts),
                stops.end_of_turn,
                self._read,
            ),
            tasks,
        )
        name = self._adapter.name if self._adapter else None
        while True:
            # Entered for each batch: between batches the caller may use the model otherwise.
            with torch.inference_mode(), self._base.weights(name):
                batch = next(work, None)
            if batch is None:
                return
            yield batch

    def _reply(self, plan: Prepared, finished: Finished) -> Reply:
        result = finished.result
        self._counters.naive_tokens += plan.naive_tokens
        if isinstance(result, Ranked):
            return ranked(plan, result.scores)
        self._counters.naive_tokens += len(result.tokens) - 1
        return written(plan, result, self._prompter)

    def _out_of_memory(self, plan: Prepared) -> Reply:
        self._counters.requests += 1
        return replace(
            plan.reply,
            status="error",
            reason="oom",
            error_type="OutOfMemoryError",
            error_message="needs more memory than the device has, even alone",
        )

    def _count(self, replies: Sequence[Reply], begun: _Moment) -> None:
        now = _Moment.now()
        self._counters.requests += len(replies)
        self._counters.seconds += now.wall - begun.wall
        self._counters.cpu_seconds += now.processor - begun.processor
        self._counters.peak_memory_bytes = max(
            self._counters.peak_memory_bytes, peak_memory_bytes(self._base.device)
        )


class _Moment(NamedTuple):
    """Seconds on the wall clock and of this process's processor time."""

    wall: float
    processor: float

    @classmethod
    def now(cls) -> _Moment:
        return cls(time.perf_counter(), time.process_time())


class Step(NamedTuple):
    """The next batch of a computation; None at its end, which may come from a lack of memory."""

    finished: list[Finished] | None
    out_of_memory: bool


def _next_step(work: Iterator[list[Finished]], counters: TreeCounters) -> Step:
    """Compute one batch.

    The exception ends here, before any retry: its traceback holds the tensors of the failed batch.
    """
    try:
        return Step(next(work, None), out_of_memory=False)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    counters.discard()
    return Step(None, out_of_memory=True)


def _release(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
