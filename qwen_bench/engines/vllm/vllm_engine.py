"""The vllm engine: vLLM in this process, asked one dialogue at a time.

vLLM shares the beginnings of prompts in blocks of its prefix cache; the longest prompt of a
dialogue goes first, so that all others find their history there. Prompts, stop tokens, thoughts and
replies are those of the hf engine. Knows requests and replies; what vLLM is asked is in
`sampling_requests`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
import transformers

from qwen_bench.chat.messages import Message
from qwen_bench.chat.policy import FULL, Policy
from qwen_bench.chat.rendering import ChatSettings, effective_thinking
from qwen_bench.engines.adapters import AttachedAdapter
from qwen_bench.engines.decoding import Budget, GeneratedRow, Stopping
from qwen_bench.engines.device_memory import peak_memory_bytes
from qwen_bench.engines.model_identity import identity_of
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.prepared_request import Prepared, prepare, ranked, written
from qwen_bench.engines.prompter import Prompter
from qwen_bench.engines.vllm.sampling_requests import (
    Ask,
    TokenPlace,
    continuation,
    next_logprobs,
    places_of,
    priming,
    settings,
    stepwise,
    whole,
    whole_logprobs,
    written_tokens,
)
from qwen_bench.engines.vllm.unit_counters import Clock, Fault, UnitCounters, next_batch
from qwen_bench.engines.vllm.vllm_model import SEQUENCES, VllmBase
from qwen_bench.errors import AdapterMismatchError, EngineError, QwenBenchError
from qwen_bench.protocol import Abilities, Identity, Reply, Unit
from qwen_bench.record.counters import Counters
from qwen_bench.record.manifest import EngineInfo

# A candidate is scored with the end-of-turn token behind it, and vLLM always writes one token more.
_AFTER_CANDIDATE = 2


class VllmEngine:
    """Implements `qwen_bench.protocol.Engine` on vLLM.

    Args:
        base: the model; shared with other engines, so closing an engine does not free it.
        chat: how prompts are written.
        spec: what the user asked for, for the identity.
        adapter: answer with this adapter; None is the base.
        policy: which turns of a history are sent.

    Raises:
        AdapterMismatchError: vLLM refuses the adapter.
    """

    def __init__(
        self,
        base: VllmBase,
        chat: ChatSettings,
        spec: ModelSpec,
        *,
        adapter: AttachedAdapter | None = None,
        policy: Policy = FULL,
    ) -> None:
        loaded = base.loaded
        self._base = base
        self._adapter = adapter
        self._policy = policy
        self._prompter = Prompter(loaded.tokenizer, chat)
        self._stops = self._prompter.stop_tokens(loaded.eos_ids)
        stops = self._stops
        self._stopping = Stopping(stops.ids, self._prompter.whole_text, stops.texts)
        self._thinks = effective_thinking(chat, loaded.tokenizer) == "on"
        self._counters = Counters()
        self._failed = False
        identity = identity_of(
            loaded, spec, self._prompter, self._stops, _account(base), adapter=adapter
        )
        self._identity = replace(identity, warnings=(*identity.warnings, *self._changes_nothing()))

    def identity(self) -> Identity:
        """Who answers."""
        return self._identity

    def abilities(self) -> Abilities:
        """Both modes; the context window vLLM was opened with."""
        return Abilities(
            max_context=self._base.window, system_messages=self._prompter.takes_system()
        )

    def counters(self) -> Counters:
        """Work done so far; no forward tokens once vLLM did not say what came from its cache."""
        return replace(self._counters, load_seconds=self._base.loaded.load_seconds)

    def close(self) -> None:
        """Free nothing: the base belongs to whoever opened it."""

    def answer(self, unit: Unit) -> Iterator[Reply]:
        """One reply for each request of the unit: ranked ones first, then generated ones.

        Raises:
            EngineError: vLLM cannot be opened again after a fault, or failed on two units in a row.
            TemplateError: the template loses part of a conversation.
        """
        clock = Clock()
        waiting: list[Prepared] = []
        refused: list[Reply] = []
        for request in unit.requests:
            spare = _AFTER_CANDIDATE if request.mode == "rank" else 0
            item, reply = prepare(
                request,
                self._prompter,
                self._policy,
                window=self._base.window - spare,
                thinks=self._thinks,
            )
            if reply is None:
                waiting.append(item)
            else:
                refused.append(reply)
        self._counters.encode_seconds += self._count(refused, clock)
        yield from refused
        if waiting:
            yield from self._answers(waiting)

    def _answers(self, waiting: list[Prepared]) -> Iterator[Reply]:
        """Replies to what can be sent. A fault ends the unit: what is open becomes errors."""
        counters = UnitCounters()
        work = self._stages(waiting, counters)
        unanswered = {(item.request.id, item.request.mode): item for item in waiting}
        while (batch := next_batch(work)) is not None:
            if isinstance(batch, Fault):
                self._base.discard()
                replies = [batch.reply(item) for item in unanswered.values()]
                self._counters.requests += len(replies)
                if self._failed and batch.reason != "oom":
                    raise EngineError(
                        "vllm failed on two dialogues in a row",
                        why=f"{batch.kind}: {batch.message}",
                    )
                self._failed = True
                yield from replies
                break
            for reply in batch:
                del unanswered[reply.id, reply.mode]
            yield from batch
        else:
            self._failed = False
        counters.settle(self._counters)

    def _stages(self, items: list[Prepared], counters: UnitCounters) -> Iterator[list[Reply]]:
        """Read the longest prompt, then rank, then generate; replies after each."""
        clock = Clock()
        self._base.open()
        self._base.forget()
        longest = max((item.ids for item in items), key=len)
        if len(items) > 1:
            self._ask([priming(longest)], counters)
        counters.read(longest)
        self._counters.trunk_seconds += self._count([], clock)
        to_rank = [item for item in items if item.candidates]
        if to_rank:
            clock = Clock()
            replies = self._ranked(to_rank, counters)
            share = self._count(replies, clock)
            self._counters.rows_seconds += share
            yield [replace(reply, seconds=share / len(replies)) for reply in replies]
        to_write = [item for item in items if not item.candidates]
        if to_write:
            clock = Clock()
            replies = self._written(to_write, counters)
            share = self._count(replies, clock)
            self._counters.decode_seconds += share
            yield [replace(reply, seconds=share / len(replies)) for reply in replies]

    def _ranked(self, items: Sequence[Prepared], counters: UnitCounters) -> list[Reply]:
        """Score candidates in one pass each; token by token where that cannot be trusted."""
        end_of_turn = self._stops.end_of_turn
        pairs = list(dict.fromkeys((item.ids, ids) for item in items for ids in item.candidates))
        found: dict[TokenPlace, dict[int, float]] = defaultdict(dict)
        if not self._base.lora:
            asks = [whole(prompt, ids, end_of_turn) for prompt, ids in pairs]
            for (prompt, ids), output in zip(pairs, self._ask(asks, counters), strict=True):
                logprobs = whole_logprobs(output, prompt, (*ids, end_of_turn))
                places = places_of(prompt, ids, end_of_turn)
                for (place, token), logprob in zip(places, logprobs or (), strict=False):
                    found[place][token] = logprob
        missing: dict[TokenPlace, dict[int, None]] = defaultdict(dict)
        for prompt, ids in pairs:
            for place, token in places_of(prompt, ids, end_of_turn):
                if token not in found[place]:
                    missing[place][token] = None
        asks = [stepwise(place, tokens) for place, tokens in missing.items()]
        for (place, tokens), output in zip(missing.items(), self._ask(asks, counters), strict=True):
            found[place] |= next_logprobs(output, tokens)
        for prompt, ids in pairs:
            counters.read((*prompt, *ids))
        return [self._scored(item, found) for item in items]

    def _scored(self, item: Prepared, found: dict[TokenPlace, dict[int, float]]) -> Reply:
        self._counters.naive_tokens += item.naive_tokens
        scores = []
        for ids in item.candidates:
            *own, end = (
                found[place][token]
                for place, token in places_of(item.ids, ids, self._stops.end_of_turn)
            )
            scores.append((sum(own), end))
        return ranked(item, tuple(scores))

    def _written(self, items: Sequence[Prepared], counters: UnitCounters) -> list[Reply]:
        """Generate; a thought that nobody expected gets its budget in a further call."""
        rows = [_row(item, self._base.window) for item in items]
        cached: dict[int, int | None] = {}
        while asked := [
            (number, room) for number, row in enumerate(rows) if (room := self._room(row))
        ]:
            asks = [self._continued(items[number], rows[number], room) for number, room in asked]
            for (number, _), output in zip(asked, self._ask(asks, counters), strict=True):
                cached.setdefault(number, output.num_cached_tokens)
                for token, margin in written_tokens(output):
                    if rows[number].live:
                        rows[number].take(token, margin, self._stopping)
                counters.decoded += len(output.outputs[0].token_ids)
        counters.decoded -= len(rows)
        replies = []
        for number, (item, row) in enumerate(zip(items, rows, strict=True)):
            counters.read(item.ids)
            result = row.written(row.budget)
            self._counters.naive_tokens += item.naive_tokens + len(result.tokens) - 1
            reply = written(item, result, self._prompter)
            replies.append(replace(reply, cached_tokens=cached[number]))
        return replies

    def _room(self, row: GeneratedRow) -> int:
        """Tokens the next call may write; 0 when nothing more is wanted."""
        if not row.live:
            return 0
        thought = row.budget.thought if self._thinks or row.opened or row.tokens else 0
        return thought + row.budget.answer - len(row.tokens)

    def _continued(self, item: Prepared, row: GeneratedRow, room: int) -> Ask:
        return continuation(
            (*item.ids, *row.tokens),
            item.request.sampling,
            key=item.request.id,
            done=len(row.tokens),
            stop=self._stopping,
            max_tokens=room,
        )

    def _ask(self, asks: Sequence[Ask], counters: UnitCounters) -> list[Any]:
        """Outputs of one call under this engine's adapter."""
        if not asks:
            return []
        outputs = self._base.ask(asks, self._adapter)
        for ask, output in zip(asks, outputs, strict=True):
            made = len(output.outputs[0].token_ids)
            if not made:
                raise RuntimeError("vllm wrote nothing")
            counters.feed(len(ask.ids) + made - 1, output.num_cached_tokens)
        self._counters.rows_max = max(self._counters.rows_max, min(len(asks), SEQUENCES))
        return outputs

    def _count(self, replies: Sequence[Reply], clock: Clock) -> float:
        """Count replies and the time they took; returns the seconds."""
        seconds, cpu_seconds = clock.passed()
        self._counters.requests += len(replies)
        self._counters.seconds += seconds
        self._counters.cpu_seconds += cpu_seconds
        self._counters.peak_memory_bytes = max(
            self._counters.peak_memory_bytes, peak_memory_bytes(self._base.loaded.device)
        )
        return seconds

    def _changes_nothing(self) -> tuple[str, ...]:
        """A warning when base and adapter give the same log-probabilities on a fixed prompt."""
        if self._adapter is None:
            return ()
        ids = self._prompter.prompt((Message("user", "Hello"),)).ids
        seen = []
        try:
            for adapter in (None, self._adapter):
                self._base.open()
                self._base.forget()
                (output,) = self._base.ask([Ask(ids, settings(logprobs=5))], adapter)
                best = output.outputs[0].logprobs[0]
                seen.append({token: float(item.logprob) for token, item in best.items()})
        except QwenBenchError:
            raise
        except Exception as error:  # whatever vLLM raises: a user can only read it
            self._base.discard()
            raise AdapterMismatchError(
                f"vllm cannot use the adapter {self._adapter.shown}",
                why=str(error).strip().splitlines()[:4],
                fix="--engine hf takes every PEFT adapter",
            ) from error
        if seen[0] != seen[1] or self._adapter.warnings:
            return ()
        return (f"adapter {self._adapter.shown}: vllm answers with it as without it",)


def _row(item: Prepared, window: int) -> GeneratedRow:
    request = item.request
    # A thought nobody asked for may use what is left; one that was asked for fits.
    left = window - item.prompt_tokens - request.max_new_tokens
    return GeneratedRow(
        0,
        Budget(request.max_new_tokens, min(request.max_thinking_tokens, left)),
        opened=item.opened,
        sampling=request.sampling,
        key=request.id,
    )


def _account(base: VllmBase) -> EngineInfo:
    """What the manifest records of vLLM."""
    arguments = base.arguments
    own: dict[str, Any] = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
        "max_model_len": base.window,
        "enforce_eager": bool(arguments["enforce_eager"]),
        "tensor_parallel_size": int(arguments.get("tensor_parallel_size", 1)),
        "lora": base.lora,
    }
    return EngineInfo(
        name="vllm",
        version=base.version,
        device=base.loaded.device.type,
        batch_size="auto",
        prefix_sharing="blocks",
        **own,
    )
