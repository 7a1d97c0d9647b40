"""How much two models keep, side by side, and what changed; the same resampled clusters for both.

One scorer and one language (or all) at a time. R changes by slice, the half-life by its ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING, Literal

import numpy as np

from qwen_bench.stats.bootstrap import Resampler
from qwen_bench.stats.clusters import Bin, paired_rows
from qwen_bench.stats.half_life import (
    AT_GUESS_RATE,
    NOT_EXPONENTIAL,
    DistanceSlice,
    HalfLife,
    distance_slice,
    expanded_tails,
    outside,
    ranked_quantile,
    with_interval,
)
from qwen_bench.stats.intervals import FEWEST_CLUSTERS
from qwen_bench.stats.profile import Profile, assemble, curves
from qwen_bench.stats.retention import MAX_UNSTABLE_SHARE, UNSTABLE, Key, Shift, shift

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qwen_bench.record.outcome import Outcome
    from qwen_bench.stats.arrays import Floats, Ints
    from qwen_bench.stats.clusters import ModelRows
    from qwen_bench.stats.isotonic import Crossing
    from qwen_bench.stats.retention import RetentionCurve

ALL = "all"
BASELINE_ONLY = "measurable in the baseline only"
CANDIDATE_ONLY = "measurable in the candidate only"
MAX_CENSORED_SHARE = 0.05
NOT_ASKED = "interval not computed"

Direction = Literal["longer", "shorter", "same", "open"]


@dataclass(frozen=True, slots=True)
class HalfLifeRatio:
    """Half-life of the candidate over that of the baseline.

    Attributes:
        value: h_C / h_B; None where either is censored or not measurable, or more than 5 % of the
            replicates are censored.
        low, high: 95 % bounds; None without one, or where that side is open because censored
            replicates reach it.
        direction: of the candidate's half-life; `open` where both are censored alike or one is not
            measurable.
        note: why a number is missing, or "not exponential".
    """

    value: float | None
    low: float | None
    high: float | None
    direction: Direction
    note: str


@dataclass(frozen=True, slots=True)
class HalfLives:
    """Half-life of both models and their ratio."""

    base: HalfLife
    candidate: HalfLife
    ratio: HalfLifeRatio


@dataclass(frozen=True, slots=True)
class PairedRetention:
    """What baseline and candidate keep.

    Attributes:
        base, candidate: profile of each over the paired probes.
        by_length: R of the candidate minus R of the baseline over history length.
        by_distance: the same over distance bins at the largest history length.
        by_load: the same for near evidence over history length.
        half_life: ratio, candidate over baseline.
        by_level: the same over levels.
        one_sided: which model R is measurable in where it is in one only; otherwise empty.
    """

    base: Profile
    candidate: Profile
    by_length: Mapping[int, Shift]
    by_distance: Mapping[Bin, Shift]
    by_load: Mapping[int, Shift]
    by_level: Mapping[int, Shift]
    half_life: HalfLifeRatio
    one_sided: str


def by_language(
    pairs: Sequence[tuple[Outcome, Outcome]], resampler: Resampler, *, fits: int = 0
) -> dict[str, PairedRetention]:
    """Retention of all languages together and, where there are several, of each.

    Args:
        pairs: (baseline, candidate) rows of one scorer, some of them in the main condition.
        resampler: source of the draws.
        fits: bootstrap replicates of the half-life, each a fit: slow. 0 leaves out its intervals
            and the ratio.

    Returns:
        By `all` and the language code.

    Raises:
        ValueError: no pair is in the main condition.
    """
    langs = sorted({base.lang for base, _ in pairs if base.condition == "main"})
    found = {ALL: paired_retention(pairs, resampler, fits=fits)}
    for lang in langs if len(langs) > 1 else ():
        part = [pair for pair in pairs if pair[0].lang == lang]
        found[lang] = paired_retention(part, resampler, fits=fits, lang=lang)
    return found


def paired_retention(
    pairs: Sequence[tuple[Outcome, Outcome]],
    resampler: Resampler,
    *,
    fits: int = 0,
    lang: str | None = None,
) -> PairedRetention:
    """Profiles of both models and their paired change.

    Args:
        pairs: (baseline, candidate) rows of one scorer.
        resampler: source of the draws.
        fits: bootstrap replicates of the half-life; 0 leaves out its intervals and the ratio.
        lang: the language of the pairs; None for all.

    Raises:
        ValueError: no pair is in the main condition.
    """
    base, candidate = paired_rows(pairs)
    halves = half_lives(base, candidate, Resampler(resampler.seed, fits) if fits else None)
    one, two = curves(base, resampler), curves(candidate, resampler)
    before = assemble(base, one, halves.base, resampler, lang=lang)
    after = assemble(candidate, two, halves.candidate, resampler, lang=lang)
    return PairedRetention(
        base=before,
        candidate=after,
        by_length=shifts(one.by_length, two.by_length),
        by_distance=shifts(one.by_distance, two.by_distance),
        by_load=shifts(one.by_load, two.by_load),
        by_level=shifts(one.by_level, two.by_level),
        half_life=halves.ratio,
        one_sided=_one_sided(before, after),
    )


def _one_sided(before: Profile, after: Profile) -> str:
    """Whether only one of the models can do the task next to the evidence."""
    if bool(before.note) == bool(after.note):
        return ""
    return BASELINE_ONLY if after.note else CANDIDATE_ONLY


def shifts(one: RetentionCurve[Key], two: RetentionCurve[Key]) -> dict[Key, Shift]:
    """R of the candidate minus R of the baseline, from the same resampled clusters.

    Where only one model is measurable there is no difference; the note then says which.

    Args:
        one: the baseline's, over rows from `paired_rows`.
        two: the candidate's over the same slices, with a resampler of the same seed.
    """
    found: dict[Key, Shift] = {}
    for place, (key, before) in enumerate(one.points.items()):
        after = two.points[key]
        if (before.value is None) != (after.value is None):
            note = BASELINE_ONLY if after.value is None else CANDIDATE_ONLY
            found[key] = Shift(None, None, None, note)
            continue
        drawn = [side.replicates[:, place] for side in (one, two)]
        found[key] = shift(before, after, *drawn)
    return found


def half_lives(base: ModelRows, candidate: ModelRows, resampler: Resampler | None) -> HalfLives:
    """Half-lives of two models and their ratio by the paired bootstrap on the log scale.

    Args:
        base: baseline from `paired_rows`.
        candidate: its partner.
        resampler: source of the draws, the same clusters for both models; None leaves out the
            intervals, and with them the ratio, which needs to know how often it is censored.
    """
    one, two = distance_slice(base), distance_slice(candidate)
    first, second = (
        None if isinstance(data, str) or resampler is None else data.replicates(resampler)
        for data in (one, two)
    )
    before, after = with_interval(one, first), with_interval(two, second)
    if isinstance(one, str) or isinstance(two, str):
        note = one if isinstance(one, str) else str(two)
        if isinstance(one, str) != isinstance(two, str):
            note = CANDIDATE_ONLY if isinstance(one, str) else BASELINE_ONLY
        return HalfLives(before, after, HalfLifeRatio(None, None, None, "open", note))
    return HalfLives(before, after, _ratio(one, before, after, first, second))


def _ratio(
    data: DistanceSlice,
    before: HalfLife,
    after: HalfLife,
    first: Floats | None,
    second: Floats | None,
) -> HalfLifeRatio:
    """Ratio of two half-lives over the same rows, from the (B,) replicates of each."""
    if before.decay is None or after.decay is None:
        return HalfLifeRatio(None, None, None, "open", AT_GUESS_RATE)
    places = before.decay.place, after.decay.place
    direction = _direction(*places)
    if {place.state for place in places} != {"at"}:
        return HalfLifeRatio(None, None, None, direction, "censored")
    if first is None or second is None:
        return HalfLifeRatio(None, None, None, direction, NOT_ASKED)
    stable = ~(np.isnan(first) | np.isnan(second))
    one, two = first[stable], second[stable]
    sides = outside(one, before.decay), outside(two, after.decay)
    if not len(one) or ((sides[0] != 0) | (sides[1] != 0)).mean() > MAX_CENSORED_SHARE:
        return HalfLifeRatio(None, None, None, direction, "too many censored replicates")
    exponential = before.decay.exponential and after.decay.exponential
    notes = [] if exponential else [NOT_EXPONENTIAL]
    low, high = None, None
    if data.clusters < FEWEST_CLUSTERS:
        notes.append("too few clusters")
    elif len(one) < (1 - MAX_UNSTABLE_SHARE) * len(stable):
        notes.append(UNSTABLE)
    else:
        ranks = _log_ratios(one, two, *sides)
        bounds = [ranked_quantile(ranks, tail) for tail in expanded_tails(data.clusters)]
        low, high = (exp(bound) if np.isfinite(bound) else None for bound in bounds)
    value = after.decay.h / before.decay.h
    return HalfLifeRatio(value, low, high, direction, "; ".join(notes))


def _log_ratios(first: Floats, second: Floats, before: Ints, after: Ints) -> Floats:
    """Sorted ln(second / first), infinite where one is censored; censored alike leaves no order."""
    logs = np.log(second / first)
    logs = np.where(after > before, np.inf, np.where(after < before, -np.inf, logs))
    return np.sort(logs[(after != before) | (before == 0)])


def _direction(before: Crossing, after: Crossing) -> Direction:
    """Where the candidate's half-life lies from the baseline's."""
    order = {"before": 0, "at": 1, "beyond": 2}
    one, two = order[before.state], order[after.state]
    if one != two:
        return "longer" if two > one else "shorter"
    if before.state != "at":
        return "open"
    if after.at == before.at:
        return "same"
    return "longer" if after.at > before.at else "shorter"
