"""Log-probabilities of given candidates out of a server that only continues text.

Two methods, both on prompts rendered and encoded on this side: `echo`, where the server gives the
log-probability of every prompt token, and teacher forcing, where it is asked for one token after
each prefix of each candidate and the wanted one is looked up among the most probable. Candidates
that begin alike are asked once as far as they do. Nothing is guessed: a token that the server does
not name is a fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from qwen_bench.engines.openai.chat_response import RequestCounters, usage_of
from qwen_bench.engines.openai.client import Client, ServerError
from qwen_bench.engines.openai.server_request import Local

RankMethod = Literal["echo", "forcing"]
_ID_TOKEN = "token_id:"  # noqa: S105 - how vLLM names tokens by id
_UNREADABLE = "\ufffd"


class NamedToken(NamedTuple):
    """One token and its log-probability, as the server names it."""

    id: int | None
    text: str
    data: bytes
    logprob: float


class Scored(NamedTuple):
    """Log-probabilities of a candidate's tokens, summed, and of the end-of-turn token after it.

    The latter is None where the server does not name it.
    """

    logprob: float
    end_logprob: float | None


@dataclass(frozen=True, slots=True)
class Forcing:
    """How candidates are scored on one server.

    Attributes:
        method: of the two.
        takes_ids: whether prompts go as token ids; otherwise as text.
        steps: numbers of most probable tokens to ask for, until the wanted one is among them.
        fields: sent along with every request.
    """

    client: Client
    local: Local
    method: RankMethod
    takes_ids: bool
    steps: tuple[int, ...]
    fields: Mapping[str, object]

    def scores(
        self,
        prompt: Sequence[int],
        candidates: Sequence[Sequence[int]],
        end_of_turn: int,
        counters: RequestCounters,
    ) -> tuple[Scored, ...]:
        """Score every candidate after a prompt.

        Args:
            prompt: token ids.
            candidates: token ids of each, not empty.
            end_of_turn: token that ends an assistant turn.
            counters: what it costs is added here.

        Raises:
            ServerError: no proper response, or a token is not in it.
        """
        if self.method == "echo":
            return tuple(self._echoed(prompt, ids, end_of_turn, counters) for ids in candidates)
        wanted: dict[tuple[int, ...], dict[int, None]] = {}
        for ids in candidates:
            for place, token in enumerate((*ids, end_of_turn)):
                wanted.setdefault(tuple(ids[:place]), {})[token] = None
        # Sorted prefixes are the depth-first order: each shares with the one before all it can.
        found = {
            prefix: self._next((*prompt, *prefix), tuple(wanted[prefix]), counters)
            for prefix in sorted(wanted)
        }
        return tuple(_summed(ids, end_of_turn, found) for ids in candidates)

    def _next(
        self, prefix: Sequence[int], wanted: Sequence[int], counters: RequestCounters
    ) -> dict[int, float]:
        """Log-probabilities of the wanted tokens after a prefix; of those the server names."""
        named: dict[int, float] = {}
        most = 0
        for step in self.steps:
            entries = self._most_probable(prefix, step, counters)
            named = {
                token: entry.logprob
                for token in wanted
                if (entry := find(token, entries, self.local)) is not None
            }
            if len(named) == len(wanted) or len(entries) <= most:
                break
            most = len(entries)
        return named

    def _most_probable(
        self, prefix: Sequence[int], count: int, counters: RequestCounters
    ) -> list[NamedToken]:
        answer = self.client.complete(
            self._sent(prefix), max_tokens=1, temperature=0, logprobs=count, **self.fields
        )
        counters.add(answer)
        self._check_count(answer.data, len(prefix))
        return first_position(answer.data)

    def _echoed(
        self,
        prompt: Sequence[int],
        candidate: Sequence[int],
        end_of_turn: int,
        counters: RequestCounters,
    ) -> Scored:
        whole = (*prompt, *candidate, end_of_turn)
        answer = self.client.complete(
            self._sent(whole), max_tokens=1, temperature=0, logprobs=1, echo=True, **self.fields
        )
        counters.add(answer)
        self._check_count(answer.data, len(whole))
        numbers = echoed_logprobs(answer.data, len(whole))
        if numbers is None:
            raise ServerError("request", "logprobs", "the prompt's log-probabilities are missing")
        return Scored(sum(numbers[len(prompt) : -1]), numbers[-1])

    def _sent(self, ids: Sequence[int]) -> str | Sequence[int]:
        return ids if self.takes_ids else self.local.written(ids)

    def _check_count(self, data: Mapping[str, Any], expected: int) -> None:
        counted = usage_of(data).prompt
        if counted is not None and counted != expected:
            raise ServerError(
                "request",
                "tokens_differ",
                f"the server makes {counted} tokens of a prompt that has {expected}",
            )


def first_position(data: Mapping[str, Any]) -> list[NamedToken]:
    """Most probable tokens at the first generated place, in either form that servers use."""
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    logprobs = choice.get("logprobs") if isinstance(choice, dict) else None
    if not isinstance(logprobs, dict):
        return []
    content = logprobs.get("content")
    if isinstance(content, list):
        top = content[0].get("top_logprobs") if content else None
        return [_entry(item) for item in top] if isinstance(top, list) else []
    tops = logprobs.get("top_logprobs")
    if isinstance(tops, list) and tops and isinstance(tops[0], dict):
        return [
            NamedToken(_id_in(text), text, b"", float(value)) for text, value in tops[0].items()
        ]
    return []


def echoed_logprobs(data: Mapping[str, Any], tokens: int) -> list[float] | None:
    """Log-probabilities of an echoed prompt of so many tokens; None when they did not come back.

    The first token has none and counts 0.
    """
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    logprobs = choice.get("logprobs") if isinstance(choice, dict) else None
    numbers = logprobs.get("token_logprobs") if isinstance(logprobs, dict) else None
    if not isinstance(numbers, list) or not tokens <= len(numbers) <= tokens + 1:
        return None
    rest = numbers[1:tokens]
    if not all(isinstance(number, int | float) for number in rest):
        return None
    return [0.0, *map(float, rest)]


def find(token: int, entries: Sequence[NamedToken], local: Local) -> NamedToken | None:
    """The entry of a token; by id where the server gives ids, else by bytes or text."""
    if any(entry.id is not None for entry in entries):
        return next((entry for entry in entries if entry.id == token), None)
    text = local.written((token,))
    if _UNREADABLE in text:
        return None
    names = local.token_names(token)
    data = text.encode()
    matches = [
        entry for entry in entries if (entry.data == data if entry.data else entry.text in names)
    ]
    return matches[0] if len(matches) == 1 else None


def _summed(
    ids: Sequence[int], end_of_turn: int, found: Mapping[tuple[int, ...], Mapping[int, float]]
) -> Scored:
    total = 0.0
    for place, token in enumerate(ids):
        number = found[tuple(ids[:place])].get(token)
        if number is None:
            raise ServerError(
                "request", "logprobs", "a candidate's token is not among those the server names"
            )
        total += number
    return Scored(total, found[tuple(ids)].get(end_of_turn))


def _entry(item: Mapping[str, Any]) -> NamedToken:
    text = str(item.get("token", ""))
    number = item.get("id")
    data = item.get("bytes")
    return NamedToken(
        number if isinstance(number, int) else _id_in(text),
        text,
        bytes(data) if isinstance(data, list) else b"",
        float(item.get("logprob", float("-inf"))),
    )


def _id_in(text: str) -> int | None:
    name, _, digits = text.partition(_ID_TOKEN)
    return int(digits) if not name and digits.isdigit() else None
