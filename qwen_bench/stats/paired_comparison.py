"""The paired comparison of two runs: one cell that gates, and the secondary ones beside it.

Primary endpoint, declared before any run: the macro-averaged paired difference over the main
condition under the primary scorer. Rows per length and language are the same average over the
families asked there, families are Holm-adjusted, conditions are exploratory (raw p, no word). The
gap between languages pairs questions by probe ids that differ in the language alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from qwen_bench.errors import NotComparableError
from qwen_bench.record.formats import signed, turns
from qwen_bench.stats.arrays import Ints
from qwen_bench.stats.bootstrap import Resampler
from qwen_bench.stats.cells import Columns, Measured, columns, held, judge, measure, seen
from qwen_bench.stats.clusters import distance_masks, index_rows
from qwen_bench.stats.intervals import (
    FEWEST_CLUSTERS,
    PERCENTILE_CLUSTERS,
    difference_interval,
)
from qwen_bench.stats.paired_retention import by_language
from qwen_bench.stats.results import (
    Cell,
    Comparison,
    Decomposition,
    Gap,
    LanguageGap,
    ModeComparison,
    Side,
)
from qwen_bench.stats.sameness import withheld
from qwen_bench.stats.sanity import cell_warnings, guessable_warnings
from qwen_bench.stats.significance import holm
from qwen_bench.stats.verdict import DISAGREE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qwen_bench.record.outcome import Outcome, Run
    from qwen_bench.stats.arrays import Bools
    from qwen_bench.stats.clusters import Bin
    from qwen_bench.stats.pairing import Pairing


Key = TypeVar("Key", int, str)
Pair = tuple["Outcome", "Outcome"]
ENGLISH, CHINESE = "en", "zh"


def compare(
    pairing: Pairing,
    *,
    primary: str,
    margin: float = 0.05,
    alpha: float = 0.05,
    seed: int = 0,
    fits: int = 0,
    chances: Mapping[str, float] | None = None,
) -> Comparison:
    """Compare two paired runs.

    Args:
        pairing: from `qwen_bench.stats.pairing.pair`.
        primary: the scorer that gives the verdict, `generate` or `rank`.
        margin: loss that does not matter, a fraction.
        alpha: level of the tests.
        seed: of bootstrap and permutations, 0 or more.
        fits: bootstrap replicates of the half-life intervals, usually
            `qwen_bench.stats.half_life.REPLICATES`; each is a fit, so they take longer than all
            the rest. 0 leaves them out, and the ratio of the half-lives with them.
        chances: score of a uniform guess by family; for a family without one, ranked rows know
            their number of candidates.

    Raises:
        NotComparableError: no pair of the primary scorer lies in the main condition.
    """
    modes: dict[str, ModeComparison] = {}
    warnings: list[str] = []
    for mode in sorted({item.base.mode for item in pairing.pairs}):
        pairs = [item for item in pairing.pairs if item.base.mode == mode]
        if not any(base.condition == "main" for base, _ in pairs):
            continue
        data = columns(pairs)
        resampler = Resampler(seed)
        overall = measure(data, data.main, resampler)
        cells = _mode(pairs, data, overall, resampler, margin=margin, alpha=alpha, fits=fits)
        modes[mode] = cells
        if mode == primary:
            warnings += _statistical(overall)
            by_length = {turns(length): c for length, c in cells.by_length.items()}
            warnings += cell_warnings({**by_length, **cells.by_family})
            warnings += _guessable(pairing, pairs, chances)
    if primary not in modes:
        raise NotComparableError(
            f"there is no pair of the primary scorer ({primary}) in the main condition",
            why=f"scorers with main probes on both sides: {', '.join(modes) or 'none'}",
            fix=f"run both with --mode {primary} and --condition main",
        )
    return Comparison(
        base=_side(pairing.base),
        candidate=_side(pairing.candidate),
        settings=pairing.settings,
        warnings=(*pairing.warnings, *_worst_case(pairing, primary), *warnings),
        accounting=pairing.accounting,
        primary=primary,
        modes={name: withheld(found, pairing.sameness) for name, found in modes.items()},
        margin=margin,
        alpha=alpha,
        seed=seed,
        sameness=pairing.sameness,
    )


def adjust_over_candidates(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """Holm-adjust the verdicts of several candidates against one baseline.

    Only words that rest on significance can change: a "regressed" or "improved" whose adjusted
    p-value exceeds alpha becomes "inconclusive".

    Args:
        comparisons: one per candidate; a single one is returned as it is.
    """
    if len(comparisons) < 2:
        return tuple(comparisons)
    modes = [comparison.modes[comparison.primary] for comparison in comparisons]
    overall = _adjusted([mode.overall for mode in modes], comparisons)
    answered = _adjusted([mode.answered_only or mode.overall for mode in modes], comparisons)
    result = []
    for comparison, mode, cell, other in zip(comparisons, modes, overall, answered, strict=True):
        if mode.answered_only is None:
            changed = replace(mode, overall=cell)
        else:
            changed = replace(mode, overall=held(cell, other), answered_only=other)
        changed = withheld(changed, comparison.sameness)
        result.append(replace(comparison, modes={**comparison.modes, comparison.primary: changed}))
    return tuple(result)


def _adjusted(cells: Sequence[Cell], comparisons: Sequence[Comparison]) -> list[Cell]:
    """One cell of each candidate with its p-values adjusted over all of them."""
    found = []
    for cell, p, parts, comparison in zip(
        cells, _holm(cells), _adjusted_parts(cells), comparisons, strict=True
    ):
        same = replace(cell, p_adjusted=p, parts=parts)
        if cell.word in {"regressed", "improved"} and p > comparison.alpha:
            note = f"{DISAGREE} after adjusting for {len(cells)} candidates"
            same = replace(same, word="inconclusive", note=note)
        found.append(same)
    return found


def _adjusted_parts(cells: Sequence[Cell]) -> list[Decomposition | None]:
    """Ability and memory of each candidate, adjusted each over all of them."""
    known = [cell.parts for cell in cells if cell.parts is not None]
    ability, memory = (
        holm([part.p for part in parts])
        for parts in ([one.ability for one in known], [one.memory for one in known])
    )
    adjusted = iter(
        replace(
            one,
            ability=replace(one.ability, p_adjusted=first),
            memory=replace(one.memory, p_adjusted=second),
        )
        for one, first, second in zip(known, ability, memory, strict=True)
    )
    return [None if cell.parts is None else next(adjusted) for cell in cells]


def _holm(cells: Sequence[Cell]) -> tuple[float, ...]:
    """Adjusted p-values; a cell without a test has 1."""
    return holm([1.0 if cell.p is None else cell.p for cell in cells])


def _mode(
    pairs: Sequence[Pair],
    data: Columns,
    overall: Measured,
    resampler: Resampler,
    *,
    margin: float,
    alpha: float,
    fits: int,
) -> ModeComparison:
    """All cells of one scorer, and what stands beside them."""
    answered: Cell | None = None
    cell = judge(overall, margin, alpha)
    answered_main = data.main & data.answered
    if answered_main.sum() < data.main.sum():
        if answered_main.any():
            answered = judge(measure(data, answered_main, resampler), margin, alpha)
        cell = held(cell, answered)

    def part(chosen: Bools) -> Cell | None:
        if not chosen.any() or (chosen == data.main).all():
            return None
        return judge(measure(data, chosen, resampler), margin, alpha)

    def sliced(keys: Sequence[Key], *, adjusted: bool = False) -> dict[Key, Cell]:
        return _slices(data, keys, resampler, margin, alpha, adjusted=adjusted)

    def flipped(change: int) -> tuple[str, ...]:
        places = np.flatnonzero(data.main & (data.candidate - data.base == change))
        return tuple(pairs[int(place)][0].probe_id for place in places)

    return ModeComparison(
        overall=cell,
        answered_only=answered,
        by_length=sliced(data.lengths),
        by_family=sliced(data.families, adjusted=True),
        by_lang=sliced(data.langs),
        by_condition={
            name: measure(data, chosen, resampler).cell
            for name, chosen in _masks(data.conditions, np.ones_like(data.main)).items()
        },
        lost_ids=flipped(-1),
        gained_ids=flipped(1),
        by_distance=_by_distance(data, resampler),
        by_level={level: cell for level, cell in sliced(data.levels).items() if level},
        without_failures=part(data.main & ~data.failed),
        in_sight=part(data.main & data.in_sight),
        languages=language_gap(pairs, resampler),
        achieved=seen(overall, margin),
        retention=by_language(pairs, resampler, fits=fits),
        by_tokens=_by_tokens(data, resampler),
    )


def _slices(
    data: Columns,
    keys: Sequence[Key],
    resampler: Resampler,
    margin: float,
    alpha: float,
    *,
    adjusted: bool,
) -> dict[Key, Cell]:
    """Judged cells of the main condition by key, sorted by it; optionally Holm-adjusted."""

    def judged(chosen: Bools) -> dict[Key, Cell]:
        found = {key: measure(data, mask, resampler) for key, mask in _masks(keys, chosen).items()}
        p_values: dict[Key, float] = {}
        if adjusted:
            p_values = dict(zip(found, _holm([item.cell for item in found.values()]), strict=True))
        return {
            key: judge(item, margin, alpha, p_adjusted=p_values.get(key))
            for key, item in found.items()
        }

    cells = judged(data.main)
    if bool((data.main & ~data.answered).any()):
        other = judged(data.main & data.answered)
        cells = {key: held(cell, other.get(key)) for key, cell in cells.items()}
    return cells


def _by_distance(data: Columns, resampler: Resampler) -> dict[Bin, Cell]:
    """Cells of the distance bins at the largest history length; like T x d cells without a word."""
    masks = distance_masks(
        data.main, np.array(data.lengths), np.array(data.distances), data.index.family
    )
    return {key: measure(data, mask, resampler).cell for key, mask in masks.items()}


def _by_tokens(data: Columns, resampler: Resampler) -> dict[int, Cell]:
    """Cells of the bins of prompt tokens; they cut across the lengths and carry no word."""
    counted = data.main & (np.array(data.token_bins) > 0)
    masks = _masks(data.token_bins, counted)
    return {key: measure(data, mask, resampler).cell for key, mask in masks.items()}


def _masks(keys: Sequence[Key], chosen: Bools) -> dict[Key, Bools]:
    """Mask of the chosen rows with each key, without empty ones, sorted by key."""
    column = np.array(keys)
    found = {key: chosen & (column == key) for key in sorted(set(keys))}
    return {key: mask for key, mask in found.items() if mask.any()}


def _statistical(overall: Measured) -> list[str]:
    """How far the primary interval can be trusted."""
    texts = []
    clusters = overall.cell.clusters
    if clusters < FEWEST_CLUSTERS:
        texts.append(f"too few clusters ({clusters}) for an interval of a changed score")
    elif clusters < PERCENTILE_CLUSTERS:
        texts.append(f"few clusters ({clusters}): intervals are wide and by bootstrap-t")
    if overall.interval.redrawn:
        texts.append(
            f"bootstrap replicates drawn again because a family was missing: "
            f"{overall.interval.redrawn}"
        )
    return texts


def _guessable(
    pairing: Pairing, pairs: Sequence[Pair], chances: Mapping[str, float] | None
) -> list[str]:
    """Families either model answers without the history."""
    return [
        text
        for run, rows in zip(
            (pairing.base, pairing.candidate), zip(*pairs, strict=True), strict=True
        )
        for text in guessable_warnings(run.label, rows, chances or {})
    ]


def _worst_case(pairing: Pairing, primary: str) -> list[str]:
    """Difference of unfinished runs with every missing row scored as wrong."""
    if not pairing.partial or not (pairing.only_base or pairing.only_candidate):
        return []
    sums: dict[str, list[int]] = {}
    rows = [(base, candidate.value - base.value) for base, candidate in pairing.pairs]
    rows += [(row, -row.value) for row in pairing.only_base]
    rows += [(row, row.value) for row in pairing.only_candidate]
    for row, change in rows:
        if row.mode == primary and row.condition == "main":
            total = sums.setdefault(row.family, [0, 0])
            total[0] += change
            total[1] += 1
    if not sums:
        return []
    worst = sum(change / n for change, n in sums.values()) / len(sums)
    return [f"with missing rows scored as wrong the difference is {signed(worst)} points"]


def _side(view: Run) -> Side:
    """A run as outputs name it."""
    return Side(view.run_id, view.label, view.manifest.model.fingerprint)


def language_gap(pairs: Sequence[Pair], resampler: Resampler) -> LanguageGap | None:
    """Macro-averaged accuracy in Chinese minus that in English, of both models.

    The interval is that of the endpoint, by the cluster bootstrap.

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
    found: dict[str, dict[str, Pair]] = {ENGLISH: {}, CHINESE: {}}
    for pair in pairs:
        row = pair[0]
        if row.condition == "main" and row.lang in found:
            found[row.lang][row.probe_id.replace(f"/{row.lang}/", "/", 1)] = pair
    common = sorted(found[ENGLISH].keys() & found[CHINESE].keys())
    return [(found[ENGLISH][name], found[CHINESE][name]) for name in common]
