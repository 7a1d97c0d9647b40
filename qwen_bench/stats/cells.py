"""Paired cells: from the outcomes of two models in one slice to a difference and its word."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from qwen_bench.record.formats import about
from qwen_bench.stats.ability_memory import decompose
from qwen_bench.stats.arrays import Bools, Floats, Ints
from qwen_bench.stats.bootstrap import Resampler, standard_error
from qwen_bench.stats.clusters import RowIndex, Table, index_rows
from qwen_bench.stats.controls import Controls, match_controls
from qwen_bench.stats.intervals import (
    FEWEST_CLUSTERS,
    PERCENTILE_CLUSTERS,
    Z95,
    Interval,
    difference_interval,
)
from qwen_bench.stats.power import Achieved, achieved
from qwen_bench.stats.results import Cell, Effects
from qwen_bench.stats.significance import (
    cohens_g,
    mcnemar_loss_p,
    mcnemar_mid_p,
    mcnemar_p,
    odds_ratio,
    sign_flip,
)
from qwen_bench.stats.token_bins import token_bin
from qwen_bench.stats.verdict import more_probes, word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.record.outcome import Outcome, Status

_ZERO = 1e-12
DEPENDS = "depends on unanswered probes"


@dataclass(frozen=True, slots=True)
class Columns:
    """The pairs of one scorer as columns, each (pairs,).

    Attributes:
        index: clusters and families as numbers.
        base, candidate: 1 right, 0 wrong or without a score.
        answered: both sides have a score.
        too_long, error, empty, refused: either side has this status.
        in_sight: the policy left the evidence in both prompts.
        main: main condition.
        adjacent: what main rows are held against.
        lengths, distances, levels: user turns, and memory load; -1 and 0 without one.
        token_bins: of the prompts, see `stats.token_bins`; 0 where neither side knows its tokens.
    """

    index: RowIndex
    base: Ints
    candidate: Ints
    answered: Bools
    too_long: Bools
    error: Bools
    empty: Bools
    refused: Bools
    in_sight: Bools
    main: Bools
    adjacent: Controls
    families: tuple[str, ...]
    lengths: tuple[int, ...]
    distances: tuple[int, ...]
    levels: tuple[int, ...]
    token_bins: tuple[int, ...]
    langs: tuple[str, ...]
    conditions: tuple[str, ...]

    @property
    def failed(self) -> Bools:
        """(pairs,) either side ended without a text."""
        return self.too_long | self.error | self.empty | self.refused


def columns(pairs: Sequence[tuple[Outcome, Outcome]]) -> Columns:
    """Columns of (baseline, candidate) rows; the slice facts are the baseline's."""
    rows = [base for base, _ in pairs]
    return Columns(
        index=index_rows([row.cluster for row in rows], [row.family for row in rows]),
        base=np.array([base.value for base, _ in pairs], dtype=np.int64),
        candidate=np.array([candidate.value for _, candidate in pairs], dtype=np.int64),
        answered=np.array(
            [base.score is not None and candidate.score is not None for base, candidate in pairs],
            dtype=np.bool_,
        ),
        too_long=_either(pairs, "too_long"),
        error=_either(pairs, "error"),
        empty=_either(pairs, "empty"),
        refused=_either(pairs, "refused"),
        in_sight=np.array(
            [base.evidence_visible and candidate.evidence_visible for base, candidate in pairs],
            dtype=np.bool_,
        ),
        main=np.array([row.condition == "main" for row in rows], dtype=np.bool_),
        adjacent=match_controls(rows)[0],
        families=tuple(row.family for row in rows),
        lengths=tuple(row.length for row in rows),
        distances=tuple(-1 if row.distance is None else row.distance for row in rows),
        levels=tuple(row.level or 0 for row in rows),
        token_bins=tuple(_token_bin(base, candidate) for base, candidate in pairs),
        langs=tuple(row.lang for row in rows),
        conditions=tuple(row.condition for row in rows),
    )


def _token_bin(base: Outcome, candidate: Outcome) -> int:
    """Bin of a pair by the baseline's prompt; the candidate's stands in for one not counted."""
    tokens = base.prompt_tokens or candidate.prompt_tokens
    return token_bin(tokens) if tokens else 0


def _either(pairs: Sequence[tuple[Outcome, Outcome]], status: Status) -> Bools:
    """Pairs with this status on either side."""
    return np.array([status in {one.status, two.status} for one, two in pairs], dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Measured:
    """A slice before its verdict: a cell without word, and what the word needs.

    Attributes:
        error: standard error of the difference, clusters as units.
        independent: standard error if the probes were independent.
    """

    cell: Cell
    interval: Interval
    clusters_changed: int
    error: float
    independent: float


def measure(data: Columns, chosen: Bools, resampler: Resampler) -> Measured:
    """Difference, interval and p-value of one slice.

    Single-family slices with one pair per cluster are tested by exact McNemar, all others by
    cluster sign-flip.

    Args:
        data: all pairs of one scorer.
        chosen: (pairs,) mask with at least one True.
        resampler: source of the bootstrap draws; its seed also serves the permutations.
    """
    delta = data.candidate - data.base
    table = data.index.table(delta, chosen)
    interval = difference_interval(table, resampler)
    n = int(chosen.sum())
    outcomes = np.bincount((2 * data.base + data.candidate)[chosen], minlength=4)
    neither, gained, lost, both = (int(count) for count in outcomes)
    p, effects = _tests(table, gained, lost, resampler.seed)
    cell = Cell(
        n=n,
        clusters=table.clusters,
        base=data.index.table(data.base, chosen).macro,
        candidate=data.index.table(data.candidate, chosen).macro,
        difference=table.macro,
        low=interval.low,
        high=interval.high,
        p=p,
        p_adjusted=None,
        both_right=both,
        lost=lost,
        gained=gained,
        both_wrong=neither,
        word=None,
        note="",
        too_long=int((data.too_long & chosen).sum()),
        error=int((data.error & chosen).sum()),
        empty=int((data.empty & chosen).sum()),
        refused=int((data.refused & chosen).sum()),
        failed=int((data.failed & chosen).sum()),
        cut=int((data.main & ~data.in_sight & chosen).sum()),
        effects=effects,
        parts=decompose(data.index, data.adjacent, (data.base, data.candidate), chosen, resampler),
    )
    changed = int((np.abs(table.contributions) > _ZERO).sum())
    flips = data.index.table(np.abs(delta), chosen)
    return Measured(cell, interval, changed, _error(table, interval), _independent(table, flips))


def seen(measured: Measured, margin: float) -> Achieved | None:
    """What a slice could have seen, from its own standard error; None where that is 0."""
    if measured.error <= _ZERO:
        return None
    return achieved(measured.error, measured.cell.clusters, margin, measured.independent)


def judge(
    measured: Measured, margin: float, alpha: float, *, p_adjusted: float | None = None
) -> Cell:
    """The cell with its word, notes and number of further probes.

    Args:
        measured: the slice.
        margin: a fraction.
        alpha: level of the test.
        p_adjusted: p-value that decides, where several are read together; else the raw one.
    """
    cell, interval = measured.cell, measured.interval
    deciding = p_adjusted if p_adjusted is not None else cell.p
    verdict, note = word(
        1.0 if deciding is None else deciding,
        cell.low,
        cell.high,
        margin,
        alpha,
        no_interval=interval.reason,
    )
    notes = [note] if note else []
    more = None
    if verdict == "inconclusive":
        more = more_probes(
            cell.difference,
            measured.error,
            margin,
            n=cell.n,
            clusters=cell.clusters,
            flipped=measured.clusters_changed > 0,
        )
        if more is not None:
            notes.append(f"about {about(more)} more probes would settle it")
    if interval.kind == "zero variance":
        notes.append("zero variance")
    if FEWEST_CLUSTERS <= cell.clusters < PERCENTILE_CLUSTERS:
        notes.append("few clusters")
    if measured.clusters_changed and 2.0 ** (1 - measured.clusters_changed) > alpha:
        notes.append("cannot reach alpha")
    return replace(
        cell, p_adjusted=p_adjusted, word=verdict, note="; ".join(notes), more_probes=more
    )


def held(cell: Cell, answered: Cell | None) -> Cell:
    """The cell, inconclusive when the pairs answered on both sides lead to another word.

    Args:
        cell: all pairs, a missing score counted as wrong.
        answered: the same slice without the pairs that lack a score; None when none is left.
    """
    if answered is not None and answered.word == cell.word:
        return cell
    return replace(cell, word="inconclusive", note=DEPENDS, more_probes=None)


def _tests(table: Table, gained: int, lost: int, seed: int) -> tuple[float, Effects]:
    """The p-value that decides, by exact McNemar where pairs are independent; and the rest."""
    independent = table.families == 1 and table.counts.sum() == table.clusters
    mid: float | None = None
    if independent:
        p, loss = mcnemar_p(gained, lost), mcnemar_loss_p(gained, lost)
        mid = mcnemar_mid_p(gained, lost)
    else:
        sums: Floats = table.contributions if table.families > 1 else table.sums[:, 0]
        found = sign_flip(sums, seed=seed)
        p, loss = found.two_sided, found.loss
    return p, Effects(
        flip_rate=(gained + lost) / float(table.counts.sum()),
        odds_ratio=odds_ratio(gained, lost),
        cohens_g=cohens_g(gained, lost),
        p_loss=loss,
        mid_p=mid,
    )


def _independent(table: Table, flips: Table) -> float:
    """Standard error of the macro average if probes were independent.

    Args:
        table: of the differences.
        flips: the same of their squares.
    """
    counts = table.counts.sum(axis=0)
    mean = table.sums.sum(axis=0) / counts
    variance = np.maximum(flips.sums.sum(axis=0) / counts - mean**2, 0.0) / counts
    return float(np.sqrt(variance.sum()) / table.families)


def _error(table: Table, interval: Interval) -> float:
    """Standard error behind the interval; linearised where there is no bootstrap interval."""
    if interval.kind == "percentile" and interval.low is not None and interval.high is not None:
        return (interval.high - interval.low) / (2 * Z95)
    return standard_error(table)
