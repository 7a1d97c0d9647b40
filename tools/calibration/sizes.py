"""How much is simulated."""

from __future__ import annotations

from dataclasses import dataclass

SEED = 20_261_122


@dataclass(frozen=True, slots=True)
class Size:
    """Numbers of simulated runs.

    Attributes:
        name: for the page.
        equal: comparisons of equal models, for each number of clusters; the design of a suite gets
            half.
        coverage: runs behind an interval at 60 clusters; retention, and other numbers of clusters,
            get half.
        fits: pairs of runs behind the half-life intervals at 60 clusters; others a sixth.
        planned: comparisons at a planned size.
        replicates: bootstrap replicates of an interval.
        fit_replicates: bootstrap replicates of a half-life.
        rotations: rotations of the suite `core` in the planted forgetting.
        slack: Monte-Carlo standard errors by which a demand may be missed.
    """

    name: str
    equal: int
    coverage: int
    fits: int
    planned: int
    replicates: int
    fit_replicates: int
    rotations: int
    slack: float


FULL = Size("full", 2_000, 2_000, 1_800, 2_000, 10_000, 300, 5, 0.0)
SMALL = Size("small", 200, 150, 16, 200, 999, 199, 1, 3.3)
SIZES = {size.name: size for size in (FULL, SMALL)}
