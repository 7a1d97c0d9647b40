"""What an engine takes, what it gives, and what it counts.

A request carries messages, never token ids; the engine renders them through `qwen_bench.chat` with
the model's own template. Every request gets exactly one reply, whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from qwen_bench.chat.messages import Conversation
from qwen_bench.record.counters import Counters
from qwen_bench.record.manifest import DecodingInfo, EngineInfo, ModelInfo, TemplateInfo
from qwen_bench.record.outcome import Mode, Status


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen: greedily at temperature 0, otherwise drawn.

    Every request draws from a generator of its own, seeded from `seed` and the request's id, so
    that what is answered beside it cannot change its answer.

    Attributes:
        temperature: 0 takes the most probable token; the other fields have no effect then.
        top_p: draw from the most probable tokens that together have this probability.
        top_k: draw from this many most probable tokens; 0 for all.
        seed: of the run.

    Raises:
        ValueError: a value out of range.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.top_k < 0:
            raise ValueError(f"not a way to sample: {self}")


GREEDY = Sampling()


@dataclass(frozen=True, slots=True)
class Generation:
    """How answers are generated; the same for all requests of a run.

    Attributes:
        max_new_tokens: budget of an answer, counted after the thought.
        max_thinking_tokens: budget of the thought before it, its closing tag included; nothing is
            spent by models that do not think.
        sampling: how tokens are chosen.
    """

    max_new_tokens: int = 64
    max_thinking_tokens: int = 2048
    sampling: Sampling = GREEDY


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to answer.

    Attributes:
        id: opaque; with `mode` it is unique within a run.
        messages: the conversation, ending with a user message.
        candidates: strings to rank; empty for `generate`.
        max_new_tokens: budget of a generated answer, counted after its thought.
        max_thinking_tokens: budget of the thought before it, closing tag included.
        sampling: how tokens are chosen.

    Raises:
        ValueError: a budget below 1, or candidates that cannot be ranked.
    """

    id: str
    messages: Conversation
    mode: Mode
    candidates: tuple[str, ...] = ()
    max_new_tokens: int = 64
    max_thinking_tokens: int = 2048
    sampling: Sampling = GREEDY

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.max_thinking_tokens < 1:
            raise ValueError(f"{self.id}: a budget is below 1")
        if self.mode == "rank" and (
            len(self.candidates) < 2
            or len(set(self.candidates)) != len(self.candidates)
            or not all(self.candidates)
        ):
            raise ValueError(f"{self.id}: ranking needs two or more distinct, non-empty candidates")


@dataclass(frozen=True, slots=True)
class Unit:
    """All requests of one dialogue: the unit of planning, memory and retry.

    Raises:
        ValueError: two requests share id and mode.
    """

    dialogue: str
    requests: tuple[Request, ...]

    def __post_init__(self) -> None:
        keys = [(request.id, request.mode) for request in self.requests]
        if len(set(keys)) != len(keys):
            raise ValueError(f"{self.dialogue}: a request occurs twice")


@dataclass(frozen=True, slots=True)
class Score:
    """Log-probability of one candidate after the prompt.

    Attributes:
        logprob: sum over the candidate's tokens, natural log.
        end_logprob: log-probability of the end-of-turn token after it.
        tokens: number of the candidate's tokens.
    """

    candidate: str
    logprob: float
    end_logprob: float | None
    tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request. What an engine cannot know is None, never guessed.

    Attributes:
        status: an engine may say `ok` of an answer without a word, the scorer makes it `empty`;
            `empty` is for what a server sent that is no text, named by error type and message.
        reason: for too_long and error the cause (`local`, `server`, `oom`, ...), for truncated
            `length` or `thinking`; `thinking` also where the model stopped inside its thought.
        finish_reason: `stop`, `length`, or `thinking` where a budget ended the thought.
        text: the generated text, special tokens removed, thinking stripped; None without output.
        scores: in the order of the request's candidates; rank only.
        margin: smallest gap between the best two log-probabilities over the answer, in nats.
        seconds: share of the wall time of its batch.
        cached_tokens: prompt tokens that a server took from its cache.
        prompt_sha256: of the rendered prompt text.
        dropped_turns: number of oldest user turns that the history policy left out.
    """

    id: str
    mode: Mode
    status: Status
    reason: str | None = None
    text: str | None = None
    scores: tuple[Score, ...] = ()
    finish_reason: str | None = None
    stop_token: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    thought_tokens: int | None = None
    margin: float | None = None
    seconds: float = 0.0
    prompt_sha256: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    dropped_turns: int = 0


@dataclass(frozen=True, slots=True)
class Abilities:
    """What an engine can do; None for `max_context` means unlimited or unknown.

    Attributes:
        system_messages: the chat template writes a system message where one is given.
        rank_refusal: why `rank` is False, for the message that refuses a suite.
    """

    generate: bool = True
    rank: bool = True
    max_context: int | None = None
    system_messages: bool = True
    rank_refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers: what the manifest records of model, template, generation and engine.

    Attributes:
        engine: may hold further keys of the engine's own.
    """

    model: ModelInfo
    template: TemplateInfo
    generation: DecodingInfo
    engine: EngineInfo
    warnings: tuple[str, ...] = ()


class Engine(Protocol):
    """Anything that answers units. Third parties register one under `qwen_bench.engines`."""

    def identity(self) -> Identity:
        """Who answers; the same before and after answering."""
        ...

    def abilities(self) -> Abilities:
        """Modes and limits of this engine."""
        ...

    def answer(self, unit: Unit) -> Iterator[Reply]:
        """Answer every request of the unit, one reply each, as batches finish.

        Raises:
            EngineError: the engine cannot do the work at all; faults of one request are replies.
        """
        ...

    def counters(self) -> Counters:
        """Work done so far."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


ReadTokens = Callable[[int, int], None]
"""Told how many tokens were read of how many that the questions of a dialogue share."""


@runtime_checkable
class TellingEngine(Engine, Protocol):
    """An engine that tells how far it is while it reads a long history."""

    def tell(self, read: ReadTokens) -> None:
        """Call `read` after each part of what `answer` reads, in the thread that answers.

        What it raises ends the unit at once; its other answers are lost.
        """
        ...


@runtime_checkable
class SideBySideEngine(Engine, Protocol):
    """An engine that answers several units at one time."""

    def answer_all(self, units: Iterator[Unit]) -> Iterator[Reply]:
        """Answer every request of all units, one reply each, in whatever order they are ready.

        A unit is taken from `units` only when there is room to work on it, so that whoever gives
        them can stop by giving no more; what was taken is answered.

        Raises:
            EngineError: the engine cannot go on at all; faults of one unit are replies.
        """
        ...
