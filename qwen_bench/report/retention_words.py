"""Words for effective history length, half-life and differences of R, as values of a table.

States what `stats` found; a number that is missing is replaced by the reason, never by a dash
alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwen_bench.report.facts import Value
from qwen_bench.report.text import (
    decimal,
    interval,
    percent,
    plain,
    plural,
    points,
    points_interval,
)
from qwen_bench.stats.half_life import NOT_EXPONENTIAL
from qwen_bench.stats.retention import NOT_MEASURABLE, UNSTABLE

if TYPE_CHECKING:
    from qwen_bench.stats.half_life import HalfLife
    from qwen_bench.stats.isotonic import Crossing
    from qwen_bench.stats.paired_retention import HalfLifeRatio
    from qwen_bench.stats.profile import EffectiveLength, EffectiveLengths
    from qwen_bench.stats.retention import Retention, Shift

NO_INTERVAL = "interval not computed"
_SHARES_SHOWN = 3
_FEW = "too few clusters"
_PLAIN_WORDS = {
    _FEW: "too few skeletons for an interval",
    UNSTABLE: "no interval: too little between evidence directly before and question alone",
    "censored": "not both lie within the distances asked",
    "too many censored replicates": "too many resamples lie beyond the distances asked",
}
"""Notes of `stats` that use words this page does not."""


def length_words(length: EffectiveLength | None) -> str:
    """An effective history length: ``8 turns``, ``32 turns or more``, ``less than 1 turn``."""
    if length is None:
        return NOT_MEASURABLE
    turns = plural(length.turns, "turn")
    return {"before": f"less than {turns}", "at": turns, "beyond": f"{turns} or more"}[length.state]


def length_value(found: EffectiveLengths) -> Value:
    """Effective history length with the share of resamples at each step, the largest first."""
    shares = sorted(found.shares.items(), key=lambda item: (-item[1], item[0]))[:_SHARES_SHOWN]
    steps = ", ".join(f"{_step(name)} in {percent(share)}" for name, share in shares)
    number = float(found.ehl.turns) if found.ehl else None
    return Value(length_words(found.ehl), f"of resamples: {steps}" if steps else "", number)


def strict_value(found: EffectiveLengths) -> Value:
    """The strict form; without a lower bound at some length there is none."""
    if found.strict is None and found.ehl is not None:
        return Value("no interval", "too few skeletons at some length")
    return Value(
        length_words(found.strict), "", float(found.strict.turns) if found.strict else None
    )


def half_life_value(found: HalfLife) -> Value:
    """Half-life with its interval, or why there is none; a bad fit gives way to the crossing."""
    if found.decay is None:
        return Value(NOT_MEASURABLE, _reason(found.note))
    fitted = place_words(found.decay.place)
    bounds = _bounds(found)
    number = found.decay.h if found.decay.place.state == "at" else None
    if found.decay.exponential or found.crossing is None:
        return Value(fitted, bounds, number)
    return Value(NOT_EXPONENTIAL, f"fitted {fitted}, {bounds}", number)


def half_life_words(found: HalfLife) -> str:
    """One figure for a label: the half-life, or the crossing where the curve is not exponential."""
    if found.decay is None:
        return f"half-life {NOT_MEASURABLE}"
    if found.decay.exponential or found.crossing is None:
        return f"half-life {place_words(found.decay.place)}"
    return f"one half: {place_words(found.crossing)}"


def crossing_value(place: Crossing | None) -> Value:
    """Where R falls under one half."""
    if place is None:
        return Value(NOT_MEASURABLE)
    return Value(place_words(place), "", place.at if place.state == "at" else None)


def ratio_value(found: HalfLifeRatio) -> Value:
    """Ratio of half-lives with its interval; where there is none, the direction alone."""
    if found.value is None:
        if found.direction in {"longer", "shorter"}:
            return Value(found.direction, _reason(found.note))
        return Value("–", _reason(found.note))
    ends = ["open" if end is None else decimal(end) for end in (found.low, found.high)]
    bounds = f"{ends[0]} to {ends[1]}" if set(ends) != {"open"} else "no interval"
    return Value(
        decimal(found.value), "; ".join(filter(None, (bounds, _reason(found.note)))), found.value
    )


def shift_value(found: Shift | None) -> Value:
    """A difference of two R in points with its interval."""
    if found is None:
        return Value("–")
    if found.value is None:
        return Value("–", _reason(found.note))
    bounds = points_interval(found.low, found.high)
    if found.low is None and found.note:
        bounds = _reason(found.note)
    return Value(points(found.value), bounds, found.value)


def kept_value(found: Retention | None) -> Value:
    """R in percent with its interval."""
    if found is None:
        return Value("–", "no probes")
    if found.value is None:
        return Value(NOT_MEASURABLE, _reason(found.note))
    bounds = interval(found.low, found.high)
    if found.low is None and found.note:
        bounds = _reason(found.note)
    return Value(percent(found.value), bounds, found.value)


def share_value(share: float | None) -> Value:
    """A pooled accuracy of a control."""
    return Value("not asked" if share is None else percent(share), "", share)


def place_words(place: Crossing) -> str:
    """A distance in words: ``12.0 turns``, ``beyond 63 turns``, ``under 1 turn``."""
    unit = "turn" if place.at == 1 else "turns"
    if place.state == "at":
        return f"{place.at:.1f} turns"
    if place.state == "before" and place.at < 1:
        return "already directly before"
    return f"{'beyond' if place.state == 'beyond' else 'under'} {place.at:g} {unit}"


def _bounds(found: HalfLife) -> str:
    """The interval of a half-life, or why it has none."""
    if found.low is None or found.high is None:
        reasons = [part for part in found.note.split("; ") if part and part != NOT_EXPONENTIAL]
        return _reason("; ".join(reasons)) or NO_INTERVAL
    low, high = (
        f"{place.at:.1f}" if place.state == "at" else place_words(place).removesuffix(" turns")
        for place in (found.low, found.high)
    )
    return f"interval: {low}" if low == high and found.low.state != "at" else f"{low} to {high}"


def _step(name: str) -> str:
    """A step of the effective length as it is listed: ``32 or more``, ``under 1``, ``8``."""
    sign, _, turns = name.rpartition(" ")
    return {">=": f"{turns} or more", "<": f"under {turns}"}.get(sign, turns)


def _reason(note: str) -> str:
    """Why a number is missing; what lies at the controls is said once, above the table."""
    parts = [_PLAIN_WORDS.get(part, part) for part in note.split("; ")]
    text = plain("; ".join(parts)).removeprefix(f"{NOT_MEASURABLE}: ")
    return "" if "blind" in text else text
