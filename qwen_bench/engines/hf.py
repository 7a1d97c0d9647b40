"""The hf engine: a transformers model that answers one dialogue at a time.

Every token that the prompts of a dialogue share goes through the model once. Knows requests and
replies, the tree, and a loaded model; how a tree is computed is in `packed` and `copying`.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch

from qwen_bench.chat.policy import FULL, Policy, keep
from qwen_bench.chat.rendering import ChatSettings
from qwen_bench.chat.thinking import THINK_CLOSE, opens_thought, split_thought
from qwen_bench.engines.adapters import AttachedAdapter
from qwen_bench.engines.describe import describe
from qwen_bench.engines.forward import Forward
from qwen_bench.engines.loading import LoadedBase
from qwen_bench.engines.memory import is_out_of_memory, peak_memory_bytes
from qwen_bench.engines.prompts import Prompt, Prompter
from qwen_bench.engines.protocol import (
    Abilities,
    Efficiency,
    Identity,
    Reply,
    Request,
    Score,
    Unit,
)
from qwen_bench.engines.selfcheck import WAYS, Choice, Way, choose_way
from qwen_bench.engines.spec import ModelSpec
from qwen_bench.engines.tree import PrefixTree
from qwen_bench.engines.work import Computation, Finished, Ledger, Limits, Ranked, Task, Written


class Planned(NamedTuple):
    """A request as it is sent, with its ids.

    Attributes:
        dropped: turns that the history policy left out.
    """

    request: Request
    prompt: Prompt
    candidates: tuple[tuple[int, ...], ...]
    dropped: int

    @property
    def naive_tokens(self) -> int:
        """Tokens without sharing, the generated ones apart."""
        size = len(self.prompt.ids)
        return sum(size + len(ids) for ids in self.candidates) if self.candidates else size

    @property
    def reply(self) -> Reply:
        """What is known of the reply before there is an answer."""
        return Reply(
            self.request.id,
            self.request.mode,
            "ok",
            prompt_tokens=len(self.prompt.ids),
            prompt_sha256=self.prompt.sha256,
            dropped_turns=self.dropped,
        )


class HfEngine:
    """Implements `qwen_bench.engines.protocol.Engine` on a loaded model.

    Args:
        base: the model; shared with other engines, so closing an engine does not free it.
        settings: how prompts are written.
        spec: what the user asked for, for the identity.
        adapter: answer with this adapter; None is the base.
        policy: which turns of a history are sent.
        limits: bounds of one forward.
        way: force a way of computing; by default the self-check decides.
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
        way: Way | None = None,
    ) -> None:
        self._base = base
        self._adapter = adapter
        self._policy = policy
        self._limits = limits if limits is not None else Limits()
        self._prompter = Prompter(base.tokenizer, settings)
        self._stops = self._prompter.stop_tokens(base.eos_ids)
        self._counters = Efficiency(load_seconds=base.load_seconds)
        self._forward = Forward(base.model, base.config, base.device, base.dtype, self._counters)
        with torch.inference_mode(), base.weights(adapter.name if adapter else None):
            self._choice = (
                choose_way(self._forward, base.model) if way is None else Choice(way, None, "")
            )
        self._identity = describe(
            base, spec, self._prompter, self._stops, self._choice, adapter=adapter
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

    def counters(self) -> Efficiency:
        """Work done so far."""
        return replace(self._counters)

    def close(self) -> None:
        """Free nothing: the base belongs to whoever loaded it."""

    def answer(self, unit: Unit) -> Iterator[Reply]:
        """One reply for each request of the unit, as batches finish.

        Raises:
            TemplateError: the template loses part of a conversation.
        """
        begun = time.perf_counter()
        tree, ledger = PrefixTree(), Ledger(self._counters)
        planned: dict[int, Planned] = {}
        tasks: list[Task] = []
        refused: list[Reply] = []
        for number, request in enumerate(unit.requests):
            plan, reply = self._plan(request)
            if reply is not None:
                refused.append(reply)
            else:
                planned[number] = plan
                tasks.append(_grow(tree, number, plan))
        self._count(refused, begun)
        yield from refused
        for batch in self._batches(tree, tasks, planned, ledger):
            yield from batch

    def _plan(self, request: Request) -> tuple[Planned, Reply | None]:
        """Apply the policy, render, encode; a reply at once if the request cannot be sent."""
        messages, dropped = keep(self._policy, request.messages, self._prompter)
        prompt = self._prompter.prompt(messages)
        candidates = tuple(self._prompter.candidate(text) for text in request.candidates)
        plan = Planned(request, prompt, candidates if request.mode == "rank" else (), dropped)
        size = len(prompt.ids)
        longest = max(map(len, plan.candidates), default=request.max_new_tokens)
        reply = plan.reply
        limit = self._base.context_window
        if limit is not None and size + longest > limit:
            message = f"{size} + {longest} tokens, the context window has {limit}"
            return plan, replace(reply, status="too_long", reason="local", error_message=message)
        if not all(plan.candidates):
            return plan, replace(
                reply,
                status="error",
                reason="empty",
                error_type="ValueError",
                error_message="a candidate encodes to no token",
            )
        return plan, None

    def _batches(
        self, tree: PrefixTree, tasks: list[Task], planned: dict[int, Planned], ledger: Ledger
    ) -> Iterator[list[Reply]]:
        """Compute until every task has a reply; on short memory with ever fewer rows at once."""
        pending = tasks
        single = False
        while pending:
            chosen = pending[:1] if single else pending
            work = self._compute(tree, chosen, ledger)
            done: set[int] = set()
            begun = time.perf_counter()
            while (step := _next_step(work, ledger)).finished is not None:
                replies = [self._reply(planned[item.task.number], item) for item in step.finished]
                done |= {item.task.number for item in step.finished}
                share = (time.perf_counter() - begun) / max(1, len(replies))
                self._count(replies, begun)
                yield [replace(reply, seconds=share) for reply in replies]
                begun = time.perf_counter()
            self._count([], begun)
            pending = [task for task in pending if task.number not in done]
            if not step.out_of_memory:
                if any(task.number not in done for task in chosen):
                    raise RuntimeError("the computation ended without an answer for every request")
                continue
            _release(self._base.device)
            if single:
                yield [self._out_of_memory(planned[pending.pop(0).number])]
            elif self._limits.rows == 1:
                single = True
            else:
                self._limits.rows = max(1, min(self._limits.rows, _rows(pending)) // 2)

    def _compute(
        self, tree: PrefixTree, tasks: list[Task], ledger: Ledger
    ) -> Iterator[list[Finished]]:
        stops = self._stops
        work = WAYS[self._choice.way](
            Computation(tree, self._forward, ledger, self._limits, stops.ids, stops.closer), tasks
        )
        name = self._adapter.name if self._adapter else None
        while True:
            # Entered for each batch: between batches the caller may use the model otherwise.
            with torch.inference_mode(), self._base.weights(name):
                batch = next(work, None)
            if batch is None:
                return
            yield batch

    def _reply(self, plan: Planned, finished: Finished) -> Reply:
        request, result, reply = plan.request, finished.result, plan.reply
        self._counters.naive_tokens += plan.naive_tokens
        if isinstance(result, Ranked):
            return replace(
                reply,
                scores=tuple(
                    Score(text, logprob, end, len(ids))
                    for text, ids, (logprob, end) in zip(
                        request.candidates, plan.candidates, result.scores, strict=True
                    )
                ),
            )
        self._counters.naive_tokens += len(result.tokens) - 1
        return self._written(reply, plan.prompt, result)

    def _written(self, reply: Reply, prompt: Prompt, result: Written) -> Reply:
        words = result.tokens[:-1] if result.stopped else result.tokens
        answer = split_thought(self._prompter.text(words), prompt_opened=opens_thought(prompt.text))
        reason = None if result.stopped else "length" if answer.complete else "thinking"
        return replace(
            reply,
            status="ok" if result.stopped else "truncated",
            reason=reason,
            text=answer.text,
            finish_reason="stop" if result.stopped else "length",
            stop_token=self._prompter.name(result.tokens[-1]) if result.stopped else None,
            output_tokens=len(result.tokens),
            thought_tokens=self._thought_tokens(words) if answer.thought is not None else 0,
            margin=result.margin,
        )

    def _thought_tokens(self, words: tuple[int, ...]) -> int | None:
        """Tokens up to the end of the thought; None where its closing tag is not one token."""
        closing = self._prompter.tokenizer.get_vocab().get(THINK_CLOSE)
        if closing is None:
            return None
        places = [place for place, token in enumerate(words) if token == closing]
        return places[-1] + 1 if places else len(words)

    def _out_of_memory(self, plan: Planned) -> Reply:
        self._counters.requests += 1
        return replace(
            plan.reply,
            status="error",
            reason="oom",
            error_type="OutOfMemoryError",
            error_message="needs more memory than the device has, even alone",
        )

    def _count(self, replies: list[Reply], begun: float) -> None:
        self._counters.requests += len(replies)
        self._counters.seconds += time.perf_counter() - begun
        self._counters.peak_memory_bytes = max(
            self._counters.peak_memory_bytes, peak_memory_bytes(self._base.device)
        )


def _grow(tree: PrefixTree, number: int, plan: Planned) -> Task:
    end = tree.insert(plan.prompt.ids)
    nodes = tuple(
        tree.path(tree.insert(ids, end))[len(plan.prompt.ids) :] for ids in plan.candidates
    )
    return Task(number, end, nodes, plan.request.max_new_tokens if not nodes else 0)


class Step(NamedTuple):
    """The next batch of a computation; None at its end, which may come from a lack of memory."""

    finished: list[Finished] | None
    out_of_memory: bool


def _next_step(work: Iterator[list[Finished]], ledger: Ledger) -> Step:
    """Compute one batch.

    The exception ends here, before any retry: its traceback holds the tensors of the failed batch.
    """
    try:
        return Step(next(work, None), out_of_memory=False)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    ledger.discard()
    return Step(None, out_of_memory=True)


def _rows(tasks: list[Task]) -> int:
    return sum(max(1, len(task.candidates)) for task in tasks)


def _release(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
