"""One worker: a process that holds one copy of the weights and answers whole units.

Walks through the SPECs of a command as a single process would, so a base and its adapters share
the weights. Errors a user can mend travel as values: not every exception survives pickling. Knows
nothing of Ray, which only makes an actor of the class.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from qwen_bench.engines.complete_replies import complete
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.errors import QwenBenchError
from qwen_bench.protocol import Abilities, Engine, Identity, Reply, Unit
from qwen_bench.record.counters import Counters
from qwen_bench.version import __version__

EngineOpener = Callable[
    [Sequence[ModelSpec], EngineOptions], AbstractContextManager[Iterator[Engine]]
]


@dataclass(frozen=True, slots=True)
class Opened:
    """An engine is ready, of this version of qwen-bench."""

    identity: Identity
    abilities: Abilities
    counters: Counters
    version: str = __version__


@dataclass(frozen=True, slots=True)
class Answered:
    """The replies to one unit, and all work of the engine so far."""

    replies: tuple[Reply, ...]
    counters: Counters


@dataclass(frozen=True, slots=True)
class WorkerRefusal:
    """An error that a user can mend, on its way between processes."""

    kind: type[QwenBenchError]
    message: str
    state: Mapping[str, Any]

    @classmethod
    def of(cls, error: QwenBenchError) -> Self:
        """The error without its traceback."""
        return cls(type(error), error.message, dict(vars(error)))

    @property
    def error(self) -> QwenBenchError:
        """The error as it was raised, whatever its class wants to be made from."""
        error = self.kind.__new__(self.kind, self.message)
        error.__dict__.update(self.state)
        return error


class Worker:
    """The engines of a command in one process, opened one after the other.

    Args:
        specs: of models to load, in order.
        options: of one engine.
        opener: gives an engine for each SPEC in turn; `engines.registry.open_engines`.
    """

    def __init__(
        self, specs: Sequence[ModelSpec], options: EngineOptions, opener: EngineOpener
    ) -> None:
        self._specs = specs
        self._options = options
        self._opener = opener
        self._stack = ExitStack()
        self._engines: Iterator[Engine] | None = None
        self._engine: Engine | None = None
        self._following = 0

    def start(self) -> int:
        """The process is up; its id."""
        return os.getpid()

    def open(self, place: int) -> Opened | WorkerRefusal:
        """Load the engine of one SPEC; engines before it are closed, and skipped in a new process.

        Args:
            place: of the SPEC; never lower than the one before.
        """
        try:
            if self._engines is None:
                engines = self._opener(self._specs[place:], self._options)
                self._engines = self._stack.enter_context(engines)
                self._following = place
            while self._following <= place:
                self._engine = next(self._engines)
                self._following += 1
        except QwenBenchError as error:
            return WorkerRefusal.of(error)
        engine = self._opened_engine()
        return Opened(engine.identity(), engine.abilities(), engine.counters())

    def answer(self, unit: Unit) -> Answered | WorkerRefusal:
        """Answer a unit, one reply a request; an exception inside the engine becomes replies."""
        engine = self._opened_engine()
        unanswered = {(request.id, request.mode): request for request in unit.requests}
        try:
            answers = complete(partial(engine.answer, unit), unanswered)
            replies = tuple(reply for _, reply in answers)
        except QwenBenchError as error:
            return WorkerRefusal.of(error)
        return Answered(replies, engine.counters())

    def _opened_engine(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("a worker was asked before its engine was opened")
        return self._engine
