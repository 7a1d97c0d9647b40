"""Lines under the table of a comparison: effective length, half-life, languages, what was visible.

Only words for figures that exist; computes no statistic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwen_bench.stats.verdict import points

if TYPE_CHECKING:
    from qwen_bench.stats.half_life import HalfLife
    from qwen_bench.stats.isotonic import Crossing
    from qwen_bench.stats.paired_retention import HalfLifeRatio, PairedRetention
    from qwen_bench.stats.profile import EffectiveLength
    from qwen_bench.stats.results import Cell, Gap, ModeComparison

_UNKNOWN = "not measurable"


def retention_lines(mode: ModeComparison) -> list[str]:
    """Effective history length and half-life of both sides; nothing where it was not computed.

    Args:
        mode: one scorer of a comparison.
    """
    whole = mode.retention.get("all")
    if whole is None:
        return []
    base, candidate = whole.base, whole.candidate
    if base.note and candidate.note:
        return [f" effective history length and half-life: {candidate.note}"]
    lines = _ability(whole)
    lines.append(
        f" keeps 85 % of its ability up to: base {length_words(base.history.ehl)}, "
        f"candidate {length_words(candidate.history.ehl)}"
    )
    one, two = base.half_life, candidate.half_life
    if one.decay is None and two.decay is None:
        return [*lines, f" half-life: {two.note}"]
    lines.append(
        f" half-life: base {half_life_words(one)}, candidate {half_life_words(two)}"
        f"{_ratio(whole.half_life)}"
    )
    return lines


def precision_lines(mode: ModeComparison) -> list[str]:
    """What the flips and the standard error say; decides nothing.

    Args:
        mode: the primary scorer of a comparison.
    """
    lines = _effects(mode.overall)
    if mode.achieved is not None:
        found = mode.achieved
        lines.append(
            f" in 80 % of such runs: a difference of {100 * found.detectable:.1f} points is seen, "
            f"equal models are within noise at a margin of {100 * found.margin:.1f}"
        )
    if mode.languages is not None:
        gap = mode.languages
        lines.append(
            f" Chinese minus English: base {points(gap.base.value)}, candidate "
            f"{points(gap.candidate.value)} · change {_gap(gap.change)}"
        )
    return lines


def length_words(length: EffectiveLength | None) -> str:
    """An effective history length: ``8 turns``, ``32 turns or more``, ``less than 1 turn``."""
    if length is None:
        return _UNKNOWN
    turns = f"{length.turns} turn{'' if length.turns == 1 else 's'}"
    return {"before": f"less than {turns}", "at": turns, "beyond": f"{turns} or more"}[length.state]


def half_life_words(found: HalfLife) -> str:
    """A half-life with its interval; where it is not exponential, the crossing leads."""
    if found.decay is None:
        return _UNKNOWN
    bounds = ""
    if found.low is not None and found.high is not None:
        bounds = f" ({_bound(found.low)} to {_bound(found.high)})"
    words = _place(found.decay.place)
    if found.decay.exponential or found.crossing is None:
        return words + bounds
    return f"{_place(found.crossing)} (not exponential; fitted {words}{bounds})"


def _ability(whole: PairedRetention) -> list[str]:
    """Both accuracies where only one model can do the task next to the evidence."""
    if not whole.ability:
        return []
    shares = [
        f"{name} {_share(side.adjacent)} next to the evidence, {_share(side.blind)} without it"
        for name, side in (("base", whole.base), ("candidate", whole.candidate))
    ]
    return [f" {whole.ability}: {'; '.join(shares)}"]


def _ratio(found: HalfLifeRatio) -> str:
    """The ratio with its interval; where there is none, the direction alone."""
    if found.value is None:
        return f" · candidate {found.direction}" if found.direction in {"longer", "shorter"} else ""
    bounds = ""
    if found.low is not None or found.high is not None:
        low, high = (
            "open" if bound is None else f"{bound:.2f}" for bound in (found.low, found.high)
        )
        bounds = f" ({low} to {high})"
    return f" · ratio {found.value:.2f}{bounds}"


def _effects(cell: Cell) -> list[str]:
    """Sizes of the change and the one-sided p-value."""
    effects = cell.effects
    if effects is None or effects.odds_ratio is None or effects.cohens_g is None:
        return []
    return [
        (
            f" flip rate {_share(effects.flip_rate)} · lost to gained {effects.odds_ratio:.2f} · "
            f"Cohen's g {effects.cohens_g:.2f} · one-sided p of a loss {effects.p_loss:.2g} "
            "(decides nothing)"
        )
    ]


def _gap(gap: Gap) -> str:
    """A change with its interval."""
    if gap.low is None or gap.high is None:
        return f"{points(gap.value)} (no interval)"
    return f"{points(gap.value)} ({points(gap.low)} to {points(gap.high)})"


def _place(place: Crossing) -> str:
    """A distance in words."""
    if place.state == "at":
        return f"{place.at:.1f} turns"
    return f"{'beyond' if place.state == 'beyond' else 'under'} {place.at:g} turns"


def _bound(place: Crossing) -> str:
    """A distance as a bound."""
    if place.state == "at":
        return f"{place.at:.1f}"
    return f"{'beyond' if place.state == 'beyond' else 'under'} {place.at:g}"


def _share(share: float | None) -> str:
    """A fraction in percent."""
    return "none" if share is None else f"{100 * share:.1f} %"
