"""Exit codes, in one place: "broken" is not "worse", and neither is "cannot tell"."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Code(IntEnum):
    """What the process returns."""

    DONE = 0
    BROKE = 1
    USAGE = 2
    REGRESSED = 3
    INCONCLUSIVE = 4
    NOT_COMPARABLE = 5
    INTERRUPTED = 130


MEANING = {
    Code.DONE: "done",
    Code.BROKE: "it broke, see the error above",
    Code.USAGE: "usage",
    Code.REGRESSED: "regression",
    Code.INCONCLUSIVE: "inconclusive",
    Code.NOT_COMPARABLE: "not comparable",
    Code.INTERRUPTED: "interrupted",
}

_ORDER = (
    Code.INTERRUPTED,
    Code.BROKE,
    Code.USAGE,
    Code.NOT_COMPARABLE,
    Code.REGRESSED,
    Code.INCONCLUSIVE,
    Code.DONE,
)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a command ends.

    Attributes:
        code: the exit code.
        text: its meaning, for the last line on stderr; empty for no such line.
    """

    code: Code
    text: str = ""

    @property
    def line(self) -> str:
        """The last line on stderr."""
        return f"exit {int(self.code)}: {self.text or MEANING[self.code]}"


def decisive(codes: Iterable[Code]) -> Code:
    """Of several outcomes the one that counts, so that a broken side never hides.

    >>> decisive([Code.DONE, Code.REGRESSED, Code.BROKE])
    <Code.BROKE: 1>
    """
    return min(codes, key=_ORDER.index, default=Code.DONE)
