"""Sharing units out over workers that may die.

Longest first is the caller's matter; here a worker gets the next unit as soon as it has room. Each
worker has at most two: one at work and one that waits beside it, so that it never idles between
them. A worker that dies is replaced. The unit it was working on is given out again, twice at most;
the one that waited goes back without being charged. (A worker that dies within milliseconds of
beginning a unit may take the reply before with it; then the unit before is charged.) Knows workers
only through `Cluster`, so it runs in tests without Ray.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from qwen_bench.engines.complete_replies import failure
from qwen_bench.engines.ray.agreement import joint_counters, refuse_difference
from qwen_bench.engines.ray.worker import Answered, Opened, Refusal
from qwen_bench.errors import EngineError, QwenBenchError
from qwen_bench.protocol import Reply, Unit
from qwen_bench.record.counters import Counters

TRIES = 3
"""Times that a unit is given to a worker, and that a worker is started, before giving up."""
IN_FLIGHT = 2
"""Units a worker has at one time."""
LOST_IN_A_ROW = 5
"""Units given up with no unit answered in between after which nothing is expected to work."""
START_SECONDS = 300.0
"""How long a worker may wait for its place on the cluster; loading comes after that."""


class WorkerLostError(Exception):
    """A worker's process ended before it gave a result; the pool starts another.

    Its text says why as far as the cluster knows, in one line; empty otherwise.
    """


class Cluster(Protocol):
    """Where workers run. Every call but `wait` and `result` returns at once."""

    def begin(self) -> Any:  # noqa: ANN401 - whatever stands for a worker there
        """Start one more worker."""
        ...

    def call(self, worker: Any, method: str, *arguments: object) -> Hashable:  # noqa: ANN401
        """Call a method of `Worker`; calls of one worker are carried out in their order."""
        ...

    def wait(self, calls: Sequence[Hashable], seconds: float | None) -> set[Hashable]:
        """Calls that have ended, as soon as one has; none after the time."""
        ...

    def result(self, call: Hashable) -> Any:  # noqa: ANN401 - of the method called
        """Result of a call that has ended.

        Raises:
            WorkerLostError: the process died.
        """
        ...

    def end(self, worker: Any) -> None:  # noqa: ANN401
        """End a worker, dead or alive."""
        ...


@dataclass(slots=True, eq=False)
class _Task:
    """A unit and how many workers died of it."""

    unit: Unit
    deaths: int = 0


@dataclass(slots=True, eq=False)
class _Slot:
    """A place for a worker, and the worker that has it now.

    Attributes:
        began: when its process was asked for; None once it is up.
        opened: what its engine said; None while it loads.
        tasks: the units it has, the one at work first.
        charged: its death was put down to a unit.
        starts: processes in a row that died before an engine was ready.
    """

    worker: Any
    began: float | None = None
    opened: Opened | None = None
    counters: Counters | None = None
    tasks: deque[_Task] = field(default_factory=deque)
    charged: bool = False
    starts: int = 1


class Pool:
    """Workers that all have the same engine open.

    Args:
        cluster: where they run.
        size: how many.
        clock: seconds.
    """

    def __init__(
        self, cluster: Cluster, size: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._size = size
        self._place = 0
        self._slots: list[_Slot] = []
        self._calls: dict[Hashable, tuple[_Slot, _Task | None]] = {}
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
        self._calls.clear()
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
        again: deque[_Task] = deque()
        source = (_Task(unit) for unit in units)
        try:
            while True:
                done = self._hand_out(again, source)
                if done and not any(slot.tasks for slot in self._slots):
                    return
                for task, answered in self._turn():
                    if answered is not None:
                        self._lost_in_a_row = 0
                        yield answered.replies
                    elif task.deaths < TRIES:
                        self.retries += 1
                        again.appendleft(task)
                    else:
                        yield self._given_up(task)
        finally:
            self._calls = {call: item for call, item in self._calls.items() if item[1] is None}
            for slot in self._slots:
                slot.tasks.clear()
                slot.charged = False

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
        slot.began, slot.opened, slot.charged = self._clock(), None, False
        self._call(slot, "start")
        self._call(slot, "open", self._place)

    def _call(
        self, slot: _Slot, method: str, *arguments: object, task: _Task | None = None
    ) -> None:
        self._calls[self._cluster.call(slot.worker, method, *arguments)] = (slot, task)

    def _hand_out(self, again: deque[_Task], source: Iterator[_Task]) -> bool:
        """Fill the ready workers, those with least to do first; True when no unit is left."""
        for room in range(IN_FLIGHT):
            for slot in self._slots:
                if slot.opened is None or slot.charged or len(slot.tasks) > room:
                    continue
                task = again.popleft() if again else next(source, None)
                if task is None:
                    return True
                slot.tasks.append(task)
                self._call(slot, "answer", task.unit, task=task)
        return False

    def _turn(self) -> list[tuple[_Task, Answered | None]]:
        """Wait for something to happen; units that came back, without replies if it was death."""
        if not self._slots:
            raise _no_worker_left(self._loss)
        if self._failure is not None:  # of the last turn, whose replies came first
            raise self._failure
        finished: list[tuple[_Task, Answered | None]] = []
        ended = self._cluster.wait(tuple(self._calls), self._patience())
        # In the order of the calls: a worker's first loss is then that of the unit at work.
        for call in [call for call in self._calls if call in ended]:
            slot, task = self._calls.pop(call)
            try:
                result = self._cluster.result(call)
                self._receive(slot, task, result, finished)
            except WorkerLostError as loss:
                self._loss = str(loss)
                self._mourn(slot, task, finished)
            except QwenBenchError as error:
                self._failure = error
        self._drop_unplaced()
        return finished

    def _receive(
        self,
        slot: _Slot,
        task: _Task | None,
        result: object,
        finished: list[tuple[_Task, Answered | None]],
    ) -> None:
        """Take in what a call gave."""
        if isinstance(result, Refusal):
            raise result.error
        if isinstance(result, Opened):
            self._reference = self._reference or result
            refuse_difference(self._reference, result)
            slot.opened, slot.counters, slot.starts = result, result.counters, 1
        elif isinstance(result, Answered) and task is not None:
            slot.tasks.remove(task)
            slot.counters = result.counters
            finished.append((task, result))
        else:
            slot.began = None

    def _mourn(
        self, slot: _Slot, task: _Task | None, finished: list[tuple[_Task, Answered | None]]
    ) -> None:
        """One call of a dead worker; after the last one another worker takes its place."""
        if task is not None:
            if task is slot.tasks[0] and not slot.charged:
                slot.charged = True
                task.deaths += 1
            slot.tasks.remove(task)
            finished.append((task, None))
        if any(other is slot for other, _ in self._calls.values()):
            return
        if slot.counters is not None:
            self._retired.append(slot.counters)
            slot.counters = None
        self._cluster.end(slot.worker)
        slot.starts += slot.opened is None
        if slot.starts > TRIES:
            self._slots.remove(slot)
            return
        slot.worker = self._cluster.begin()
        self._load(slot)

    def _patience(self) -> float | None:
        """Seconds until a worker has waited too long for a place; None when none waits."""
        began = [slot.began for slot in self._slots if slot.began is not None]
        return max(0.0, min(began) + START_SECONDS - self._clock()) if began else None

    def _drop_unplaced(self) -> None:
        """Give up workers for which there is no room on the cluster."""
        late = self._clock() - START_SECONDS
        for slot in [slot for slot in self._slots if slot.began is not None and slot.began <= late]:
            self._calls = {call: item for call, item in self._calls.items() if item[0] is not slot}
            self._cluster.end(slot.worker)
            self._slots.remove(slot)

    def _given_up(self, task: _Task) -> tuple[Reply, ...]:
        """Error replies for a unit that no worker survives."""
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= LOST_IN_A_ROW:
            self._failure = EngineError(
                f"{LOST_IN_A_ROW} dialogues in a row killed their workers, {TRIES} times each",
                why="nothing was answered in between; often there is too little memory",
                fix="fewer --replicas, or shorter histories with --lengths",
            )
        message = f"the worker process died {TRIES} times at this dialogue"
        return tuple(
            failure((request.id, request.mode), "worker", "WorkerDied", message)
            for request in task.unit.requests
        )


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
