"""An engine made of several: whole units go to workers, replies come back as they are ready."""

from __future__ import annotations

import time
from collections.abc import Iterator

from qwen_bench.engines.ray.agreement import joint_identity
from qwen_bench.engines.ray.pool import Pool
from qwen_bench.protocol import Abilities, Identity, Reply, Unit
from qwen_bench.record.counters import Counters


class PooledEngine:
    """Implements `qwen_bench.protocol.SideBySideEngine` on a pool.

    Args:
        pool: workers, which load the model now.
        place: of its SPEC among those of the command.

    Raises:
        QwenBenchError: the model cannot be used as given, or the workers cannot be had.
    """

    def __init__(self, pool: Pool, place: int) -> None:
        opened = pool.open(place)
        self._pool = pool
        self._abilities = opened[0].abilities
        self._identity = joint_identity(opened)
        self._seconds = 0.0

    def identity(self) -> Identity:
        """Who answers: any of the workers, and how many they are."""
        return self._identity

    def abilities(self) -> Abilities:
        """Those of each worker."""
        return self._abilities

    def answer(self, unit: Unit) -> Iterator[Reply]:
        """One unit alone, on one worker."""
        return self.answer_all(iter((unit,)))

    def answer_all(self, units: Iterator[Unit]) -> Iterator[Reply]:
        """Replies unit by unit as they are ready; see the protocol.

        Raises:
            EngineError: no worker is left.
        """
        begun = time.perf_counter()
        try:
            for replies in self._pool.answers(units):
                yield from replies
        finally:
            self._seconds += time.perf_counter() - begun

    def counters(self) -> Counters:
        """Work of all workers.

        Sums, processor time and the seconds of single phases included; peaks of memory, rows and
        load time are those of one worker. `seconds` is the time that passed here, so that tokens
        per second are those of the pool.
        """
        counters = self._pool.counters()
        counters.seconds = self._seconds
        return counters

    def close(self) -> None:
        """Keep the workers: they free the model when they open the next one, or end."""
