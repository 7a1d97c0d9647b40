"""Asking one server one request: what goes out, and what reply its answer is.

Knows what the survey found; nothing of units, order or threads.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import NamedTuple

from qwen_bench.chat.messages import opens_thought
from qwen_bench.chat.rendering import IM_END
from qwen_bench.engines.openai.capabilities import Survey
from qwen_bench.engines.openai.chat_response import ChatAnswer, RequestCounters, answer_in
from qwen_bench.engines.openai.client import Client, ServerError, no_choice
from qwen_bench.engines.openai.forcing import Forcing
from qwen_bench.engines.openai.server_request import Local, ServerRequest
from qwen_bench.protocol import Reply, Request, Sampling, Score

_SAMPLING = ("top_k", "min_p")
STEPS = (20, 1000, 10_000)
"""Most probable tokens asked for, until the wanted one is among them; then the whole vocabulary.
vLLM gives 20 at most without being told more."""


class Replied(NamedTuple):
    """A reply and what it cost.

    Attributes:
        naive_tokens: what it would cost without any cache.
    """

    reply: Reply
    counters: RequestCounters
    naive_tokens: int


@dataclass(frozen=True, slots=True)
class Server:
    """A surveyed server.

    Attributes:
        thinks: whether answers begin with a thought, which then has its own budget.
        local: tokenizer on this side.
        limit: tokens of prompt and answer together; None for unknown.
        end_of_turn: token that ends an assistant turn; None without a tokenizer here.
        most_logprobs: bound on the number of tokens asked for when ranking; None for none.
    """

    client: Client
    survey: Survey
    thinks: bool
    local: Local | None
    limit: int | None
    end_of_turn: int | None
    most_logprobs: int | None = None

    def ask(self, asked: ServerRequest) -> Replied:
        """Answer one request.

        Raises:
            ServerError: one that hits all requests.
        """
        counters = RequestCounters()
        try:
            if asked.request.mode == "rank":
                return self._rank(asked, counters)
            return self._generate(asked, counters)
        except ServerError as fault:
            if fault.kind != "request":
                raise
            counters.retries += fault.retries
            reply = replace(
                asked.reply,
                status=fault.status,
                reason=fault.reason,
                error_type="ServerError",
                error_message=fault.message,
                seconds=counters.seconds,
            )
            return Replied(reply, counters, 0)

    def prime(self, asked: ServerRequest) -> RequestCounters:
        """Have the server read a prompt, for what the others share with it; faults come later."""
        counters = RequestCounters()
        try:
            counters.add(self.client.chat(asked.sent, max_tokens=1, **self._fields(asked.request)))
        except ServerError as fault:
            if fault.kind != "request":
                raise
            counters.retries += fault.retries
            counters.forward_tokens = None
        return counters

    def _generate(self, asked: ServerRequest, counters: RequestCounters) -> Replied:
        request = asked.request
        budget = request.max_new_tokens + (request.max_thinking_tokens if self.thinks else 0)
        answer = self.client.chat(asked.sent, max_tokens=budget, **self._fields(request))
        counters.add(answer)
        opened = asked.prompt is not None and opens_thought(asked.prompt.text)
        said = answer_in(answer.data, prompt_opened=opened)
        if said is None:
            raise no_choice(answer.data)
        reply = self._reply(asked, said, counters.seconds)
        usage = said.usage
        prompt = usage.prompt if usage.prompt is not None else asked.reply.prompt_tokens or 0
        return Replied(reply, counters, prompt + max(0, (usage.output or 0) - 1))

    def _reply(self, asked: ServerRequest, said: ChatAnswer, seconds: float) -> Reply:
        if said.complete and IM_END in said.text:
            # Written as text where the server has no token for it; what follows is no answer.
            said = said._replace(text=said.text.partition(IM_END)[0], end="stop")
        counted = said.usage.prompt
        reply = replace(
            asked.reply,
            finish_reason=said.finish_reason,
            prompt_tokens=counted if counted is not None else asked.reply.prompt_tokens,
            cached_tokens=said.usage.cached,
            output_tokens=said.usage.output,
            margin=said.margin if not self.thinks else None,
            seconds=seconds,
        )
        own = len(asked.prompt.ids) if asked.prompt is not None else None
        if own is not None and counted is not None and counted < own:
            return replace(
                reply,
                status="too_long",
                reason="cut",
                error_message=f"the server read {counted} of {own} tokens of the prompt",
            )
        budget = asked.request.max_new_tokens
        if self.limit is not None and counted is not None and counted + budget > self.limit:
            message = f"{counted} + {budget} tokens, the context window has {self.limit}"
            return replace(reply, status="too_long", reason="server", error_message=message)
        if said.end == "other":
            return replace(
                reply,
                status="error",
                reason=said.finish_reason,
                error_type="ServerError",
                error_message=f"the server ended the answer with '{said.finish_reason}'",
            )
        return self._answered(asked.request, reply, said)

    def _answered(self, request: Request, reply: Reply, said: ChatAnswer) -> Reply:
        """Apply the budgets of thought and answer, which a server has only as a sum."""
        thought = self._thought_tokens(said)
        reply = replace(reply, text=said.text, thought_tokens=thought)
        if said.end == "filter" or said.refusal is not None or said.unread is not None:
            return _without_answer(reply, said)
        over = (thought or 0) > request.max_thinking_tokens
        inside = not said.complete or (not said.text and (self.thinks or bool(thought)))
        if over or (inside and said.end == "length"):
            return replace(reply, status="truncated", reason="thinking", text="")
        if not said.complete:
            return replace(reply, reason="thinking", text="")
        if said.end == "length":
            return replace(reply, status="truncated", reason="length")
        if said.thought is not None and self.local is not None:
            text = self.local.head(said.text, request.max_new_tokens)
            if text != said.text:
                return replace(reply, status="truncated", reason="length", text=text)
        return reply

    def _thought_tokens(self, said: ChatAnswer) -> int | None:
        if said.usage.thought:
            return said.usage.thought
        if said.thought is None and said.complete:
            return 0
        if self.local is None:
            return None
        return self.local.text_tokens(said.thought or "")

    def _rank(self, asked: ServerRequest, counters: RequestCounters) -> Replied:
        ranks = self.survey.ranks
        if (
            ranks.method is None
            or self.local is None
            or asked.prompt is None
            or self.end_of_turn is None
        ):
            raise RuntimeError("ranking was asked of an engine without that ability")
        # Vocabularies of models are padded beyond their tokenizer's; servers cut the number down.
        most = self.most_logprobs or 2 * len(self.local.prompter.tokenizer)
        steps = sorted({min(step, most) for step in (*STEPS, most)})
        forcing = Forcing(
            self.client, self.local, ranks.method, ranks.takes_ids, tuple(steps), ranks.fields
        )
        found = forcing.scores(asked.prompt.ids, asked.candidates, self.end_of_turn, counters)
        scores = tuple(
            Score(text, scored.logprob, scored.end_logprob, len(ids))
            for text, ids, scored in zip(
                asked.request.candidates, asked.candidates, found, strict=True
            )
        )
        reply = replace(
            asked.reply,
            scores=scores,
            prompt_sha256=asked.prompt.sha256,
            seconds=counters.seconds,
        )
        size = len(asked.prompt.ids)
        return Replied(reply, counters, sum(size + len(ids) for ids in asked.candidates))

    def _fields(self, request: Request) -> dict[str, object]:
        """Settings of a chat request: everything that decides an answer, as far as it is taken."""
        accepted = self.survey.accepted
        sampling = request.sampling
        fields: dict[str, object] = {
            name: value for name, value in accepted.items() if name not in (*_SAMPLING, "seed")
        }
        if self.thinks or sampling.temperature:
            fields = {n: v for n, v in fields.items() if n not in {"logprobs", "top_logprobs"}}
        fields["temperature"] = sampling.temperature
        if "seed" in accepted:
            fields["seed"] = draw_seed(sampling, request.id)
        if sampling.temperature:
            fields["top_p"] = sampling.top_p
            if "top_k" in accepted and (top_k := self._top_k(sampling)) is not None:
                fields["top_k"] = top_k
            if "min_p" in accepted:
                fields["min_p"] = 0.0
        return fields

    def _top_k(self, sampling: Sampling) -> int | None:
        """What switches it off differs: 0 for llama.cpp, -1 for vLLM and SGLang."""
        if sampling.top_k:
            return sampling.top_k
        if self.survey.slots is not None:
            return 0
        return -1 if self.survey.owner in {"vllm", "sglang"} else None


def _without_answer(reply: Reply, said: ChatAnswer) -> Reply:
    """A reply that a filter or the model declined, or that the server sent as no text."""
    if said.end == "filter":
        return replace(reply, status="refused", reason="content_filter")
    if said.refusal is not None:
        return replace(reply, status="refused", reason="refusal", text=said.refusal)
    return replace(
        reply,
        status="empty",
        reason="thinking" if said.unread in {"ReasoningOnly", "UnclosedThought"} else None,
        text="",
        error_type=said.unread,
        error_message=f"the server sent {said.sent}",
    )


def draw_seed(sampling: Sampling, request_id: str) -> int:
    """Seed of one request: the run's at temperature 0, else one of its own, below 2**31."""
    if not sampling.temperature:
        return sampling.seed
    digest = hashlib.sha256(f"{sampling.seed}\t{request_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
