"""What of a paired difference is ability, and what is memory.

Ability is the difference at the same questions with the evidence directly before them (adjacent
probes, matched by `controls`), memory the rest: the difference in differences. Both are averaged
like the endpoint and get its interval and its test; neither needs a model that can do the task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qwen_bench.stats.intervals import difference_interval
from qwen_bench.stats.results import Decomposition, Part
from qwen_bench.stats.significance import sign_flip

if TYPE_CHECKING:
    from qwen_bench.stats.arrays import Bools, Ints
    from qwen_bench.stats.bootstrap import Resampler
    from qwen_bench.stats.clusters import RowIndex, Table
    from qwen_bench.stats.controls import Controls


def decompose(
    index: RowIndex,
    adjacent: Controls,
    sides: tuple[Ints, Ints],
    chosen: Bools,
    resampler: Resampler,
) -> Decomposition | None:
    """Ability and memory in one slice.

    Args:
        index: clusters and families of the rows.
        adjacent: what main rows are held against.
        sides: values of baseline and candidate, (rows,) each.
        chosen: (rows,) mask with at least one True.
        resampler: source of the bootstrap draws; its seed also serves the permutations.

    Returns:
        None where rows other than those of the main condition are chosen, or one of them has
        nothing to be held against.
    """
    if not adjacent.cover(chosen):
        return None
    base, candidate = sides
    delta = candidate - base
    weights = adjacent.weights(chosen)
    # The two share no row: controls are not of the main condition.
    both = chosen.astype(np.float64) - weights
    return Decomposition(
        base_adjacent=index.weighted_table(base, weights, chosen).macro,
        candidate_adjacent=index.weighted_table(candidate, weights, chosen).macro,
        ability=_part(index.weighted_table(delta, weights, chosen), resampler, reach=1.0),
        memory=_part(index.weighted_table(delta, both, chosen), resampler, reach=2.0),
    )


def _part(table: Table, resampler: Resampler, *, reach: float) -> Part:
    """A part with its interval and test; values lie between -reach and reach."""
    interval = difference_interval(table, resampler, reach=reach)
    p = sign_flip(table.contributions, seed=resampler.seed).two_sided
    note = "zero variance" if interval.kind == "zero variance" else interval.reason
    return Part(table.macro, interval.low, interval.high, p, note=note)


def direction(part: Part, alpha: float) -> int:
    """Whether a part is significant: 1 above 0, -1 below 0, else 0.

    Its interval must exclude 0 and its p-value, adjusted where several candidates are read
    together, must be at most alpha.
    """
    p = part.p if part.p_adjusted is None else part.p_adjusted
    if part.low is None or part.high is None or p > alpha:
        return 0
    return (part.low > 0) - (part.high < 0)
