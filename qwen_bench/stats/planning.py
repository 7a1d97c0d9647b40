"""Before a run: how many probes resolve a difference, and what a selection of probes can resolve.

The endpoint is a macro average over families of probes that share clusters. Both cost power, so n
independent pairs become n x effect probes with

    effect = [n sum w_i^2] x [1 + (q - 1) rho],   q = sum_c W_c^2 / sum_i w_i^2

where w_i = 1 / (F n_f) is the weight of a probe, W_c the sum of the weights of a cluster and rho
the correlation of the paired differences inside a cluster. With equal weights and equal clusters q
is the number of probes of a cluster and the first factor is 1 (statistics specification, section
10). Knows no suite and no file.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from qwen_bench.stats.bootstrap import Resampler
from qwen_bench.stats.cells import columns, measure
from qwen_bench.stats.intervals import FEWEST_CLUSTERS
from qwen_bench.stats.power import (
    ALPHA,
    POWER,
    design_effect,
    detectable_by_error,
    error_for_within_noise,
    loss_called_regressed,
    pairs_needed,
    quantile,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qwen_bench.record.outcome import Outcome

EFFECT = 0.05
DISCORDANCE = 0.15
CORRELATION = 0.1
"""An assumption where nothing is measured, as the discordance is."""
MARGIN = 0.05
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Design:
    """How the main probes of a selection weigh and how they share clusters.

    Attributes:
        probes: main probes.
        clusters: number of them.
        squares: sum over probes of w_i^2.
        cluster_squares: sum over clusters of W_c^2.
    """

    probes: int
    clusters: int
    squares: float
    cluster_squares: float

    @property
    def per_cluster(self) -> float:
        """Probes of a cluster, q, as the variance sees them."""
        return self.cluster_squares / self.squares

    @property
    def mean_per_cluster(self) -> float:
        """Probes of a cluster, counted."""
        return self.probes / self.clusters

    def effect(self, correlation: float) -> float:
        """Probes for each independent pair of the same information, at a correlation rho."""
        return self.probes * self.squares * design_effect(self.per_cluster, correlation)

    def standard_error(self, discordance: float, correlation: float) -> float:
        """Standard error of the macro-averaged difference of equal models."""
        return sqrt(discordance * self.effect(correlation) / self.probes)


def design(probes: Iterable[tuple[str, str]]) -> Design:
    """The design of some main probes.

    Args:
        probes: (cluster, family) of each.

    Raises:
        ValueError: there is none.
    """
    cells = Counter(probes)
    families: Counter[str] = Counter()
    for (_, family), count in cells.items():
        families[family] += count
    if not families:
        raise ValueError("a design needs a probe of the main condition")
    weights = {family: 1 / (len(families) * count) for family, count in families.items()}
    clusters: Counter[str] = Counter()
    squares = 0.0
    totals: dict[str, float] = {}
    for (cluster, family), count in cells.items():
        clusters[cluster] += count
        squares += count * weights[family] ** 2
        totals[cluster] = totals.get(cluster, 0.0) + count * weights[family]
    return Design(
        probes=sum(clusters.values()),
        clusters=len(clusters),
        squares=squares,
        cluster_squares=sum(total**2 for total in totals.values()),
    )


@dataclass(frozen=True, slots=True)
class Assumed:
    """What two models are like, before they are compared.

    Attributes:
        discordance: share of pairs with different outcomes.
        correlation: rho, of the paired differences inside a cluster.
        measured: whether both come from a recorded comparison.
    """

    discordance: float = DISCORDANCE
    correlation: float = CORRELATION
    measured: bool = False


def measured(pairs: Sequence[tuple[Outcome, Outcome]], seed: int = 0) -> Assumed:
    """Discordance and correlation of a recorded comparison.

    Both are of the endpoint: the discordance is its macro average, and rho follows from the ratio
    of the clustered to the independent standard error. A ratio below 1 is noise and gives 0.

    Args:
        pairs: (baseline, candidate) outcomes of one scorer.
        seed: of the bootstrap behind the standard error.

    Raises:
        ValueError: there is no pair in the main condition, or none with different outcomes.
    """
    data = columns(pairs)
    if not data.main.any():
        raise ValueError("there is no pair of the main condition")
    found = measure(data, data.main, Resampler(seed))
    discordance = data.index.table(np.abs(data.candidate - data.base), data.main).macro
    if not discordance or not found.independent:
        raise ValueError("no answer differs, so there is no discordance to plan with")
    main = [base for base, _ in pairs if base.condition == "main"]
    shape = design((row.cluster, row.family) for row in main)
    ratio = (found.error / found.independent) ** 2
    spread = shape.per_cluster - 1
    correlation = (ratio - 1) / spread if spread > _ROUNDING else 0.0
    return Assumed(discordance, min(1.0, max(0.0, correlation)), measured=True)


@dataclass(frozen=True, slots=True)
class Need:
    """Probes that resolve a difference.

    Attributes:
        pairs: independent pairs, rounded up.
        effect: probes for each of them.
        probes: pairs x effect, rounded up.
        rotations: whole rotations of the selection that hold at least as many probes, and at
            least the ten clusters without which there is no verdict.
        probes_asked: main probes of these rotations.
        clusters: clusters of these rotations.
        power: with that many; at least what was asked for.
    """

    pairs: int
    effect: float
    probes: int
    rotations: int
    probes_asked: int
    clusters: int
    power: float


def need(
    rotation: Design, assumed: Assumed, difference: float = EFFECT, power: float = POWER
) -> Need:
    """Probes of a suite that find a difference.

    Args:
        rotation: design of one rotation; further ones are alike.
        assumed: discordance and correlation.
        difference: to detect, a positive fraction.
        power: share of runs in which it is to be found.

    Raises:
        ValueError: the difference is larger than the discordance.
    """
    pairs = ceil(pairs_needed(difference, assumed.discordance, power=power))
    effect = rotation.effect(assumed.correlation)
    probes = pairs * effect
    # Below ten clusters there is no interval and so no word.
    fewest = ceil(FEWEST_CLUSTERS / rotation.clusters)
    rotations = max(fewest, ceil(probes / rotation.probes - _ROUNDING))
    asked = rotations * rotation.probes
    return Need(
        pairs=pairs,
        effect=effect,
        probes=ceil(probes - _ROUNDING),
        rotations=rotations,
        probes_asked=asked,
        clusters=rotations * rotation.clusters,
        power=power_of(difference, asked / effect, assumed.discordance),
    )


def power_of(difference: float, pairs: float, discordance: float, *, alpha: float = ALPHA) -> float:
    """Share of runs in which a difference is found; inverts `pairs_needed` for the power.

    Args:
        difference: a fraction.
        pairs: independent pairs, or probes over their design effect.
        discordance: share of pairs with different outcomes.
        alpha: level of the two-sided test.
    """
    spread = discordance - difference**2
    reach = abs(difference) * sqrt(pairs) - quantile(1 - alpha / 2) * sqrt(discordance)
    if spread <= _ROUNDING:
        return 1.0 if reach >= 0 else 0.0
    return NormalDist().cdf(reach / sqrt(spread))


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a selection can tell, all fractions, at the power asked for.

    Attributes:
        standard_error: of the difference of equal models.
        detected: true difference that is significant.
        regressed: true loss that is called "regressed".
        within_noise: smallest margin at which equal models are called "within noise".
    """

    standard_error: float
    detected: float
    regressed: float
    within_noise: float


def resolution(
    selection: Design, assumed: Assumed, power: float = POWER, margin: float = MARGIN
) -> Resolution:
    """The three figures of section 10 of the statistics specification for a selection.

    Args:
        selection: its design.
        assumed: discordance and correlation.
        power: share of runs that are to say so.
        margin: of the verdict, a fraction.
    """
    error = selection.standard_error(assumed.discordance, assumed.correlation)
    return Resolution(
        standard_error=error,
        detected=detectable_by_error(error, power=power),
        regressed=loss_called_regressed(error, margin, power=power),
        within_noise=error / error_for_within_noise(1.0, power=power),
    )
