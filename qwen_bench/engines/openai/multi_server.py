"""Several servers of one model at work at one time.

Each has dialogues of its own, always the same ones, so that what its cache holds of a dialogue is
used. Knows units and servers; what goes out to a server is in `engine`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from queue import SimpleQueue

from qwen_bench.engines.complete_replies import complete
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.openai.address import address_of, read_addresses
from qwen_bench.engines.openai.engine import OpenAIEngine
from qwen_bench.errors import QwenBenchError
from qwen_bench.protocol import Engine, Reply, Unit
from qwen_bench.record.counters import Counters

AHEAD = 2
"""Units taken for each server: one at work, one waiting."""
_Answered = Reply | QwenBenchError | None


def open_servers(spec: ModelSpec, options: EngineOptions) -> Engine:
    """The engine on the server of `options.base_url`, or on all; errors as `OpenAIEngine`."""
    several = len(read_addresses(options.base_url)) > 1
    return SeveralServers(spec, options) if several else OpenAIEngine(spec, options)


class SeveralServers(OpenAIEngine):
    """Implements `qwen_bench.protocol.SideBySideEngine`; arguments as `OpenAIEngine`."""

    def __init__(self, spec: ModelSpec, options: EngineOptions, key: str | None = None) -> None:
        super().__init__(spec, options, key)
        self._number = len(read_addresses(options.base_url))
        self._seconds = self._cpu_seconds = 0.0

    def counters(self) -> Counters:
        """Work done so far; the seconds are those that passed, not the sum over servers."""
        return replace(super().counters(), seconds=self._seconds, cpu_seconds=self._cpu_seconds)

    def answer_all(self, units: Iterator[Unit]) -> Iterator[Reply]:
        """One reply for each request of all units, as servers give them.

        Raises:
            EngineError: a server refuses all requests.
            TemplateError: the template here loses part of a conversation.
        """
        answered: SimpleQueue[_Answered] = SimpleQueue()
        # One thread a server keeps its dialogues apart: one after the other, as its cache wants it.
        servers = [ThreadPoolExecutor(1) for _ in range(self._number)]
        under_way = 0
        begun, cpu = time.perf_counter(), time.process_time()
        try:
            while True:
                while under_way < AHEAD * self._number and (unit := next(units, None)) is not None:
                    lane = servers[address_of(unit.dialogue, self._number)]
                    lane.submit(self._work, unit, answered)
                    under_way += 1
                if not under_way:
                    return
                found = answered.get()
                self._seconds += time.perf_counter() - begun
                self._cpu_seconds += time.process_time() - cpu
                if found is None:
                    under_way -= 1
                elif isinstance(found, Reply):
                    yield found
                else:
                    raise found
                begun, cpu = time.perf_counter(), time.process_time()
        finally:
            for lane in servers:
                lane.shutdown(cancel_futures=True)

    def _work(self, unit: Unit, answered: SimpleQueue[_Answered]) -> None:
        """Answer a unit in a thread; None at its end."""
        asked = {(request.id, request.mode): request for request in unit.requests}
        try:
            for _, reply in complete(partial(self.answer, unit), asked):
                answered.put(reply)
        except QwenBenchError as error:
            answered.put(error)
        answered.put(None)
