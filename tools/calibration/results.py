"""Everything a calibration found, and whether it is what it must be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools.calibration.counting import Finding
from tools.calibration.coverage import coverage
from tools.calibration.equal import equal_models
from tools.calibration.forgetting import Planted, planted_curves, planted_windows
from tools.calibration.memory import ability_and_memory
from tools.calibration.planned import planned
from tools.calibration.sizes import Size


@dataclass(frozen=True, slots=True)
class Results:
    """The tables of a calibration.

    Attributes:
        size: how much was simulated.
        seed: of everything random.
        equal: equal models.
        covered: intervals.
        planned: comparisons of the planned size.
        memory: what is said of simulated ability and memory.
        windows: solvers that know the last turns only.
        curves: simulated decays.
    """

    size: Size
    seed: int
    equal: tuple[Finding, ...]
    covered: tuple[Finding, ...]
    planned: tuple[Finding, ...]
    memory: tuple[Finding, ...]
    windows: tuple[Planted, ...]
    curves: tuple[Finding, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All counted lines."""
        return (*self.equal, *self.covered, *self.planned, *self.memory, *self.curves)

    @property
    def missed(self) -> tuple[str, ...]:
        """Names of what is not as it must be; empty when everything is."""
        slack = self.size.slack
        found = [
            f"{item.name}, {item.clusters} clusters: {100 * item.share.rate:.1f} %"
            for item in self.findings
            if not item.passed(slack=slack)
        ]
        found += [f"window-{item.window}" for item in self.windows if not item.passed]
        return tuple(found)


def calibrate(size: Size, seed: int, say: Callable[[str], None]) -> Results:
    """Run every simulation.

    Args:
        size: how much.
        seed: of everything random.
        say: is told what begins.
    """
    say(f"equal models ({size.equal:,} comparisons for each design)")
    equal = equal_models(size, seed)
    say("coverage of intervals")
    covered = coverage(size, seed)
    say("power at the planned size")
    sized = planned(size, seed)
    say("ability and memory")
    memory = ability_and_memory(size, seed)
    say("planted forgetting")
    windows = planted_windows(size)
    curves = planted_curves(size, seed)
    return Results(
        size=size,
        seed=seed,
        equal=tuple(equal),
        covered=tuple(covered),
        planned=tuple(sized),
        memory=tuple(memory),
        windows=tuple(windows),
        curves=tuple(curves),
    )


def by_name(findings: Sequence[Finding]) -> dict[str, dict[int, Finding]]:
    """Findings by name, then by number of clusters."""
    found: dict[str, dict[int, Finding]] = {}
    for item in findings:
        found.setdefault(item.name, {})[item.clusters] = item
    return found
