"""How much two models keep, side by side, and what changed; the same resampled clusters for both.

One scorer and one language (or all) at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen_bench.stats.bootstrap import Resampler
from qwen_bench.stats.half_life_ratio import HalfLifeRatio, half_lives
from qwen_bench.stats.profile import Profile, assemble, curves
from qwen_bench.stats.retention_change import GAINED_ABILITY, LOST_ABILITY, Shift, shifts
from qwen_bench.stats.slices import Bin, paired_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qwen_bench.record.outcome import Outcome

ALL = "all"


@dataclass(frozen=True, slots=True)
class PairedRetention:
    """What baseline and candidate keep.

    Attributes:
        base, candidate: profile of each over the paired probes.
        by_length: R of the candidate minus R of the baseline over history length.
        by_distance: the same over distance bins at the largest history length.
        by_load: the same for near evidence over history length.
        half_life: ratio, candidate over baseline.
        ability: "lost ability" or "gained ability" where R is measurable in one model only;
            otherwise empty.
    """

    base: Profile
    candidate: Profile
    by_length: Mapping[int, Shift]
    by_distance: Mapping[Bin, Shift]
    by_load: Mapping[int, Shift]
    half_life: HalfLifeRatio
    ability: str


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
        half_life=halves.ratio,
        ability=_ability(before, after),
    )


def _ability(before: Profile, after: Profile) -> str:
    """Whether only one of the models can do the task next to the evidence."""
    if bool(before.note) == bool(after.note):
        return ""
    return LOST_ABILITY if after.note else GAINED_ABILITY
