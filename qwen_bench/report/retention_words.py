"""Effective history length, half-life and differences of R in words and as values of a table.

States what `stats` found; a number that is missing is replaced by the reason, never by a dash
alone. Terminal and page word these figures here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qwen_bench.record.formats import (
    NO_INTERVAL,
    decimal,
    interval,
    percent,
    points_interval,
    turns,
)
from qwen_bench.report.tables import UNKNOWN, Value
from qwen_bench.report.untrusted_text import plain
from qwen_bench.stats.half_life import NOT_EXPONENTIAL
from qwen_bench.stats.retention import NOT_MEASURABLE, UNSTABLE
from qwen_bench.stats.span import level_label

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwen_bench.stats.clusters import Bin
    from qwen_bench.stats.half_life import HalfLife
    from qwen_bench.stats.isotonic import Crossing
    from qwen_bench.stats.paired_retention import HalfLifeRatio
    from qwen_bench.stats.profile import EffectiveLength, EffectiveLengths
    from qwen_bench.stats.retention import Retention, Shift
    from qwen_bench.stats.span import Span

_SHARES_SHOWN = 3
_PLAIN_WORDS = {
    "too few clusters": "too few skeletons for an interval",
    UNSTABLE: "no interval: too little between evidence directly before and question alone",
    "censored": "not both lie within the distances asked",
    "too many censored replicates": "too many resamples lie beyond the distances asked",
}
"""Notes of `stats` that use words a reader does not."""


def length_words(length: EffectiveLength | None) -> str:
    """An effective history length: ``8 turns``, ``32 turns or more``, ``less than 1 turn``."""
    if length is None:
        return NOT_MEASURABLE
    known = turns(length.turns)
    return {"before": f"less than {known}", "at": known, "beyond": f"{known} or more"}[length.state]


def observed_only(found: EffectiveLengths) -> bool:
    """Whether a length it is read from has no interval, so that it is what was seen, no finding."""
    return found.ehl is not None and found.strict is None


def kept_words(found: EffectiveLengths) -> str:
    """An effective history length in a line; one that was only observed says so."""
    return length_words(found.ehl) + (" (observed, no interval)" if observed_only(found) else "")


def kept_label(found: EffectiveLengths) -> str:
    """An effective history length as the label of a line: ``85 % up to 8 turns``."""
    if found.ehl is not None and found.ehl.state == "before":
        return f"under 85 % at {turns(found.ehl.turns)}"
    return f"85 % up to {length_words(found.ehl)}"


def length_value(found: EffectiveLengths) -> Value:
    """Effective history length with the share of resamples at each step, the largest first."""
    shares = sorted(found.shares.items(), key=lambda item: (-item[1], item[0]))[:_SHARES_SHOWN]
    steps = ", ".join(f"{_step(name)} in {percent(share)}" for name, share in shares)
    notes = ["observed, no interval at some length"] if observed_only(found) else []
    notes += [f"of resamples: {steps}"] if steps else []
    return Value(
        float(found.ehl.turns) if found.ehl else None,
        word=length_words(found.ehl),
        note="; ".join(notes),
    )


def _step(name: str) -> str:
    """A step of the effective length as it is listed: ``32 or more``, ``under 1``, ``8``."""
    sign, _, known = name.rpartition(" ")
    return {">=": f"{known} or more", "<": f"under {known}"}.get(sign, known)


def strict_value(found: EffectiveLengths) -> Value:
    """The strict form; without a lower bound at some length there is none."""
    if found.strict is None and found.ehl is not None:
        return Value(word=NO_INTERVAL, note="too few skeletons at some length")
    number = float(found.strict.turns) if found.strict else None
    return Value(number, word=length_words(found.strict))


def half_life_value(found: HalfLife) -> Value:
    """Half-life with its interval, or why there is none; a bad fit gives way to the crossing."""
    if found.decay is None:
        return Value(word=NOT_MEASURABLE, note=_reason(found.note))
    fitted, bounds = place_words(found.decay.place), _bounds(found)
    number = found.decay.h if found.decay.place.state == "at" else None
    if found.decay.exponential or found.crossing is None:
        return Value(number, word=fitted, note=bounds)
    return Value(number, word=NOT_EXPONENTIAL, note=f"fitted {fitted}, {bounds}")


def half_life_words(found: HalfLife) -> str:
    """One figure for a label: the half-life, or the crossing where the curve is not exponential."""
    if found.decay is None:
        return f"half-life {NOT_MEASURABLE}"
    if found.decay.exponential or found.crossing is None:
        return f"half-life {place_words(found.decay.place)}"
    return f"one half: {place_words(found.crossing)}"


def half_life_line(found: HalfLife) -> str:
    """A half-life with its interval in a line; where it is not exponential, the crossing leads."""
    if found.decay is None:
        return NOT_MEASURABLE
    bounds = ""
    if found.low is not None and found.high is not None:
        bounds = f" ({_place(found.low)} to {_place(found.high)})"
    words = f"{_place(found.decay.place)} turns"
    if found.decay.exponential or found.crossing is None:
        return words + bounds
    return f"{_place(found.crossing)} turns (not exponential; fitted {words}{bounds})"


def _place(place: Crossing) -> str:
    """A distance without its unit: ``12.0``, ``beyond 63``, ``under 1``."""
    if place.state == "at":
        return f"{place.at:.1f}"
    return f"{'beyond' if place.state == 'beyond' else 'under'} {place.at:g}"


def place_words(place: Crossing) -> str:
    """A distance in words: ``12.0 turns``, ``beyond 63 turns``, ``under 1 turn``."""
    if place.state == "before" and place.at < 1:
        return "already directly before"
    return f"{_place(place)} {'turn' if place.state != 'at' and place.at == 1 else 'turns'}"


def _bounds(found: HalfLife) -> str:
    """The interval of a half-life, or why it has none."""
    if found.low is None or found.high is None:
        reasons = [part for part in found.note.split("; ") if part and part != NOT_EXPONENTIAL]
        return _reason("; ".join(reasons)) or "interval not computed"
    low, high = (place_words(place).removesuffix(" turns") for place in (found.low, found.high))
    return f"interval: {low}" if low == high and found.low.state != "at" else f"{low} to {high}"


def ratio_bounds(found: HalfLifeRatio) -> str:
    """The interval of a ratio: ``0.30 to open``; empty without one."""
    if found.low is None and found.high is None:
        return ""
    low, high = ("open" if end is None else decimal(end) for end in (found.low, found.high))
    return f"{low} to {high}"


def ratio_value(found: HalfLifeRatio) -> Value:
    """Ratio of half-lives with its interval; where there is none, the direction alone."""
    reason = _reason(found.note)
    if found.value is None:
        word = found.direction if found.direction in {"longer", "shorter"} else ""
        return Value(word=word, note=reason)
    note = "; ".join(filter(None, (ratio_bounds(found) or NO_INTERVAL, reason)))
    return Value(found.value, "decimal", note=note)


def shift_value(found: Shift | None) -> Value:
    """A difference of two R in points with its interval."""
    if found is None:
        return UNKNOWN
    if found.value is None:
        return Value(note=_reason(found.note))
    bounds = points_interval(found.low, found.high)
    if found.low is None and found.note:
        bounds = _reason(found.note)
    return Value(found.value, "points", note=bounds)


def retained_value(found: Retention) -> Value:
    """R in percent with its interval."""
    if found.value is None:
        return Value(word=NOT_MEASURABLE, note=_reason(found.note))
    bounds = interval(found.low, found.high)
    if found.low is None and found.note:
        bounds = _reason(found.note)
    return Value(found.value, note=bounds)


def _reason(note: str) -> str:
    """Why a number is missing; what lies at the controls is said once, above the table."""
    parts = [_PLAIN_WORDS.get(part, part) for part in note.split("; ")]
    text = plain("; ".join(parts)).removeprefix(f"{NOT_MEASURABLE}: ")
    return "" if "blind" in text else text


def control_value(share: float | None) -> Value:
    """A pooled accuracy of a control."""
    return Value(share, word="not asked" if share is None else "")


def crossing_value(place: Crossing | None) -> Value:
    """Where R falls under one half."""
    if place is None:
        return Value(word=NOT_MEASURABLE)
    return Value(place.at if place.state == "at" else None, word=place_words(place))


def bin_name(distances: Bin) -> str:
    """A distance bin as a label: ``0``, ``1–3``."""
    first, last = distances
    return str(first) if first == last else f"{first}–{last}"


def span_words(found: Mapping[int, Span]) -> str:
    """Spans in a line: ``level 4 over 4 turns, level 2 over 32 turns``; empty without levels.

    Of neighbouring history lengths with one span the longest is named.

    Args:
        found: by history length, increasing.
    """
    last: list[tuple[str, int]] = []
    for length, span in found.items():
        text = span_label(span)
        if last and last[-1][0] == text:
            last.pop()
        last.append((text, length))
    return ", ".join(f"{text} over {turns(length)}" for text, length in last)


def span_label(span: Span) -> str:
    """One span: ``level 4``, ``level 5 or more`` where the suite asks no more, ``no level``."""
    if not span.level:
        return "no level"
    ending = " or more" if span.level == span.highest else ""
    return level_label(span.level) + ending


def span_bounds(span: Span) -> str:
    """The interval of a span: ``3 to 5``."""
    if span.low is None or span.high is None:
        return NO_INTERVAL
    return f"{span.low} to {span.high}"


def span_value(span: Span) -> Value:
    """A span with its interval."""
    bounds = span_bounds(span)
    note = bounds if bounds == NO_INTERVAL else f"levels {bounds}"
    return Value(word=span_label(span), note="; ".join(filter(None, (note, span.note))))


def longest_span(found: Mapping[int, Span]) -> Value:
    """The span at the longest history; a dash where the suite has no levels."""
    if not found:
        return UNKNOWN
    length = max(found)
    value = span_value(found[length])
    return replace(value, note=f"over {turns(length)}; {value.note}")
