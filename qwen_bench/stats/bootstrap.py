"""Cluster bootstrap of a macro average, stratified by programme.

Replicate value: (1/F) sum_f [sum_c m_c S_fc / sum_c m_c n_fc] with m_c how often cluster c was
drawn. Multiplicities come from floor(u K_h) with u uniform. They depend on the seed, the stratum
and its number of clusters alone, so slices over the same clusters share their draws: each interval
is what it would be with draws of its own, and the order of computation cannot matter.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qwen_bench.stats.arrays import Floats
    from qwen_bench.stats.clusters import Table

REPLICATES = 10_000
_ENTRIES_AT_ONCE = 1 << 23
_MAX_BLOCKS = 20
_ZERO = 1e-12

Multiplicities = NDArray[np.float32]


def child_generator(seed: int, *names: str | int) -> np.random.Generator:
    """A PCG64 generator that depends on the seed and the names only.

    Args:
        seed: the seed stored in the report, 0 or more.
        names: what the numbers are for; other names give independent streams.
    """
    digest = hashlib.sha256("|".join(str(name) for name in names).encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "big") for i in range(0, 16, 4)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))


class Resampler:
    """Draws clusters with replacement and remembers the draws.

    Args:
        seed: 0 or more; stored with the results.
        replicates: number of bootstrap replicates B.
    """

    def __init__(self, seed: int = 0, replicates: int = REPLICATES) -> None:
        self.seed = seed
        self.replicates = replicates
        self._remembered: dict[tuple[str, int], Multiplicities] = {}
        self._latest: tuple[tuple[tuple[str, int], ...], Multiplicities] | None = None

    def draws(self, strata: tuple[tuple[str, int], ...], block: int) -> Iterator[Multiplicities]:
        """One block of B replicates, in pieces that fit in memory.

        Args:
            strata: (name, number of clusters) of each stratum.
            block: 0 for the replicates proper; later blocks replace unusable ones.

        Yields:
            (replicates of the piece, clusters) multiplicities; those of a stratum sum to its size.
        """
        clusters = sum(size for _, size in strata)
        rows = max(1, _ENTRIES_AT_ONCE // clusters)
        if rows >= self.replicates:
            # Statistics of one slice follow each other and share their clusters.
            if block or self._latest is None or self._latest[0] != strata:
                joined = np.hstack([self._whole(name, size, block) for name, size in strata])
                if block:
                    yield joined
                    return
                self._latest = (strata, joined)
            yield self._latest[1]
            return
        generators = [child_generator(self.seed, "bootstrap", *key, block) for key in strata]
        for start in range(0, self.replicates, rows):
            count = min(rows, self.replicates - start)
            yield np.hstack(
                [
                    _multiplicities(generator, count, size)
                    for generator, (_, size) in zip(generators, strata, strict=True)
                ]
            )

    def _whole(self, name: str, size: int, block: int) -> Multiplicities:
        """All B replicates of one stratum; block 0 is remembered, nearly every slice needs it."""
        if block == 0 and (name, size) in self._remembered:
            return self._remembered[name, size]
        generator = child_generator(self.seed, "bootstrap", name, size, block)
        drawn = _multiplicities(generator, self.replicates, size)
        if block == 0:
            self._remembered[name, size] = drawn
        return drawn


def _multiplicities(generator: np.random.Generator, count: int, size: int) -> Multiplicities:
    """(count, size) how often each of `size` clusters was drawn in `size` draws."""
    drawn = (generator.random((count, size)) * size).astype(np.int64)
    drawn += np.arange(count, dtype=np.int64)[:, None] * size
    flat = np.bincount(drawn.ravel(), minlength=count * size)
    return flat.reshape(count, size).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Replicates:
    """Bootstrap replicates of one statistic.

    Attributes:
        values: (B,) macro averages.
        errors: (B,) standard error of each, empty unless asked for.
        redrawn: replicates that lacked a family and were drawn again.
    """

    values: Floats
    errors: Floats
    redrawn: int


def replicate(table: Table, resampler: Resampler, *, errors: bool = False) -> Replicates | None:
    """Bootstrap replicates of a macro average.

    Args:
        table: sums and counts by cluster and family.
        resampler: source of the draws.
        errors: also compute the standard error of each replicate.

    Returns:
        None when families lie in so few clusters that hardly any replicate holds them all.
    """
    # float32 is exact here: sums and counts are whole numbers far below 2^24.
    both = np.hstack([table.sums, table.counts]).astype(np.float32)
    values: list[Floats] = []
    spread: list[Floats] = []
    missing, redrawn = resampler.replicates, 0
    for block in range(_MAX_BLOCKS):
        for piece in resampler.draws(table.strata, block):
            totals = (piece @ both).astype(np.float64)
            usable = np.flatnonzero((totals[:, table.families :] > 0).all(axis=1))
            if len(usable) >= missing:
                last = int(usable[missing - 1]) + 1
                redrawn += last - missing
                usable = usable[:missing]
            else:
                redrawn += len(piece) - len(usable)
            sums, counts = np.hsplit(totals[usable], 2)
            values.append((sums / counts).mean(axis=1))
            if errors:
                spread.append(_standard_errors(table, piece[usable], sums, counts))
            missing -= len(usable)
            if missing == 0:
                none = np.empty(0)
                return Replicates(
                    np.concatenate(values), np.concatenate(spread) if spread else none, redrawn
                )
    return None


def standard_error(table: Table) -> float:
    """Linearised standard error of the macro average, clusters within strata as units.

    SE^2 = sum over strata of K_h / (K_h - 1) sum_c (u_c - mean u)^2 with
    u_c = sum_f (S_fc - Delta_f n_fc) / (F n_f); 0 for a single cluster.
    """
    once = np.ones((1, table.clusters), dtype=np.float32)
    sums, counts = table.sums.sum(axis=0)[None], table.counts.sum(axis=0)[None]
    return float(_standard_errors(table, once, sums, counts)[0])


def _standard_errors(table: Table, drawn: Multiplicities, sums: Floats, counts: Floats) -> Floats:
    """(replicates,) standard errors; sums and counts are (replicates, families) totals."""
    weights = 1.0 / (table.families * counts)
    influence = weights @ table.sums.T - (weights * sums / counts) @ table.counts.T
    variance = np.zeros(len(drawn))
    start = 0
    for _, size in table.strata:
        part = slice(start, start + size)
        start += size
        if size > 1:
            mean = (drawn[:, part] * influence[:, part]).sum(axis=1, keepdims=True) / size
            squares = drawn[:, part] * (influence[:, part] - mean) ** 2
            variance += size / (size - 1) * squares.sum(axis=1)
    errors = np.sqrt(variance)
    errors[errors < _ZERO] = 0.0
    return np.asarray(errors, dtype=np.float64)
