"""`compare.json`: comparisons as JSON values under the names of docs/runs.md.

Fractions stay fractions and are rounded nowhere; distances and lengths are user turns; a missing
number is null, never NaN.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qwen_bench.stats.isotonic import Crossing, falls_under_half
from qwen_bench.stats.paired_retention import ALL
from qwen_bench.stats.sentences import sentences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qwen_bench.stats.clusters import Bin
    from qwen_bench.stats.half_life import HalfLife
    from qwen_bench.stats.paired_retention import PairedRetention
    from qwen_bench.stats.profile import EffectiveLength, Profile
    from qwen_bench.stats.results import Cell, Comparison, ModeComparison
    from qwen_bench.stats.retention import Retention, Shift

    Slice = Retention | Shift

COMPARE_SCHEMA_VERSION = 2


def compare_document(comparisons: Sequence[Comparison], exit_code: int) -> dict[str, Any]:
    """The whole of `compare.json`.

    Args:
        comparisons: at least one, all against the same baseline, in command order.
        exit_code: of the command.

    Raises:
        ValueError: no comparison.
    """
    if not comparisons:
        raise ValueError("compare.json needs a comparison")
    return {
        "schema_version": COMPARE_SCHEMA_VERSION,
        "exit_code": exit_code,
        "base": asdict(comparisons[0].base),
        "candidates": [comparison_as_dict(comparison) for comparison in comparisons],
    }


def comparison_as_dict(comparison: Comparison) -> dict[str, Any]:
    """One candidate of `compare.json`."""
    verdict = comparison.verdict
    return {
        **asdict(comparison.candidate),
        "settings": [
            {
                "field": item.field,
                "base": item.base,
                "candidate": item.candidate,
                "class": item.kind,
            }
            for item in comparison.settings
        ],
        "warnings": list(comparison.warnings),
        "accounting": asdict(comparison.accounting),
        "sameness": asdict(comparison.sameness),
        "primary": comparison.primary,
        "margin": comparison.margin,
        "alpha": comparison.alpha,
        "seed": comparison.seed,
        "modes": {mode: _mode(comparison.modes[mode]) for mode in sorted(comparison.modes)},
        "verdict": verdict.word,
        "note": verdict.note,
        "sentences": list(sentences(comparison)),
        "more_probes": verdict.more_probes,
        "gates": [asdict(gate) for gate in comparison.gates],
    }


def _mode(mode: ModeComparison) -> dict[str, Any]:
    """One scorer of a comparison."""
    return {
        "overall": _cell(mode.overall),
        "answered_only": _cell(mode.answered_only) if mode.answered_only else None,
        "without_failures": _cell(mode.without_failures) if mode.without_failures else None,
        "in_sight": _cell(mode.in_sight) if mode.in_sight else None,
        "by_length": {str(key): _cell(cell) for key, cell in mode.by_length.items()},
        "by_family": {key: _cell(cell) for key, cell in mode.by_family.items()},
        "by_lang": {key: _cell(cell) for key, cell in mode.by_lang.items()},
        "by_level": {str(key): _cell(cell) for key, cell in mode.by_level.items()},
        "by_distance": {_name(key): _cell(cell) for key, cell in mode.by_distance.items()},
        "by_tokens": {str(key): _cell(cell) for key, cell in mode.by_tokens.items()},
        "by_condition": {key: _cell(cell) for key, cell in mode.by_condition.items()},
        "lost_ids": list(mode.lost_ids),
        "gained_ids": list(mode.gained_ids),
        "languages": asdict(mode.languages) if mode.languages else None,
        "achieved": asdict(mode.achieved) if mode.achieved else None,
        "retention": _retention(mode),
    }


def _cell(cell: Cell) -> dict[str, Any]:
    """One cell, its fields as keys."""
    values = asdict(cell)
    # Only the verdict is asked for more probes; the file states it once, beside the verdict.
    values.pop("more_probes", None)
    return values


def _retention(mode: ModeComparison) -> dict[str, Any]:
    """Retention of all languages together, and of each under `by_lang`.

    Where plain accuracy falls under one half is known without it, and for all languages only.
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
            "one_sided": found.one_sided,
            "half_life": asdict(found.half_life),
            "by_length": _slices(found.by_length),
            "by_distance": _slices(found.by_distance),
            "by_load": _slices(found.by_load),
            "by_level": _slices(found.by_level),
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
        "by_length": _slices(found.by_length),
        "by_distance": _slices(found.by_distance),
        "by_load": _slices(found.by_load),
        "by_level": _slices(found.by_level),
        "spans": {str(length): asdict(span) for length, span in found.spans.items()},
    }


def _slices(found: Mapping[int, Slice] | Mapping[Bin, Slice]) -> dict[str, Any]:
    """What was found, by slice."""
    return {_name(key): asdict(item) for key, item in found.items()}


def _name(key: int | Bin) -> str:
    """A slice as a key: a length or level as ``8``, a distance bin as ``0``, ``1-3``, ``4-7``."""
    return str(key) if isinstance(key, int) else "-".join(map(str, dict.fromkeys(key)))


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
