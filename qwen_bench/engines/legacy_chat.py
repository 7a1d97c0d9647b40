"""Objects with a `.chat(tokenizer, query, history=..., system=...)` method, as Qwen v1 had it.

For Python only: the caller loads the object, in whatever environment it needs. Its `chat` writes
the prompt by itself and silently leaves out old turns, so its rule is rebuilt here and such an
answer is never asked for. Knows no weights and no template; imports no model library before it has
to read weights.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from qwen_bench.chat.messages import Conversation, Message
from qwen_bench.chat.policy import FULL, Policy, keep
from qwen_bench.engines.fingerprint import state_fingerprint
from qwen_bench.errors import EngineError, InputError
from qwen_bench.protocol import Abilities, Identity, Reply, Request, Unit
from qwen_bench.record.counters import Counters
from qwen_bench.record.manifest import DecodingInfo, EngineInfo, ModelInfo, TemplateInfo

DEFAULT_SYSTEM = "You are a helpful assistant."
"""What `chat` of Qwen v1 puts into the system block when it is given nothing."""
DEFAULT_WINDOW = 6144
"""Tokens of system and history that Qwen v1 keeps when its generation config does not say."""
_PINNED = {"repetition_penalty": 1.0, "do_sample": False}
_ABSENT = object()


class BadHistoryError(Exception):
    """A conversation that cannot be said as pairs of question and answer."""


class Spoken(NamedTuple):
    """A conversation in the words of `.chat`.

    Attributes:
        system: None leaves it to the object.
        pairs: (question, answer), oldest first.
    """

    system: str | None
    pairs: tuple[tuple[str, str], ...]
    query: str


def spoken(messages: Conversation, *, takes_system: bool) -> Spoken:
    """Take a conversation apart.

    Raises:
        BadHistoryError: it does not alternate, does not end with the user, or begins with a system
            message that `chat` does not take.
    """
    system = messages[0].content if messages and messages[0].role == "system" else None
    if system is not None and not takes_system:
        raise BadHistoryError("chat() takes no system message")
    turns = messages[1:] if system is not None else messages
    wanted = ["user", "assistant"] * (len(turns) // 2) + ["user"]
    if [message.role for message in turns] != wanted:
        said = " ".join(message.role for message in turns) or "nothing"
        raise BadHistoryError(
            f"user and assistant must alternate and end with user; there is {said}"
        )
    words = [message.content for message in turns]
    return Spoken(system, tuple(zip(words[:-1:2], words[1::2], strict=True)), words[-1])


class QwenV1Counter:
    """Counts tokens as `make_context` of Qwen v1 does; for policies and its own window.

    Args:
        tokenizer: of the object; its `encode` takes ``allowed_special`` or is a plain one.
    """

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 - the caller's
        self._tokenizer = tokenizer

    def text_tokens(self, text: str) -> int:
        """Tokens of a text encoded alone, special strings as plain text."""
        try:
            return len(self._tokenizer.encode(text, allowed_special=set()))
        except TypeError:
            return len(self._tokenizer.encode(text, add_special_tokens=False))

    def system_text(self, messages: Sequence[Message]) -> str | None:
        """Text of the system block; Qwen v1 always has one."""
        return messages[0].content if messages[0].role == "system" else DEFAULT_SYSTEM

    def prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the complete prompt: blocks joined by newlines, then the assistant's header."""
        newline = self.text_tokens("\n")
        system = Message("system", self.system_text(messages) or "")
        turns = messages[1:] if messages[0].role == "system" else messages
        blocks = sum(
            # Start and end of a block are one id each, whatever the tokenizer makes of other text.
            2 + self.text_tokens(message.role) + newline + self.text_tokens(message.content)
            for message in (system, *turns)
        )
        opening = 1 + self.text_tokens("assistant") + newline
        return blocks + newline * (len(turns) + 1) + opening


class LegacyChat:
    """Implements `qwen_bench.protocol.Engine` on an object with a `.chat` method.

    It generates only, one answer after the other, nothing shared. The object's generation config is
    set to greedy decoding without penalty while it answers, and is put back afterwards.

    Args:
        model: the object; `chat` returns a text, or a text and a history.
        tokenizer: passed on to it, and counts tokens here.
        label: name in tables.
        fingerprint: tells these weights from others; by default the hash of `model.state_dict()`,
            which reads every weight once.
        window: tokens of history it keeps; by default what its generation config says.
        policy: which turns of a history are sent.

    Raises:
        InputError: there is no `chat`, or nothing to make a fingerprint of.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - the caller's
        tokenizer: Any,  # noqa: ANN401 - the caller's
        *,
        label: str = "legacy",
        fingerprint: str | None = None,
        window: int | None = None,
        policy: Policy = FULL,
    ) -> None:
        if not callable(getattr(model, "chat", None)):
            raise InputError(f"{type(model).__name__} has no method chat(tokenizer, query, ...)")
        self._model = model
        self._tokenizer = tokenizer
        self._label = label
        self._policy = policy
        self._counter = QwenV1Counter(tokenizer)
        self._takes_system = _takes(model.chat, "system")
        self._config = getattr(model, "generation_config", None)
        said = getattr(self._config, "max_window_size", None)
        self._window = window or (said if isinstance(said, int) else DEFAULT_WINDOW)
        if fingerprint is None and not callable(getattr(model, "state_dict", None)):
            raise InputError(
                f"{type(model).__name__} has no state_dict to tell its weights from others",
                fix="LegacyChat(..., fingerprint='a text that changes with the weights')",
            )
        self._fingerprint = fingerprint or state_fingerprint(model.state_dict())
        self._shipped = {
            name: value
            for name in (*_PINNED, "max_new_tokens", "top_p", "top_k", "temperature")
            if (value := getattr(self._config, name, None)) is not None
        }
        self._counters = Counters(forward_tokens=None)

    def identity(self) -> Identity:
        """Who answers; what the object does not say is left out."""
        config = getattr(self._model, "config", None)
        dtype = getattr(self._model, "dtype", None)
        model = ModelInfo(
            spec=f"python:{self._label}",
            label=self._label,
            kind="python",
            fingerprint=self._fingerprint,
            architecture=type(self._model).__name__,
            context_window=_whole(config, "seq_length"),
            dtype=None if dtype is None else str(dtype).removeprefix("torch."),
        )
        template = TemplateInfo(
            source="v1 code", default_system=DEFAULT_SYSTEM if self._takes_system else None
        )
        generation = DecodingInfo(checkpoint_defaults=dict(self._shipped))
        own: dict[str, Any] = {"max_window_size": self._window}
        engine = EngineInfo(
            name="legacy",
            device=str(getattr(self._model, "device", None) or "") or None,
            batch_size=1,
            prefix_sharing="none",
            **own,
        )
        return Identity(model, template, generation, engine, self._warnings())

    def abilities(self) -> Abilities:
        """Generates; a system message only if `chat` takes one."""
        return Abilities(
            rank=False,
            rank_refusal="objects with a .chat method give no log-probabilities",
            max_context=_whole(getattr(self._model, "config", None), "seq_length"),
            system_messages=self._takes_system,
        )

    def counters(self) -> Counters:
        """Requests and seconds; what went through the model is not known."""
        return replace(self._counters)

    def close(self) -> None:
        """Free nothing: the object is the caller's."""

    def answer(self, unit: Unit) -> Iterator[Reply]:
        """One reply for each request, in order.

        Raises:
            EngineError: a request wants candidates ranked, or answers drawn.
        """
        for request in unit.requests:
            if request.mode == "rank":
                raise EngineError(f"{self._label} cannot rank candidates")
            if request.sampling.temperature:
                raise EngineError(f"{self._label} is asked greedily; temperature 0 alone")
            begun = time.perf_counter()
            reply = self._reply(request)
            seconds = time.perf_counter() - begun
            self._counters.requests += 1
            self._counters.seconds += seconds
            yield replace(reply, seconds=seconds)

    def _reply(self, request: Request) -> Reply:
        kept = keep(self._policy, request.messages, self._counter)
        known = Reply(request.id, "generate", "ok", dropped_turns=kept.dropped)
        try:
            said = spoken(kept.messages, takes_system=self._takes_system)
        except BadHistoryError as error:
            return _failed(known, "bad_history", error)
        known = replace(known, prompt_tokens=self._counter.prompt_tokens(kept.messages))
        cut = keep(Policy("qwen-v1", self._window), kept.messages, self._counter).dropped
        if cut:
            message = f"the window of {self._window} tokens drops {cut} turns"
            return replace(known, status="too_long", reason="cut", error_message=message)
        limit = self.abilities().max_context
        need = (known.prompt_tokens or 0) + request.max_new_tokens
        if limit is not None and need > limit:
            message = f"{need} tokens, the context window has {limit}"
            return replace(known, status="too_long", reason="local", error_message=message)
        try:
            with self._pinned(request.max_new_tokens):
                text = self._chat(said)
        except Exception as error:  # noqa: BLE001 - foreign code; its error is the row's
            return _failed(known, "oom" if _is_memory(error) else "chat", error)
        return replace(known, text=text)

    def _chat(self, said: Spoken) -> str:
        """Ask the object; the list of pairs is its own, as early versions append to it.

        Raises:
            TypeError: it returned no text.
        """
        system = {} if said.system is None else {"system": said.system}
        answer = self._model.chat(self._tokenizer, said.query, history=[*said.pairs], **system)
        text = answer[0] if isinstance(answer, tuple) and answer else answer
        if not isinstance(text, str):
            raise TypeError(f"chat() returned {type(text).__name__}, not a text")
        return text

    @contextmanager
    def _pinned(self, max_new_tokens: int) -> Iterator[None]:
        """The generation config set for one answer."""
        if self._config is None:
            yield
            return
        settings: dict[str, object] = {**_PINNED, "max_new_tokens": max_new_tokens}
        before = {name: getattr(self._config, name, _ABSENT) for name in settings}
        try:
            for name, value in settings.items():
                setattr(self._config, name, value)
            yield
        finally:
            for name, value in before.items():
                if value is _ABSENT:
                    delattr(self._config, name)
                else:
                    setattr(self._config, name, value)

    def _warnings(self) -> tuple[str, ...]:
        if self._config is None:
            what = "penalty, sampling and length of answers are its own"
            return (f"{self._label} has no generation_config; its {what}",)
        penalty = self._shipped.get("repetition_penalty", 1.0)
        if penalty != 1.0:
            return (f"{self._label} sets repetition_penalty {penalty}; the benchmark uses 1.0",)
        return ()


def _failed(reply: Reply, reason: str, error: Exception) -> Reply:
    return replace(
        reply,
        status="error",
        reason=reason,
        error_type=type(error).__name__,
        error_message=str(error),
    )


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def _takes(function: Any, name: str) -> bool:  # noqa: ANN401 - the caller's
    """Whether a function names this parameter; one that takes any keyword may ignore it."""
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def _whole(holder: object, name: str) -> int | None:
    value = getattr(holder, name, None)
    return value if isinstance(value, int) and value > 0 else None
