"""Summaries and comparisons as JSON values under the names of docs/runs.md.

Fractions stay fractions and are rounded nowhere; a missing number is null, never NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qwen_bench.stats.serialise_retention import retention_as_dict

if TYPE_CHECKING:
    from qwen_bench.stats.results import Cell, Comparison, ModeComparison, ModeSummary

COMPARE_SCHEMA_VERSION = 1


def summary_as_dict(summary: Mapping[str, ModeSummary]) -> dict[str, Any]:
    """A run's summary by scorer; history lengths become text keys.

    Args:
        summary: from `qwen_bench.stats.summary.summarise`.
    """
    return {mode: _text_keys(asdict(summary[mode])) for mode in sorted(summary)}


def comparison_as_dict(comparison: Comparison) -> dict[str, Any]:
    """One candidate of `compare.json`.

    Args:
        comparison: from `qwen_bench.stats.paired_comparison.compare`.
    """
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
        "primary": comparison.primary,
        "margin": comparison.margin,
        "alpha": comparison.alpha,
        "seed": comparison.seed,
        "modes": {mode: _mode(comparison.modes[mode]) for mode in sorted(comparison.modes)},
        "verdict": verdict.word,
        "note": verdict.note,
        "more_probes": verdict.more_probes,
        "gates": [asdict(gate) for gate in comparison.gates],
    }


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


def _mode(mode: ModeComparison) -> dict[str, Any]:
    """One scorer of a comparison."""
    return {
        "overall": cell_as_dict(mode.overall),
        "answered_only": cell_as_dict(mode.answered_only) if mode.answered_only else None,
        "by_length": {str(key): cell_as_dict(cell) for key, cell in mode.by_length.items()},
        "by_family": {key: cell_as_dict(cell) for key, cell in mode.by_family.items()},
        "by_lang": {key: cell_as_dict(cell) for key, cell in mode.by_lang.items()},
        "by_condition": {key: cell_as_dict(cell) for key, cell in mode.by_condition.items()},
        "lost_ids": list(mode.lost_ids),
        "gained_ids": list(mode.gained_ids),
        "languages": asdict(mode.languages) if mode.languages else None,
        "achieved": asdict(mode.achieved) if mode.achieved else None,
        "retention": retention_as_dict(mode),
    }


def cell_as_dict(cell: Cell) -> dict[str, Any]:
    """One cell, its fields as keys."""
    values = asdict(cell)
    # Only the verdict is asked for more probes; the file states it once, beside the verdict.
    values.pop("more_probes", None)
    return values


def _text_keys(value: Any) -> Any:  # noqa: ANN401 - a tree of JSON values
    """The same tree with text keys."""
    if isinstance(value, Mapping):
        return {str(key): _text_keys(item) for key, item in value.items()}
    return value
