"""Simulated comparisons with correlated probes and a known true difference.

Set-up S of the statistics specification: logit P(right) = 1 + u + v + t (+ effect for the
candidate) with u ~ N(0, 1) by cluster, v ~ N(0, 0.7^2) by cluster and model, t ~ N(0, 1) by probe
and shared by both models.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from qwen_bench.stats.arrays import Floats, Ints
from qwen_bench.stats.cells import Columns
from qwen_bench.stats.clusters import RowIndex, index_rows
from qwen_bench.stats.controls import Controls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROBES = 20
INTERCEPT = 1.0
OWN = 0.7
AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Layout:
    """The probes of a run: which cluster and which family each belongs to.

    Attributes:
        index: clusters and families as numbers.
        clusters: number of clusters.
    """

    index: RowIndex
    clusters: int

    @property
    def probes(self) -> int:
        """Number of probes."""
        return len(self.index.cluster)

    def columns(self, base: Ints, candidate: Ints) -> Columns:
        """Two runs over these probes, all answered and in the main condition.

        Args:
            base: (probes,) 1 right, 0 wrong.
            candidate: the same for the other model.
        """
        yes = np.ones(self.probes, dtype=np.bool_)
        return Columns(
            index=self.index,
            base=base,
            candidate=candidate,
            answered=yes,
            too_long=~yes,
            error=~yes,
            empty=~yes,
            refused=~yes,
            in_sight=yes,
            main=yes,
            adjacent=own_controls(np.full(self.probes, -1)),
            families=("",) * self.probes,
            lengths=(0,) * self.probes,
            distances=(0,) * self.probes,
            levels=(0,) * self.probes,
            token_bins=(0,) * self.probes,
            langs=("",) * self.probes,
            conditions=("main",) * self.probes,
        )


def own_controls(own: Ints) -> Controls:
    """Controls of which every main row has one of its own.

    Args:
        own: (rows,) place of the control; -1 for other rows.
    """
    none = np.full(len(own), -1, dtype=np.int64)
    return Controls(own, none, (none, none), np.zeros(0, dtype=np.int64))


def even_layout(clusters: int, probes: int = PROBES) -> Layout:
    """Clusters of one size that ask one family."""
    names = [f"mixed-{number:03d}" for number in range(clusters) for _ in range(probes)]
    return Layout(index_rows(names, ["family"] * len(names)), clusters)


def layout_of(probes: Sequence[tuple[str, str]]) -> Layout:
    """The layout of real probes.

    Args:
        probes: (cluster, family) of each.
    """
    clusters = [cluster for cluster, _ in probes]
    return Layout(index_rows(clusters, [family for _, family in probes]), len(set(clusters)))


def simulated_pairs(
    layout: Layout, effect: float, tries: int, generator: np.random.Generator
) -> Iterator[tuple[Ints, Ints]]:
    """Answers of two models by set-up S.

    Args:
        layout: the probes.
        effect: added to the candidate's logit.
        tries: number of comparisons.
        generator: source of randomness.

    Yields:
        Baseline and candidate, (probes,) each.
    """
    cluster = layout.index.cluster
    for start in range(0, tries, AT_ONCE):
        count = min(AT_ONCE, tries - start)
        common = INTERCEPT + generator.normal(size=(count, layout.clusters))[:, cluster]
        common += generator.normal(size=(count, layout.probes))
        sides = []
        for shift in (0.0, effect):
            own = generator.normal(scale=OWN, size=(count, layout.clusters))[:, cluster]
            chance = sigmoid(common + own + shift)
            sides.append((generator.random(chance.shape) < chance).astype(np.int64))
        yield from zip(*sides, strict=True)


def simulated_changes(
    layout: Layout,
    difference: float,
    discordance: float,
    correlation: float,
    *,
    tries: int,
    generator: np.random.Generator,
) -> Iterator[tuple[Ints, Ints]]:
    """Answers of two models with a given share of changes and correlation inside a cluster.

    A probe takes the change drawn for its cluster with probability sqrt(correlation), else one of
    its own, so that two probes of a cluster have exactly this correlation.

    Args:
        layout: the probes.
        difference: candidate minus baseline.
        discordance: share of pairs with different outcomes.
        correlation: rho.
        tries: number of comparisons.
        generator: source of randomness.

    Yields:
        Baseline and candidate, (probes,) each.
    """
    edges = np.array([(discordance - difference) / 2, discordance])

    def drawn(size: int, count: int) -> Ints:
        # 0 lost, 1 gained, 2 unchanged
        return np.searchsorted(edges, generator.random((count, size)), side="right")

    for start in range(0, tries, AT_ONCE):
        count = min(AT_ONCE, tries - start)
        own = drawn(layout.probes, count)
        shared = drawn(layout.clusters, count)[:, layout.index.cluster]
        alike = generator.random(own.shape) < correlation**0.5
        change = np.where(alike, shared, own)
        yield from zip((change != 1).astype(np.int64), (change != 0).astype(np.int64), strict=True)


def sigmoid(logits: Floats) -> Floats:
    """Logistic function."""
    return np.asarray(1.0 / (1.0 + np.exp(-logits)), dtype=np.float64)


@lru_cache(maxsize=1)
def _nodes() -> tuple[Floats, Floats]:
    """Nodes and weights for averages over a standard normal variable."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    return np.asarray(nodes), np.asarray(weights / weights.sum())


def true_accuracy(shift: float = 0.0) -> float:
    """Accuracy of a model in set-up S, by quadrature.

    Args:
        shift: added to its logit.
    """
    return logistic_mean(INTERCEPT + shift, (1.0 + OWN**2 + 1.0) ** 0.5)


def logistic_mean(mean: float, deviation: float) -> float:
    """Mean of sigmoid(x) for a normal x."""
    nodes, weights = _nodes()
    return float((weights * sigmoid(mean + deviation * nodes)).sum())


@lru_cache(maxsize=256)
def calibrated(chance: float, deviation: float = 1.0) -> float:
    """Mean of a normal logit whose sigmoid has a given mean.

    Args:
        chance: between 0 and 1.
        deviation: of the logit.
    """
    low, high = -20.0, 20.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if logistic_mean(middle, deviation) < chance else (low, middle)
    return low
