"""The gap between languages of two models, and how it changed.

Questions are paired across languages by probe ids that differ in the language alone: the same
skeleton, variant, question and history length, asked once in English and once in Chinese.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qwen_bench.stats.clusters import Ints, index_rows
from qwen_bench.stats.intervals import difference_interval
from qwen_bench.stats.results import Gap, LanguageGap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.record.outcome import Outcome
    from qwen_bench.stats.bootstrap import Resampler

FIRST, SECOND = "en", "zh"

Pair = tuple["Outcome", "Outcome"]


def language_gap(pairs: Sequence[Pair], resampler: Resampler) -> LanguageGap | None:
    """Macro-averaged accuracy in Chinese minus that in English, of both models.

    The interval is that of the endpoint, by the cluster bootstrap over skeletons.

    Args:
        pairs: (baseline, candidate) rows of one scorer; other conditions than main are left out.
        resampler: source of the draws.

    Returns:
        None where no question was asked in both languages.
    """
    both = _twins(pairs)
    if not both:
        return None
    index = index_rows(
        [english[0].cluster for english, _ in both], [english[0].family for english, _ in both]
    )
    everything = np.ones(len(both), dtype=np.bool_)
    gaps: Ints = np.array([[zh[k].value - en[k].value for k in (0, 1)] for en, zh in both])

    def gap(values: Ints, reach: float) -> Gap:
        table = index.table(values, everything)
        interval = difference_interval(table, resampler, reach=reach)
        return Gap(table.macro, interval.low, interval.high, interval.reason)

    return LanguageGap(
        n=len(both),
        base=gap(gaps[:, 0], 1.0),
        candidate=gap(gaps[:, 1], 1.0),
        change=gap(gaps[:, 1] - gaps[:, 0], 2.0),
    )


def _twins(pairs: Sequence[Pair]) -> list[tuple[Pair, Pair]]:
    """The English and the Chinese pair of every question asked in both, by the rest of the id."""
    found: dict[str, dict[str, Pair]] = {FIRST: {}, SECOND: {}}
    for pair in pairs:
        row = pair[0]
        if row.condition == "main" and row.lang in found:
            found[row.lang][row.probe_id.replace(f"/{row.lang}/", "/", 1)] = pair
    common = sorted(found[FIRST].keys() & found[SECOND].keys())
    return [(found[FIRST][name], found[SECOND][name]) for name in common]
