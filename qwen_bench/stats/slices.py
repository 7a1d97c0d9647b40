"""Rows of one model as columns, and the slices in which retention is read.

Three slices of one grid that must not be mixed: length (pooled over distance), distance (at the
largest length) and load (near evidence behind a history of any length).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from qwen_bench.stats.clusters import Bools, Floats, Ints, index_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qwen_bench.record.outcome import Outcome

NEAR = 2
FEWEST_BINS = 3
CONDITIONS = frozenset({"main", "adjacent", "blind"})
_BIN_EDGES = (0, 1, 4, 8, 16, 32, 64)

Bin = tuple[int, int]


def distance_bin(distance: int) -> Bin:
    """First and last distance of the bin: 0, 1-3, 4-7, 8-15, 16-31, 32-63, 64-127."""
    start = max(edge for edge in _BIN_EDGES if edge <= distance)
    return (start, max(0, 2 * start - 1) if start != 1 else 3)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one model and scorer in the conditions main, adjacent and blind, as columns.

    Attributes:
        strata: (name, number of clusters); cluster codes follow this order.
        families: name of each family code.
        cluster, family, length, value: (rows,); value is 1 right, 0 wrong or without a score.
        distance: (rows,) user turns; -1 for blind.
        main, adjacent, blind: (rows,) masks, one of them True.
    """

    strata: tuple[tuple[str, int], ...]
    families: tuple[str, ...]
    cluster: Ints
    family: Ints
    length: Ints
    distance: Ints
    value: Ints
    main: Bools
    adjacent: Bools
    blind: Bools

    def by_cluster(self, chosen: Bools, *, weighted: bool) -> Floats:
        """(clusters,) number of chosen rows, or of chosen right answers when weighted."""
        clusters = sum(size for _, size in self.strata)
        weights = self.value[chosen].astype(np.float64) if weighted else None
        counts = np.bincount(self.cluster[chosen], weights=weights, minlength=clusters)
        return counts.astype(np.float64)


def make_rows(outcomes: Iterable[Outcome]) -> Rows:
    """Columns of some outcomes; other conditions are left out.

    Args:
        outcomes: of one scorer, one per probe.

    Raises:
        ValueError: no row is in the main condition.
    """
    rows = [row for row in outcomes if row.condition in CONDITIONS]
    if not any(row.condition == "main" for row in rows):
        raise ValueError("retention needs rows of the main condition")
    index = index_rows([row.cluster for row in rows], [row.family for row in rows])
    value = np.array([row.value for row in rows], dtype=np.int64)
    distances = [-1 if row.distance is None else row.distance for row in rows]
    conditions = np.array([row.condition for row in rows])
    return Rows(
        strata=index.table(value, np.ones(len(rows), dtype=np.bool_)).strata,
        families=tuple(sorted({row.family for row in rows})),
        cluster=index.cluster,
        family=index.family,
        length=np.array([row.length for row in rows], dtype=np.int64),
        distance=np.array(distances, dtype=np.int64),
        value=value,
        main=conditions == "main",
        adjacent=conditions == "adjacent",
        blind=conditions == "blind",
    )


def paired_rows(pairs: Sequence[tuple[Outcome, Outcome]]) -> tuple[Rows, Rows]:
    """Columns of baseline and candidate; row i of both is the same probe.

    Args:
        pairs: (baseline, candidate) outcomes of one scorer.

    Raises:
        ValueError: no row is in the main condition.
    """
    kept = [pair for pair in pairs if pair[0].condition in CONDITIONS]
    base = make_rows([one for one, _ in kept])
    values = np.array([two.value for _, two in kept], dtype=np.int64)
    return base, replace(base, value=values)


def length_slices(rows: Rows) -> dict[int, Bools]:
    """Main rows by history length, pooled over distance."""
    lengths = sorted(set(rows.length[rows.main].tolist()))
    return {length: rows.main & (rows.length == length) for length in lengths}


def load_slices(rows: Rows) -> dict[int, Bools]:
    """Main rows with near evidence (distance 2 or less) by history length."""
    found = {key: mask & (rows.distance <= NEAR) for key, mask in length_slices(rows).items()}
    return {key: mask for key, mask in found.items() if mask.any()}


def distance_slices(rows: Rows) -> dict[Bin, Bools]:
    """Main rows at the largest history length by distance bin, nearest first.

    Families whose distance hardly varies there (fewer than three bins, such as rules, which are
    all stated early) would mix family with distance; they are left out unless all are like that.
    """
    longest = rows.main & (rows.length == rows.length[rows.main].max())
    bins = {d: distance_bin(d) for d in sorted(set(rows.distance[longest].tolist()))}
    found: dict[Bin, Bools] = {}
    for distance, name in bins.items():
        at = longest & (rows.distance == distance)
        found[name] = found[name] | at if name in found else at
    spread = [
        code
        for code in range(len(rows.families))
        if sum(bool((mask & (rows.family == code)).any()) for mask in found.values()) >= FEWEST_BINS
    ]
    if spread:
        varied = np.isin(rows.family, spread)
        found = {name: mask & varied for name, mask in found.items()}
    return {name: mask for name, mask in found.items() if mask.any()}
