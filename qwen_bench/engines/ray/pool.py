"""Sharing units out over workers that may die.

Longest first is the caller's matter. A worker has at most two units: one at work and one that waits
beside it, so that it never idles between them. A worker that dies is replaced; both units are given
out again, and the one at work is charged with the death. (A worker that dies within milliseconds of
beginning a unit may take the reply before with it; then the unit before is charged.) Ray's own
`max_restarts` and `max_task_retries` cannot count like that: in 2.60 a call that reaches an actor
which is still restarting uses up a retry, so that a single death may end a call that has three.
Knows Ray only through a `RayCluster`, so it runs in tests without.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from qwen_bench.engines.complete_replies import failure
from qwen_bench.engines.ray.agreement import joint_counters, refuse_difference
from qwen_bench.engines.ray.worker import Answered, Opened, WorkerRefusal
from qwen_bench.errors import EngineError, QwenBenchError
from qwen_bench.protocol import Reply, Unit
from qwen_bench.record.counters import Counters

if TYPE_CHECKING:
    from qwen_bench.engines.ray.cluster import RayCluster

TRIES = 3
"""Times that a unit is given to a worker, and that a worker is started, before giving up."""
IN_FLIGHT = 2
"""Units a worker has at one time."""
LOST_IN_A_ROW = 5
"""Units given up with no unit answered in between after which nothing is expected to work."""
START_SECONDS = 300.0
"""How long nothing may happen while a worker waits for its place on the cluster."""


class WorkerLostError(Exception):
    """A worker's process ended before it gave a result; its text says why, as far as is known."""


@dataclass(slots=True, eq=False)
class _Given:
    """A unit and how many workers died of it."""

    unit: Unit
    deaths: int = 0


@dataclass(slots=True, eq=False)
class _Slot:
    """A place for a worker, and the worker that has it now.

    Attributes:
        placed: its process is up.
        opened: what its engine said; None while it loads.
        calls: under way, in their order, with the unit that each answers.
        starts: processes in a row that died before an engine was ready.
    """

    worker: Any
    placed: bool = False
    opened: Opened | None = None
    counters: Counters | None = None
    calls: dict[Hashable, _Given | None] = field(default_factory=dict)
    starts: int = 1

    @property
    def units(self) -> list[_Given]:
        """The units it has, the one at work first."""
        return [given for given in self.calls.values() if given is not None]


_Ended = list[tuple[_Given, Answered | None]]
"""Units that came back, without replies where their worker died."""


class Pool:
    """Workers that all have the same engine open.

    Args:
        cluster: where they run.
        size: how many.
    """

    def __init__(self, cluster: RayCluster, size: int) -> None:
        self._cluster = cluster
        self._size = size
        self._place = 0
        self._slots: list[_Slot] = []
        self._retired: list[Counters] = []
        self._reference: Opened | None = None
        self._failure: QwenBenchError | None = None
        self._loss = ""
        self._lost_in_a_row = 0
        self.retries = 0

    def open(self, place: int) -> tuple[Opened, ...]:
        """Open the engine of a SPEC in every worker and wait until all are ready.

        Raises:
            QwenBenchError: the model cannot be used as given.
            EngineError: a worker finds no place, dies while loading, or answers otherwise than
                the others would.
        """
        self._place = place
        self._reference = self._failure = None
        self._retired.clear()
        self._lost_in_a_row = self.retries = 0
        missing = self._size - len(self._slots)
        self._slots += [_Slot(self._cluster.begin()) for _ in range(missing)]
        for slot in self._slots:
            slot.counters = None
            self._load(slot)
        while any(slot.opened is None for slot in self._slots):
            self._turn()
            if len(self._slots) < self._size:
                raise _no_worker_left(self._loss)
        return tuple(slot.opened for slot in self._slots if slot.opened is not None)

    def answers(self, units: Iterator[Unit]) -> Iterator[tuple[Reply, ...]]:
        """Replies unit by unit, as they come; a unit is taken when a worker has room for it.

        Raises:
            QwenBenchError: a worker met something that a user must mend.
            EngineError: no worker is left, or every unit kills its worker.
        """
        again: deque[_Given] = deque()
        source = map(_Given, units)
        try:
            while True:
                done = self._hand_out(again, source)
                if done and not any(slot.units for slot in self._slots):
                    return
                for given, answered in self._turn():
                    if answered is not None:
                        self._lost_in_a_row = 0
                        yield answered.replies
                    elif given.deaths < TRIES:
                        self.retries += 1
                        again.appendleft(given)
                    else:
                        yield self._given_up(given.unit)
        finally:
            for slot in self._slots:
                slot.calls = {call: None for call, given in slot.calls.items() if given is None}

    def counters(self) -> Counters:
        """Work of all workers on the opened SPEC, those that died included, as far as they told."""
        known = [slot.counters for slot in self._slots if slot.counters is not None]
        return replace(joint_counters([*self._retired, *known]), retries=self.retries)

    def end(self) -> None:
        """End every worker."""
        for slot in self._slots:
            self._cluster.end(slot.worker)
        self._slots.clear()

    def _load(self, slot: _Slot) -> None:
        """Have a worker open the engine as soon as its process is up."""
        slot.placed, slot.opened = False, None
        slot.calls = {
            self._cluster.call(slot.worker, "start"): None,
            self._cluster.call(slot.worker, "open", self._place): None,
        }

    def _hand_out(self, again: deque[_Given], source: Iterator[_Given]) -> bool:
        """Fill the ready workers, those with least to do first; True when no unit is left."""
        for room in range(IN_FLIGHT):
            for slot in self._slots:
                if slot.opened is None or len(slot.units) > room:
                    continue
                given = again.popleft() if again else next(source, None)
                if given is None:
                    return True
                slot.calls[self._cluster.call(slot.worker, "answer", given.unit)] = given
        return False

    def _turn(self) -> _Ended:
        """Wait for something to happen."""
        if self._failure is not None:  # of the last turn, whose replies came first
            raise self._failure
        if not self._slots:
            raise _no_worker_left(self._loss)
        unplaced = [slot for slot in self._slots if not slot.placed]
        calls = [call for slot in self._slots for call in slot.calls]
        ended = self._cluster.wait(calls, START_SECONDS if unplaced else None)
        if not ended:
            for slot in unplaced:
                self._give_up(slot)
        found: _Ended = []
        for slot in list(self._slots):
            for call in [call for call in slot.calls if call in ended]:
                try:
                    self._receive(slot, call, found)
                except WorkerLostError as loss:
                    self._loss = str(loss)
                    self._replace(slot, found)
                    break
                except QwenBenchError as error:
                    self._failure = error
        return found

    def _receive(self, slot: _Slot, call: Hashable, found: _Ended) -> None:
        """Take in what a call gave."""
        result = self._cluster.result(call)
        if isinstance(result, WorkerRefusal):
            raise result.error
        given = slot.calls.pop(call)
        if isinstance(result, Opened):
            self._reference = self._reference or result
            refuse_difference(self._reference, result)
            slot.opened, slot.counters, slot.starts = result, result.counters, 1
        elif isinstance(result, Answered) and given is not None:
            slot.counters = result.counters
            found.append((given, result))
        slot.placed = True

    def _replace(self, slot: _Slot, found: _Ended) -> None:
        """Another worker takes the place of a dead one; the unit it was at is charged."""
        for given in slot.units[:1]:
            given.deaths += 1
        found += [(given, None) for given in slot.units]
        if slot.counters is not None:
            self._retired.append(slot.counters)
            slot.counters = None
        slot.starts += slot.opened is None
        if slot.starts > TRIES:
            self._give_up(slot)
            return
        self._cluster.end(slot.worker)
        slot.worker = self._cluster.begin()
        self._load(slot)

    def _give_up(self, slot: _Slot) -> None:
        self._cluster.end(slot.worker)
        self._slots.remove(slot)

    def _given_up(self, unit: Unit) -> tuple[Reply, ...]:
        """Error replies for a unit that no worker survives."""
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= LOST_IN_A_ROW:
            self._failure = EngineError(
                f"{LOST_IN_A_ROW} dialogues in a row killed their workers, {TRIES} times each",
                why="nothing was answered in between; often there is too little memory",
                fix="fewer --replicas, or shorter histories with --lengths",
            )
        message = f"the worker process died {TRIES} times at this dialogue"
        keys = [(request.id, request.mode) for request in unit.requests]
        return tuple(failure(key, "worker", "WorkerDied", message) for key in keys)


def _no_worker_left(loss: str) -> EngineError:
    reason = f"a process died {TRIES} times while loading the model, or found no place on the "
    return EngineError(
        "a worker cannot be started",
        why=[
            f"{reason}cluster within {START_SECONDS:.0f} seconds",
            "each worker holds a copy of the weights and needs the memory for it",
            *([f"Ray says: {loss}"] if loss else []),
        ],
        fix="fewer --replicas; the logs of Ray tell more",
    )
