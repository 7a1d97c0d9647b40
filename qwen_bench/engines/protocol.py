"""What an engine takes, what it gives, and what it counts.

A request carries messages, never token ids; the engine renders them through `qwen_bench.chat` with
the model's own template. Every request gets exactly one reply, whatever happens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, Protocol

from qwen_bench.chat.messages import Conversation

Mode = Literal["generate", "rank"]
MODES: tuple[Mode, ...] = ("generate", "rank")
ReplyStatus = Literal["ok", "truncated", "refused", "too_long", "error"]
Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to answer.

    Attributes:
        id: opaque; with `mode` it is unique within a run.
        messages: the conversation, ending with a user message.
        candidates: strings to rank; empty for `generate`.
        max_new_tokens: budget of a generated answer.
    """

    id: str
    messages: Conversation
    mode: Mode
    candidates: tuple[str, ...] = ()
    max_new_tokens: int = 64

    def __post_init__(self) -> None:
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
            `length` or `thinking`.
        text: the generated text, special tokens removed, thinking stripped; None without output.
        scores: in the order of the request's candidates; rank only.
        margin: smallest gap between the best two log-probabilities over the answer, in nats.
        seconds: share of the wall time of its batch.
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
    """

    generate: bool = True
    rank: bool = True
    max_context: int | None = None
    system_messages: bool = True


@dataclass(slots=True)
class Efficiency:
    """Counters of the work done so far; names and definitions as in `summary.json`.

    Attributes:
        naive_tokens: tokens a runner without sharing would put through the model: prompt +
            generated - 1 per generate, sum over candidates of prompt + candidate per rank.
        tree_tokens: distinct nodes of the prefix trees, candidates included.
        decoded_tokens: generated tokens fed back.
        forward_tokens: `input_ids.numel()` at the single place that calls the model.
        padding_tokens: pads fed.
        recomputed_tokens: tree nodes fed again.
        peak_memory_bytes: device maximum, on CPU the process maximum, weights included.
        seconds: wall time inside `answer`, model load excluded.
    """

    requests: int = 0
    naive_tokens: int = 0
    tree_tokens: int = 0
    decoded_tokens: int = 0
    forward_tokens: int = 0
    padding_tokens: int = 0
    recomputed_tokens: int = 0
    peak_memory_bytes: int = 0
    seconds: float = 0.0
    load_seconds: float = 0.0

    @property
    def sharing_ratio(self) -> float | None:
        """Naive tokens for each token that really went through the model; None before any."""
        return self.naive_tokens / self.forward_tokens if self.forward_tokens else None

    @property
    def tokens_per_second(self) -> float | None:
        """Forward tokens per second of answering; None before any."""
        return self.forward_tokens / self.seconds if self.seconds and self.forward_tokens else None

    def as_dict(self) -> dict[str, float | int | None]:
        """Counters and the two ratios, for `summary.json`."""
        counters: dict[str, float | int | None] = {
            item.name: getattr(self, item.name) for item in fields(self)
        }
        return counters | {
            "sharing_ratio": self.sharing_ratio,
            "tokens_per_second": self.tokens_per_second,
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
