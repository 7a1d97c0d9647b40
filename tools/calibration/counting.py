"""Counts of simulated runs, and what they are held against."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True, slots=True)
class Share:
    """How often something happened."""

    hits: int
    tries: int

    @property
    def rate(self) -> float:
        """Hits over tries; 0 without a try."""
        return self.hits / self.tries if self.tries else 0.0

    @property
    def error(self) -> float:
        """Monte-Carlo standard error of the rate."""
        return sqrt(self.rate * (1 - self.rate) / self.tries) if self.tries else 0.0


@dataclass(frozen=True, slots=True)
class Demand:
    """Bounds a rate must keep; None leaves a side open."""

    least: float | None = None
    most: float | None = None

    def met(self, share: Share, *, slack: float = 0.0) -> bool:
        """Whether a rate keeps the bounds.

        Args:
            share: what was counted.
            slack: allowed excess in Monte-Carlo standard errors; 0 for a full calibration.
        """
        allowed = slack * share.error
        above = self.least is None or share.rate >= self.least - allowed
        return above and (self.most is None or share.rate <= self.most + allowed)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a table.

    Attributes:
        name: what was simulated.
        clusters: number in each simulated run.
        share: how often it happened.
        demand: what it must keep; None where the rate is shown for comparison only.
        note: figures that explain the rate.
    """

    name: str
    clusters: int
    share: Share
    demand: Demand | None = None
    note: str = ""

    def passed(self, *, slack: float = 0.0) -> bool:
        """Whether it keeps its demand; True without one."""
        return self.demand is None or self.demand.met(self.share, slack=slack)
