"""Bias and coverage of the half-life on simulated runs with correlated probes.

Every simulated run has 100 clusters with two probes at each distance 0, 3, 7, 15, 31, 63, two blind
and two adjacent ones. P(right) is .05 + .90 x 2^(-d/12) on average; a cluster effect N(0, 1) on the
logit, calibrated to keep that average, makes the probes of a cluster alike. Over 1,300 runs (seeds
16, 17, 18) the median half-life is 11.9 to 12.1 and 93.3 % of the intervals hold 12.
"""

from dataclasses import replace

import numpy as np
import pytest

from qwen_bench.stats.bootstrap import Resampler
from qwen_bench.stats.clusters import ModelRows
from qwen_bench.stats.controls import Controls
from qwen_bench.stats.half_life import half_life

DISTANCES = np.array([0, 3, 7, 15, 31, 63])
CLUSTERS = 100
H = 12.0
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def calibrated(p):
    """Intercept b with E sigmoid(b + u) = p for u ~ N(0, 1)."""
    low, high = -20.0, 20.0
    for _ in range(80):
        middle = (low + high) / 2
        mean = (WEIGHTS * sigmoid(middle + NODES)).sum() / WEIGHTS.sum()
        low, high = (middle, high) if mean < p else (low, middle)
    return low


def pooled_controls(rows, main):
    """Every main row is held against the mean of all controls."""
    nothing = np.full(len(rows), -1)
    members = (np.where(rows, 0, -1), nothing)
    return Controls(nothing, np.where(main, 0, -1), members, np.array([rows.sum()]))


@pytest.fixture(scope="module")
def design():
    """Rows without answers, and the intercept of each."""
    chances = [0.05, 0.95, *(0.05 + 0.90 * 2 ** (-DISTANCES / H))]
    kind = np.tile(np.repeat(np.arange(len(chances)), 2), CLUSTERS)
    distance = np.array([-1, 0, *DISTANCES])[kind]
    rows = ModelRows(
        strata=(("mixed", CLUSTERS),),
        families=("fact_recall",),
        cluster=np.repeat(np.arange(CLUSTERS), 2 * len(chances)),
        family=np.zeros(len(kind), dtype=np.int64),
        length=np.where(kind > 1, 64, 0),
        distance=distance,
        value=np.zeros(len(kind), dtype=np.int64),
        level=np.zeros(len(kind), dtype=np.int64),
        main=kind > 1,
        adjacent=pooled_controls(kind == 1, kind > 1),
        blind=pooled_controls(kind == 0, kind > 1),
    )
    return rows, np.array([calibrated(p) for p in chances])[kind]


@pytest.mark.parametrize(
    ("repetitions", "replicates", "covered"),
    [(40, 199, 0.85), pytest.param(300, 999, 0.91, marks=pytest.mark.slow)],
)
def test_the_half_life_is_unbiased_and_its_interval_covers_it(
    design, repetitions, replicates, covered
):
    rows, intercepts = design
    generator = np.random.default_rng(16)
    found, hits = [], 0

    for seed in range(repetitions):
        effects = generator.normal(size=CLUSTERS)[rows.cluster]
        right = generator.random(len(intercepts)) < sigmoid(intercepts + effects)
        result = half_life(replace(rows, value=right.astype(np.int64)), Resampler(seed, replicates))
        found.append(result.decay.h)
        hits += result.low.at <= H <= result.high.at

    assert np.median(found) == pytest.approx(H, rel=0.10)
    assert hits >= covered * repetitions
