"""Accounts of one unit: tokens, time, and how its computation ended."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from qwen_bench.engines.device_memory import is_out_of_memory
from qwen_bench.engines.prefix_tree import PrefixTree
from qwen_bench.engines.prepared_request import Prepared
from qwen_bench.errors import QwenBenchError
from qwen_bench.protocol import Reply
from qwen_bench.record.counters import Counters


class Fault(NamedTuple):
    """What ended a computation.

    Attributes:
        reason: for the rows.
        kind: type of the exception.
        message: its text.
    """

    reason: str
    kind: str
    message: str

    def reply(self, item: Prepared) -> Reply:
        """The reply to a request that got no answer."""
        return replace(
            item.reply,
            status="error",
            reason=self.reason,
            error_type=self.kind,
            error_message=self.message,
        )


def next_batch(work: Iterator[list[Reply]]) -> list[Reply] | Fault | None:
    """The next replies; None at the end.

    Whatever vLLM raises in the middle leaves it unusable, so that everything is caught here; the
    exception ends here, because its traceback holds what must be freed.
    """
    try:
        return next(work, None)
    except QwenBenchError:
        raise
    except Exception as error:  # noqa: BLE001 - see above
        reason = "oom" if is_out_of_memory(error) else "engine"
        return Fault(reason, type(error).__name__, str(error))


@dataclass(slots=True)
class UnitCounters:
    """Tokens of one unit.

    Attributes:
        fed: through the model, as far as vLLM says.
        decoded: generated ones among them.
        known: whether vLLM said what came from its cache.
    """

    fed: int = 0
    decoded: int = 0
    known: bool = True
    _tree: PrefixTree = field(default_factory=PrefixTree)

    def feed(self, tokens: int, cached: int | None) -> None:
        """A sequence went through the model, the cached part of it apart."""
        self.known &= cached is not None
        self.fed += tokens - (cached or 0)

    def read(self, ids: Sequence[int]) -> None:
        """All prefixes of `ids` have been through the model at least once."""
        self._tree.insert(ids)

    def settle(self, counters: Counters) -> None:
        """Add up; what is neither a new prefix nor generated was computed again."""
        counters.decoded_tokens += self.decoded
        counters.tree_tokens += len(self._tree)
        if counters.forward_tokens is None or not self.known:
            counters.forward_tokens = None
            return
        counters.forward_tokens += self.fed
        counters.recomputed_tokens += self.fed - self.decoded - len(self._tree)


class Clock:
    """Wall and processor time since it was made."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def passed(self) -> tuple[float, float]:
        """Seconds of both."""
        return time.perf_counter() - self._wall, time.process_time() - self._processor
