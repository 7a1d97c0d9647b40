"""A request as it is sent to a model that is rendered for here, and the reply to its answer.

Policy, template, ids and the length check before; the cut of the thought after. Knows the
tokenizer through a `Prompter`; no weights, no engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from qwen_bench.chat.messages import opens_thought, split_thought
from qwen_bench.chat.policy import Policy, keep
from qwen_bench.engines.decoding import Written
from qwen_bench.engines.prompter import EncodedPrompt, Prompter
from qwen_bench.protocol import Reply, Request, Score


class Prepared(NamedTuple):
    """A request with its ids; the text of its prompt is gone, which a long history has many of.

    Attributes:
        ids: of the prompt; empty where an engine that keeps them elsewhere has let go of them.
        candidates: ids of each; empty to generate.
        dropped: turns that the history policy left out.
        prompt_tokens: of the prompt.
        prompt_sha256: of its text.
        opened: whether it ends inside a thought.
    """

    request: Request
    ids: tuple[int, ...]
    candidates: tuple[tuple[int, ...], ...]
    dropped: int
    prompt_tokens: int
    prompt_sha256: str
    opened: bool

    @property
    def naive_tokens(self) -> int:
        """Tokens without sharing, the generated ones apart."""
        size = self.prompt_tokens
        return sum(size + len(ids) for ids in self.candidates) if self.candidates else size

    @property
    def reply(self) -> Reply:
        """What is known of the reply before there is an answer."""
        return Reply(
            self.request.id,
            self.request.mode,
            "ok",
            prompt_tokens=self.prompt_tokens,
            prompt_sha256=self.prompt_sha256,
            dropped_turns=self.dropped,
        )


def prepare(
    request: Request, prompter: Prompter, policy: Policy, *, window: int | None, thinks: bool
) -> tuple[Prepared, Reply | None]:
    """Apply the policy, render, encode; with a reply at once if the request cannot be sent.

    Args:
        request: what is asked.
        prompter: of the model.
        policy: which turns are sent.
        window: tokens that prompt and answer may have together; None without a limit.
        thinks: whether the prompts ask for thoughts, whose budget then needs room as well.

    Raises:
        TemplateError: the template loses part of the conversation.
    """
    messages, dropped = keep(policy, request.messages, prompter)
    prompt = prompter.prompt(messages)
    candidates = (
        tuple(prompter.candidate(text) for text in request.candidates)
        if request.mode == "rank"
        else ()
    )
    opened = opens_thought(prompt.text)
    prepared = Prepared(
        request, prompt.ids, candidates, dropped, len(prompt.ids), prompt.sha256, opened
    )
    thinks = thinks or opened
    answer = request.max_new_tokens + (request.max_thinking_tokens if thinks else 0)
    return prepared, refused_here(prepared.reply, prompt, candidates, answer, window=window)


def refused_here(
    reply: Reply,
    prompt: EncodedPrompt,
    candidates: Sequence[tuple[int, ...]],
    answer: int,
    *,
    window: int | None,
) -> Reply | None:
    """The reply to a request that cannot be sent; None for one that can.

    Args:
        reply: what is known of it.
        prompt: encoded.
        candidates: ids of each.
        answer: most tokens to generate, where there are no candidates.
        window: tokens of prompt and answer together; None without a limit.
    """
    size, longest = len(prompt.ids), max(map(len, candidates), default=answer)
    if window is not None and size + longest > window:
        message = f"{size} + {longest} tokens, the context window has {window}"
        return replace(reply, status="too_long", reason="local", error_message=message)
    if all(candidates):
        return None
    return replace(
        reply,
        status="error",
        reason="empty",
        error_type="ValueError",
        error_message="a candidate encodes to no token",
    )


def ranked(prepared: Prepared, scores: tuple[tuple[float, float], ...]) -> Reply:
    """The reply to a ranking request.

    Args:
        prepared: the request.
        scores: for each candidate the log-probability of its tokens and of the end of turn.
    """
    return replace(
        prepared.reply,
        scores=tuple(
            Score(text, logprob, end, len(ids))
            for text, ids, (logprob, end) in zip(
                prepared.request.candidates, prepared.candidates, scores, strict=True
            )
        ),
    )


def written(prepared: Prepared, result: Written, prompter: Prompter) -> Reply:
    """The reply to a generating request."""
    stop = result.stop_text
    if result.stopped and stop is None:
        said, stop = prompter.text(result.tokens[:-1]), prompter.name(result.tokens[-1])
    else:
        said = prompter.text(result.tokens)
        said = said if stop is None else said.partition(stop)[0]
    answer = split_thought(said, prompt_opened=prepared.opened)
    reason = "thinking" if result.thinking else None if result.stopped else "length"
    return replace(
        prepared.reply,
        status="ok" if result.stopped else "truncated",
        reason=reason,
        text="" if result.thinking else answer.text,
        finish_reason="stop" if result.stopped else reason,
        stop_token=stop,
        output_tokens=len(result.tokens),
        thought_tokens=result.thought_tokens,
        margin=result.margin,
    )
