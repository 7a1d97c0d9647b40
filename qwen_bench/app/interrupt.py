"""Stopping a run: the first signal finishes the batch, the second stops at once."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Handlers for Ctrl-C and SIGTERM while in the `with` block.

    Before answers are under way a signal stops at once: there is no batch to finish.

    Args:
        say: prints a line for the user.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._asking = False
        self.requested = False
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() gave us

    def stopped(self) -> bool:
        """Whether the user asked to stop; from the first question on there is a batch to finish."""
        self._asking = True
        return self.requested

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal; act on the second."""
        del number, frame
        if self.requested or not self._asking:
            self.requested = True
            raise KeyboardInterrupt
        self.requested = True
        self._say("stopping after this batch; press Ctrl-C again to stop now")
