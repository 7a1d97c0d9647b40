"""Rows summed by cluster and family: all that intervals and tests need to know of a run.

Knows neither models nor statuses; a value is whatever is averaged (right or wrong, or the paired
difference of two models). A programme, the stratum of resampling, is the cluster id up to its
last hyphen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Table:
    """Sums of one slice.

    Attributes:
        sums: (clusters, families) sum of the values, whole numbers; clusters of one stratum are
            neighbours.
        counts: (clusters, families) number of rows; every family has at least one row.
        strata: (name, number of clusters) in the order of the rows of `sums`.
    """

    sums: Floats
    counts: Floats
    strata: tuple[tuple[str, int], ...]

    @property
    def clusters(self) -> int:
        """Number of clusters K in the slice."""
        return int(self.sums.shape[0])

    @property
    def families(self) -> int:
        """Number of families F in the slice."""
        return int(self.sums.shape[1])

    @property
    def macro(self) -> float:
        """Mean over families of the mean over the family's rows."""
        return float((self.sums.sum(axis=0) / self.counts.sum(axis=0)).mean())

    @property
    def contributions(self) -> Floats:
        """(clusters,) share of each cluster in `macro`: z_c, the sum of S_fc / (F n_f) over f."""
        weights = 1.0 / (self.families * self.counts.sum(axis=0))
        return np.asarray(self.sums @ weights, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class RowIndex:
    """Cluster and family of every row as numbers.

    Attributes:
        cluster, family: (rows,) codes.
        programmes: programme of each cluster code; codes are sorted by programme, then cluster.
    """

    cluster: Ints
    family: Ints
    programmes: tuple[str, ...]

    def table(self, values: Floats | Ints, chosen: Bools) -> Table:
        """Sum the values of the chosen rows.

        Args:
            values: (rows,) whole numbers.
            chosen: (rows,) mask with at least one True.

        Raises:
            ValueError: no row is chosen.
        """
        if not chosen.any():
            raise ValueError("a slice without rows has no statistic")
        codes, cluster = np.unique(self.cluster[chosen], return_inverse=True)
        families, family = np.unique(self.family[chosen], return_inverse=True)
        shape = (len(codes), len(families))
        flat = cluster * shape[1] + family
        size = shape[0] * shape[1]
        counts = np.bincount(flat, minlength=size).astype(np.float64)
        sums = np.bincount(flat, weights=values[chosen].astype(np.float64), minlength=size)
        strata = _strata([self.programmes[code] for code in codes])
        return Table(sums.reshape(shape).astype(np.float64), counts.reshape(shape), strata)


def index_rows(clusters: Sequence[str], families: Sequence[str]) -> RowIndex:
    """Number the clusters and families of some rows.

    Args:
        clusters: cluster id of each row, ``{programme}-{number}``.
        families: family of each row.
    """
    names = sorted(set(clusters), key=lambda name: (programme(name), name))
    cluster_code = {name: code for code, name in enumerate(names)}
    family_code = {name: code for code, name in enumerate(sorted(set(families)))}
    return RowIndex(
        cluster=np.array([cluster_code[name] for name in clusters], dtype=np.int64),
        family=np.array([family_code[name] for name in families], dtype=np.int64),
        programmes=tuple(programme(name) for name in names),
    )


def programme(cluster: str) -> str:
    """The programme of a cluster: its id up to the last hyphen, empty without one."""
    return cluster.rpartition("-")[0]


def _strata(programmes: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Runs of equal programmes; all clusters are one stratum when a programme has only one.

    A stratum of one cluster would be drawn in every replicate and seem to have no variance.
    """
    sizes: dict[str, int] = {}
    for name in programmes:
        sizes[name] = sizes.get(name, 0) + 1
    if min(sizes.values()) == 1:
        return (("", len(programmes)),)
    return tuple(sizes.items())
