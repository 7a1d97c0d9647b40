"""Rows as columns: summed by cluster and family, and cut into the slices of retention.

Sums are all that intervals and tests need to know of a run; a value is whatever is averaged (right
or wrong, or the paired difference of two models). A programme, the stratum of resampling, is the
cluster id up to its last hyphen. Retention is read in three slices of one grid that must not be
mixed: length (pooled over distance), distance (at the largest length) and load (near evidence
behind a history of any length).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from qwen_bench.stats.controls import match_controls

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qwen_bench.record.outcome import Outcome
    from qwen_bench.stats.arrays import Bools, Floats, Ints
    from qwen_bench.stats.controls import Controls

Bin = tuple[int, int]

NEAR = 2
FEWEST_BINS = 3
_CONDITIONS = frozenset({"main", "adjacent", "blind"})
_BIN_EDGES = (0, 1, 4, 8, 16, 32, 64, 128)


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
        return self.weighted_table(values, chosen.astype(np.float64), chosen)

    def weighted_table(self, values: Floats | Ints, weights: Floats, chosen: Bools) -> Table:
        """Sum the values of rows that stand for the chosen ones, such as their controls.

        Args:
            values: (rows,)
            weights: (rows,) how often each counts; rows that weigh something belong to families of
                chosen rows.
            chosen: (rows,) mask of the rows that are counted, with at least one True.

        Raises:
            ValueError: no row is chosen.
        """
        if not chosen.any():
            raise ValueError("a slice without rows has no statistic")
        used = chosen | (weights != 0)
        codes, cluster = np.unique(self.cluster[used], return_inverse=True)
        families, family = np.unique(self.family[used], return_inverse=True)
        shape = (len(codes), len(families))
        flat = cluster * shape[1] + family
        size = shape[0] * shape[1]
        counted = chosen[used].astype(np.float64)
        counts = np.bincount(flat, weights=counted, minlength=size).astype(np.float64)
        sums = np.bincount(flat, weights=values[used] * weights[used], minlength=size)
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


def distance_bin(distance: int) -> Bin:
    """First and last distance of the bin: 0, 1-3, 4-7, 8-15, 16-31, 32-63, 64-127, 128-255."""
    start = max(edge for edge in _BIN_EDGES if edge <= distance)
    return (start, max(0, 2 * start - 1) if start != 1 else 3)


@dataclass(frozen=True, slots=True)
class ModelRows:
    """The rows of one model and scorer in the conditions main, adjacent and blind, as columns.

    Attributes:
        strata: (name, number of clusters); cluster codes follow this order.
        families: name of each family code.
        cluster, family, length, value: (rows,); value is 1 right, 0 wrong or without a score.
        distance: (rows,) user turns; -1 for blind.
        level: (rows,) memory load; 0 where the suite has no levels.
        main: (rows,) mask; the others are controls.
        adjacent, blind: what the main rows are held against.
    """

    strata: tuple[tuple[str, int], ...]
    families: tuple[str, ...]
    cluster: Ints
    family: Ints
    length: Ints
    distance: Ints
    level: Ints
    value: Ints
    main: Bools
    adjacent: Controls
    blind: Controls

    def by_cluster(self, places: Ints, weights: Floats) -> Floats:
        """(clusters,) sums of the weights of some rows."""
        clusters = sum(size for _, size in self.strata)
        found = np.bincount(self.cluster[places], weights=weights, minlength=clusters)
        return np.asarray(found, dtype=np.float64)


def make_rows(outcomes: Iterable[Outcome]) -> ModelRows:
    """Columns of some outcomes; other conditions are left out.

    Args:
        outcomes: of one scorer, one per probe.

    Raises:
        ValueError: no row is in the main condition.
    """
    rows = [row for row in outcomes if row.condition in _CONDITIONS]
    if not any(row.condition == "main" for row in rows):
        raise ValueError("retention needs rows of the main condition")
    index = index_rows([row.cluster for row in rows], [row.family for row in rows])
    value = np.array([row.value for row in rows], dtype=np.int64)
    adjacent, blind = match_controls(rows)
    distances = [-1 if row.distance is None else row.distance for row in rows]
    return ModelRows(
        strata=index.table(value, np.ones(len(rows), dtype=np.bool_)).strata,
        families=tuple(sorted({row.family for row in rows})),
        cluster=index.cluster,
        family=index.family,
        length=np.array([row.length for row in rows], dtype=np.int64),
        distance=np.array(distances, dtype=np.int64),
        level=np.array([row.level or 0 for row in rows], dtype=np.int64),
        value=value,
        main=np.array([row.condition == "main" for row in rows], dtype=np.bool_),
        adjacent=adjacent,
        blind=blind,
    )


def paired_rows(pairs: Sequence[tuple[Outcome, Outcome]]) -> tuple[ModelRows, ModelRows]:
    """Columns of baseline and candidate; row i of both is the same probe.

    Args:
        pairs: (baseline, candidate) outcomes of one scorer.

    Raises:
        ValueError: no row is in the main condition.
    """
    kept = [pair for pair in pairs if pair[0].condition in _CONDITIONS]
    base = make_rows([one for one, _ in kept])
    values = np.array([two.value for _, two in kept], dtype=np.int64)
    return base, replace(base, value=values)


def length_slices(rows: ModelRows) -> dict[int, Bools]:
    """Main rows by history length, pooled over distance."""
    lengths = sorted(set(rows.length[rows.main].tolist()))
    return {length: rows.main & (rows.length == length) for length in lengths}


def level_slices(rows: ModelRows) -> dict[int, Bools]:
    """Main rows by level, lowest first; none where the suite has no levels."""
    levels = sorted(set(rows.level[rows.main].tolist()) - {0})
    return {level: rows.main & (rows.level == level) for level in levels}


def load_slices(rows: ModelRows) -> dict[int, Bools]:
    """Main rows with near evidence (distance 2 or less) by history length."""
    found = {key: mask & (rows.distance <= NEAR) for key, mask in length_slices(rows).items()}
    return {key: mask for key, mask in found.items() if mask.any()}


def distance_slices(rows: ModelRows) -> dict[Bin, Bools]:
    """Main rows at the largest history length by distance bin, see `distance_masks`."""
    return distance_masks(rows.main, rows.length, rows.distance, rows.family)


def distance_masks(main: Bools, length: Ints, distance: Ints, family: Ints) -> dict[Bin, Bools]:
    """Rows at the largest history length by distance bin, nearest first.

    Families whose distance hardly varies there (fewer than three bins, such as rules, which are
    all stated early) would mix family with distance; they are left out unless all are like that.

    Args:
        main: (rows,) mask of the main condition, with at least one True.
        length: (rows,) history length in user turns.
        distance: (rows,) user turns between evidence and question.
        family: (rows,) codes.
    """
    longest = main & (length == length[main].max())
    bins = {d: distance_bin(d) for d in sorted(set(distance[longest].tolist()))}
    found: dict[Bin, Bools] = {}
    for turns, name in bins.items():
        at = longest & (distance == turns)
        found[name] = found[name] | at if name in found else at
    spread = [
        code
        for code in set(family[longest].tolist())
        if sum(bool((mask & (family == code)).any()) for mask in found.values()) >= FEWEST_BINS
    ]
    if spread:
        varied = np.isin(family, spread)
        found = {name: mask & varied for name, mask in found.items()}
    return {name: mask for name, mask in found.items() if mask.any()}
