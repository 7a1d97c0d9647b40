"""How often 95 % intervals hold the truth, by number of clusters."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

import numpy as np

from qwen_bench.stats.bootstrap import Resampler, child_generator
from qwen_bench.stats.clusters import distance_slices
from qwen_bench.stats.half_life import HalfLife
from qwen_bench.stats.intervals import (
    accuracy_interval,
    difference_interval,
    no_flip_bound,
    wilson,
)
from qwen_bench.stats.paired_retention import half_lives, shifts
from qwen_bench.stats.retention import curve
from tools.calibration.clustered import even_layout, simulated_pairs, true_accuracy
from tools.calibration.counting import Demand, Finding, Share
from tools.calibration.curves import answers, chances, curve_rows
from tools.calibration.memory import MIXED, decompositions, truths
from tools.calibration.sizes import Size

CLUSTERS = (12, 20, 60, 100)
JUDGED = 60
EFFECT = -0.4
H_BASE, H_CANDIDATE = 12.0, 8.0
_SLICE = (8, 15)
_COVERED = Demand(least=0.93, most=0.97)
# So few fits are simulated in the small form that all of them may hold the true value.
_FITTED = Demand(least=0.93)
# Exact at 97.5 %, because only one side of the bound can be wrong.
_UNSEEN = Demand(least=0.965, most=0.985)
DEMANDS = {
    "accuracy, independent probes (Wilson)": _COVERED,
    "accuracy, clustered probes": _COVERED,
    "paired difference": _COVERED,
    "no change seen (exact bound)": _UNSEEN,
    "retention R": _COVERED,
    "change of R": _COVERED,
    "ability": _COVERED,
    "memory": _COVERED,
    "half-life": _FITTED,
    "ratio of half-lives": _FITTED,
}


@dataclass(slots=True)
class _Tally:
    """Counts of one kind of interval."""

    held: int = 0
    runs: int = 0
    missing: int = 0

    def add(self, low: float | None, high: float | None, truth: float) -> None:
        """Count one run; without an interval it is only mentioned."""
        if low is None or high is None:
            self.missing += 1
            return
        self.held += low <= truth <= high
        self.runs += 1


@dataclass(slots=True)
class _Run:
    """The simulated runs at one number of clusters."""

    clusters: int
    size: Size
    seed: int
    tallies: dict[str, _Tally] = field(default_factory=lambda: {name: _Tally() for name in DEMANDS})

    @property
    def part(self) -> int:
        """Divisor of the number of runs: those that are judged are simulated in full."""
        return 1 if self.clusters == JUDGED else 2

    def findings(self) -> list[Finding]:
        """What was counted."""
        return [
            Finding(
                name,
                self.clusters,
                Share(tally.held, tally.runs),
                DEMANDS[name] if self.clusters == JUDGED else None,
                f"{tally.missing} more without an interval" if tally.missing else "",
            )
            for name, tally in self.tallies.items()
        ]

    def shares(self) -> None:
        """Wilson intervals of shares between 0.3 and 0.95, and the bound on what was never seen."""
        generator = child_generator(self.seed, "shares", self.clusters)
        runs = self.size.coverage // self.part
        accuracy = self.tallies["accuracy, independent probes (Wilson)"]
        for truth in generator.uniform(0.3, 0.95, size=runs):
            accuracy.add(
                *wilson(int(generator.binomial(self.clusters, truth)), self.clusters), truth
            )
        # At a true rate just above the bound a run without any change would deny it.
        rate = no_flip_bound(self.clusters) + 1e-9
        for changes in generator.binomial(self.clusters, rate, size=runs):
            self.tallies["no change seen (exact bound)"].add(0.0, float(changes > 0), 1.0)

    def pairs(self) -> None:
        """Accuracy and paired difference of clustered probes in set-up S."""
        layout = even_layout(self.clusters)
        truth = true_accuracy()
        loss = true_accuracy(EFFECT) - truth
        generator = child_generator(self.seed, "pairs", self.clusters)
        runs = self.size.coverage // self.part
        everything = np.ones(layout.probes, dtype=np.bool_)
        drawn = simulated_pairs(layout, EFFECT, runs, generator)
        for number, (base, candidate) in enumerate(drawn):
            resampler = Resampler(self.seed + number, self.size.replicates)
            one = accuracy_interval(layout.index.table(base, everything), resampler)
            two = difference_interval(layout.index.table(candidate - base, everything), resampler)
            self.tallies["accuracy, clustered probes"].add(one.low, one.high, truth)
            self.tallies["paired difference"].add(two.low, two.high, loss)

    def retention(self) -> None:
        """R at a middle distance, and its change between two models."""
        rows = curve_rows(self.clusters)
        slices = {key: mask for key, mask in distance_slices(rows).items() if key == _SLICE}
        distance = float(rows.distance[slices[_SLICE]].mean())
        before, after = (2.0 ** (-distance / h) for h in (H_BASE, H_CANDIDATE))
        generator = child_generator(self.seed, "retention", self.clusters)
        for number in range(self.size.coverage // self.part // 2):
            effects = generator.normal(size=self.clusters)
            resampler = Resampler(self.seed + number, self.size.replicates)
            one, two = (
                curve(
                    answers(rows, chances(h), effects, generator.random(len(rows.value))),
                    slices,
                    resampler,
                )
                for h in (H_BASE, H_CANDIDATE)
            )
            point, change = one.points[_SLICE], shifts(one, two)[_SLICE]
            self.tallies["retention R"].add(point.low, point.high, before)
            self.tallies["change of R"].add(change.low, change.high, after - before)

    def parts(self) -> None:
        """Ability and memory of readers that differ in both."""
        ability, memory = truths(MIXED)
        runs = self.size.coverage // self.part
        for found in decompositions(self.clusters, MIXED, runs, self.size, self.seed):
            self.tallies["ability"].add(found.ability.low, found.ability.high, ability)
            self.tallies["memory"].add(found.memory.low, found.memory.high, memory)

    def half_lives(self) -> None:
        """Half-lives of two models and their ratio."""
        rows = curve_rows(self.clusters)
        generator = child_generator(self.seed, "half-lives", self.clusters)
        runs = self.size.fits if self.part == 1 else self.size.fits // 6
        for number in range(runs):
            effects = generator.normal(size=self.clusters)
            base, candidate = (
                answers(rows, chances(h), effects, generator.random(len(rows.value)))
                for h in (H_BASE, H_CANDIDATE)
            )
            resampler = Resampler(self.seed + number, self.size.fit_replicates)
            found = half_lives(base, candidate, resampler)
            single = self.tallies["half-life"]
            single.add(*half_life_bounds(found.base), H_BASE)
            single.add(*half_life_bounds(found.candidate), H_CANDIDATE)
            ratio = found.ratio
            bounds: tuple[float | None, float | None] = (None, None)
            if ratio.value is not None:
                bounds = (ratio.low or 0.0, ratio.high or inf)
            self.tallies["ratio of half-lives"].add(*bounds, H_CANDIDATE / H_BASE)


def coverage(size: Size, seed: int) -> list[Finding]:
    """Coverage of every interval at every number of clusters; demanded at 60.

    Args:
        size: how much.
        seed: of everything random.
    """
    found: list[Finding] = []
    for clusters in CLUSTERS:
        run = _Run(clusters, size, seed)
        run.shares()
        run.pairs()
        run.retention()
        run.parts()
        run.half_lives()
        found += run.findings()
    return found


def half_life_bounds(found: HalfLife) -> tuple[float | None, float | None]:
    """Bounds of a half-life as numbers, censored ones 0 or infinite; None without an interval."""
    if found.low is None or found.high is None:
        return None, None
    low = 0.0 if found.low.state == "before" else found.low.at
    high = inf if found.high.state == "beyond" else found.high.at
    return low, high
