"""Simulated decay of accuracy with distance, and how well the statistics find it again.

Every run has clusters with two probes at each distance 0, 3, 7, 15, 31, 63 behind a history of 64
turns, each with an adjacent and a blind probe of its own. P(right) is g + (a - g) 2^(-d/h) on
average; a cluster effect N(0, 1) on the logit, calibrated to keep that average, makes the probes of
a cluster alike.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qwen_bench.stats.arrays import Floats
from qwen_bench.stats.clusters import ModelRows
from tools.calibration.clustered import calibrated, own_controls, sigmoid

DISTANCES = (0, 3, 7, 15, 31, 63)
GUESS, TOP = 0.05, 0.95
EACH = 2
_BLIND, _ADJACENT = 0, 1
# What the rows of a cluster are: its controls, then two probes at each distance.
_KINDS = np.concatenate(
    [
        np.repeat([_BLIND, _ADJACENT], EACH * len(DISTANCES)),
        np.repeat(np.arange(len(DISTANCES)) + 2, EACH),
    ]
)


def curve_rows(clusters: int) -> ModelRows:
    """The rows of a run without answers.

    Args:
        clusters: number of clusters.
    """
    each = EACH * len(DISTANCES)
    kinds = np.tile(_KINDS, clusters)
    numbers = np.arange(len(kinds))
    main = kinds > _ADJACENT
    return ModelRows(
        strata=(("mixed", clusters),),
        families=("fact_recall",),
        cluster=np.repeat(np.arange(clusters), len(_KINDS)),
        family=np.zeros(len(kinds), dtype=np.int64),
        length=np.where(main, 64, 0),
        distance=np.array([-1, 0, *DISTANCES])[kinds],
        level=np.zeros(len(kinds), dtype=np.int64),
        value=np.zeros(len(kinds), dtype=np.int64),
        main=main,
        adjacent=own_controls(np.where(main, numbers - each, -1)),
        blind=own_controls(np.where(main, numbers - 2 * each, -1)),
    )


def chances(half_life: float, *, top: float = TOP, guess: float = GUESS) -> tuple[float, ...]:
    """P(right) of blind and adjacent probes and at each distance.

    Args:
        half_life: in turns; infinite for a model that forgets nothing.
        top: accuracy at distance 0.
        guess: blind accuracy.
    """
    left = [2.0 ** (-distance / half_life) for distance in DISTANCES]
    return (guess, top, *(guess + (top - guess) * part for part in left))


def answers(rows: ModelRows, means: tuple[float, ...], effects: Floats, noise: Floats) -> ModelRows:
    """The rows with answers drawn.

    Args:
        rows: from `curve_rows`.
        means: from `chances`.
        effects: (clusters,) on the logit.
        noise: (rows,) uniform numbers that decide each answer.
    """
    kinds = np.tile(_KINDS, len(effects))
    logits = np.array([calibrated(mean) for mean in means])[kinds] + effects[rows.cluster]
    return replace(rows, value=(noise < sigmoid(logits)).astype(np.int64))
