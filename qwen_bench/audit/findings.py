"""What an audit finds, and what it reports.

Audits come in two kinds: checks watch the dialogues of a suite as they stream by, and inspections
look at its words or build parts of it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from qwen_bench.probes.probe import Dialogue
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Suite

Status = Literal["ok", "fail", "skipped"]
# Findings kept of one audit; the others are counted.
MOST_FINDINGS = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        where: a probe id, or a family with language and split.
        turn: turn of the history, 0 for the system message; None when no turn is to blame.
    """

    where: str
    turn: int | None
    what: str

    def __str__(self) -> str:
        turn = "" if self.turn is None else f" turn {self.turn}"
        return f"{self.where}{turn}: {self.what}"


@dataclass(frozen=True, slots=True)
class AuditLine:
    """The result of one audit.

    Attributes:
        summary: what was looked at, or why nothing was.
        count: number of findings, of which the first are in `findings`.
    """

    name: str
    status: Status
    summary: str
    count: int = 0
    findings: tuple[Finding, ...] = ()


class Findings:
    """Collects findings; the first ones are kept, the rest is counted."""

    def __init__(self) -> None:
        self._kept: dict[Finding, None] = {}
        self.count = 0

    def add(self, where: str, what: str, turn: int | None = None) -> None:
        """Add a finding; one that is known already counts once."""
        finding = Finding(where, turn, what)
        if finding in self._kept:
            return
        self.count += 1
        if len(self._kept) < MOST_FINDINGS:
            self._kept[finding] = None

    def line(self, name: str, summary: str) -> AuditLine:
        """The result of the audit `name`."""
        status: Status = "fail" if self.count else "ok"
        return AuditLine(name, status, summary, self.count, tuple(self._kept))


class Check:
    """An audit that watches the dialogues of a suite, and has a result once it saw them all.

    Attributes:
        name: of the audit.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self._findings = Findings()
        self._checked = 0

    def see(self, rendering: Sequence[Dialogue]) -> None:
        """Look at all dialogues of one cluster in one language, in both variants."""
        raise NotImplementedError

    def summary(self) -> str:
        """What was looked at."""
        raise NotImplementedError

    def line(self) -> AuditLine:
        """The result."""
        return self._findings.line(self.name, self.summary())


Rebuild = Callable[[str, Selection], Suite]
"""Builds a suite by name with another selection and otherwise the settings of the one audited."""


@dataclass(frozen=True, slots=True)
class RightShare:
    """Right answers of a number of answers."""

    right: int
    n: int

    @property
    def value(self) -> float:
        """From 0 to 1; 0 without answers."""
        return self.right / self.n if self.n else 0.0
