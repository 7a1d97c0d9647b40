"""What an engine takes, what it gives, and what it counts.

A request carries messages, never token ids; the engine renders them through `qwen_bench.chat` with
the model's own template. Every request gets exactly one reply, whatever happens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, Protocol, runtime_checkable

from qwen_bench.chat.messages import Conversation

Mode = Literal["generate", "rank"]
MODES: tuple[Mode, ...] = ("generate", "rank")
ReplyStatus = Literal["ok", "truncated", "refused", "too_long", "error"]
Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


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
    status: ReplyStatus
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


@dataclass(slots=True)
class Efficiency:
    """Counters of the work done so far; names and definitions as in `summary.json`.

    Attributes:
        naive_tokens: tokens a runner without sharing would put through the model: prompt +
            generated - 1 per generate, sum over candidates of prompt + candidate per rank.
        tree_tokens: distinct nodes of the prefix trees, candidates included.
        decoded_tokens: generated tokens fed back.
        forward_tokens: `input_ids.numel()` at the single place that calls the model; None where a
            server does not tell.
        padding_tokens: pads fed.
        recomputed_tokens: tree nodes fed again.
        peak_kv_bytes: most bytes of keys and values (and running states) held at one time.
        peak_memory_bytes: device maximum, on CPU the process maximum, weights included.
        rows_max: most sequences computed together.
        oom_splits: times that memory ran out and less was computed together afterwards.
        retries: requests sent again to a server, or units given to another worker.
        seconds: wall time inside `answer`, model load excluded.
        cpu_seconds: processor time of this process inside `answer`.
        encode_seconds: wall time of rendering and encoding prompts.
        trunk_seconds: wall time of reading what prompts share.
        rows_seconds: wall time of reading questions and candidates.
        decode_seconds: wall time of generating answers.
    """

    requests: int = 0
    naive_tokens: int = 0
    tree_tokens: int = 0
    decoded_tokens: int = 0
    forward_tokens: int | None = 0
    padding_tokens: int = 0
    recomputed_tokens: int = 0
    peak_kv_bytes: int = 0
    peak_memory_bytes: int = 0
    rows_max: int = 0
    oom_splits: int = 0
    retries: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    encode_seconds: float = 0.0
    trunk_seconds: float = 0.0
    rows_seconds: float = 0.0
    decode_seconds: float = 0.0
    load_seconds: float = 0.0

    def put_through(self, tokens: int) -> None:
        """Count tokens that went through the model."""
        self.forward_tokens = (self.forward_tokens or 0) + tokens

    @property
    def sharing_ratio(self) -> float | None:
        """Naive tokens for each token that really went through the model; None before any."""
        return self.naive_tokens / self.forward_tokens if self.forward_tokens else None

    @property
    def tokens_per_second(self) -> float | None:
        """Forward tokens per second of answering; None before any."""
        return self.forward_tokens / self.seconds if self.seconds and self.forward_tokens else None

    @property
    def answers_per_second(self) -> float | None:
        """Replies per second of answering; None before any."""
        return self.requests / self.seconds if self.seconds and self.requests else None

    def as_dict(self) -> dict[str, float | int | None]:
        """Counters and the ratios made of them, for `summary.json`."""
        counters: dict[str, float | int | None] = {
            item.name: getattr(self, item.name) for item in fields(self)
        }
        return counters | {
            "sharing_ratio": self.sharing_ratio,
            "tokens_per_second": self.tokens_per_second,
            "answers_per_second": self.answers_per_second,
        }


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers: what the manifest records of model, template, generation and engine.

    Each mapping holds JSON values under the field names of `runs/manifest.py`.
    """

    model: Mapping[str, Json]
    template: Mapping[str, Json]
    generation: Mapping[str, Json]
    engine: Mapping[str, Json]
    warnings: tuple[str, ...] = field(default=())


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

    def counters(self) -> Efficiency:
        """Work done so far."""
        ...

    def close(self) -> None:
        """Free the model."""
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
