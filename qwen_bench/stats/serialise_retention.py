"""Retention of two models as JSON values: the key `retention` of a scorer in `compare.json`.

Distances and lengths are user turns; a missing number is null.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qwen_bench.stats.isotonic import Crossing, falls_under_half
from qwen_bench.stats.paired_retention import ALL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwen_bench.stats.effective_length import EffectiveLength
    from qwen_bench.stats.half_life import HalfLife
    from qwen_bench.stats.paired_retention import PairedRetention
    from qwen_bench.stats.profile import Profile
    from qwen_bench.stats.results import ModeComparison
    from qwen_bench.stats.retention import Retention
    from qwen_bench.stats.slices import Bin


def retention_as_dict(mode: ModeComparison) -> dict[str, Any]:
    """Retention of all languages together, and of each under `by_lang`.

    Where plain accuracy falls under one half is known without it, and for all languages only.

    Args:
        mode: one scorer of a comparison.
    """
    falls = falls_under_half(mode.by_length)
    whole = mode.retention.get(ALL)
    sides = {} if whole is None else _pair(whole)
    for place, name in enumerate(("base", "candidate")):
        side = {"falls_under_half": _crossing(falls[place] if falls else None)}
        sides[name] = {**sides.get(name, {}), **side}
    by_lang = {lang: _pair(found) for lang, found in mode.retention.items() if lang != ALL}
    return {**sides, "by_lang": by_lang}


def _pair(found: PairedRetention) -> dict[str, Any]:
    """Both sides and their change."""
    return {
        "base": _side(found.base),
        "candidate": _side(found.candidate),
        "change": {
            "ability": found.ability,
            "half_life": asdict(found.half_life),
            "by_length": {str(key): asdict(shift) for key, shift in found.by_length.items()},
            "by_distance": {_bin(key): asdict(shift) for key, shift in found.by_distance.items()},
            "by_load": {str(key): asdict(shift) for key, shift in found.by_load.items()},
        },
    }


def _side(found: Profile) -> dict[str, Any]:
    """What one model keeps."""
    history = found.history
    return {
        "blind": found.blind,
        "adjacent": found.adjacent,
        "note": found.note,
        "ehl": _length(history.ehl),
        "ehl_strict": _length(history.strict),
        "ehl_abs": _length(history.absolute),
        "ehl_shares": dict(history.shares),
        "half_life": _half_life(found.half_life),
        "recency": asdict(found.recency),
        "primacy": asdict(found.primacy),
        "by_length": _points({str(key): point for key, point in found.by_length.items()}),
        "by_distance": _points({_bin(key): point for key, point in found.by_distance.items()}),
        "by_load": _points({str(key): point for key, point in found.by_load.items()}),
    }


def _points(found: Mapping[str, Retention]) -> dict[str, Any]:
    """Accuracy and R by slice."""
    return {name: asdict(point) for name, point in found.items()}


def _half_life(found: HalfLife) -> dict[str, Any]:
    """The fit, its censored place and bounds, and the isotonic crossing beside it."""
    decay = found.decay
    return {
        "text": found.text,
        "place": _crossing(decay.place if decay else None),
        "low": _crossing(found.low),
        "high": _crossing(found.high),
        "crossing": _crossing(found.crossing),
        "exponential": decay.exponential if decay else None,
        "fit": asdict(decay) if decay else None,
        "censored": found.censored,
        "note": found.note,
    }


def _length(found: EffectiveLength | None) -> dict[str, Any] | None:
    """A step of the checkpoints; null where it is not measurable."""
    return None if found is None else {**asdict(found), "text": found.text}


def _crossing(place: Crossing | None) -> dict[str, Any] | None:
    """A place within what was asked; null without one."""
    return asdict(place) if place else None


def _bin(distances: Bin) -> str:
    """A distance bin as a key: ``0``, ``1-3``, ``4-7``."""
    first, last = distances
    return str(first) if first == last else f"{first}-{last}"
