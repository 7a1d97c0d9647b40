"""Warnings about comparisons that look like numbers but measure something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from qwen_bench.record.manifest import Manifest
from qwen_bench.stats.retention import guessable

if TYPE_CHECKING:
    from qwen_bench.record.outcome import Outcome
    from qwen_bench.stats.results import Cell, SettingDifference

_SAME_OUTPUT_SHARE = 0.99
_TRUNCATED_SHARE = 0.01
_CEILING, _FLOOR = 0.98, 0.02
_FEW_PAIRS = 30
_LONGEST_SETTING = 40
_THINKING_TAGS = ("<think>", "</think>")

Named = tuple[str, Manifest]


def pairing_warnings(
    pairs: Sequence[tuple[Outcome, Outcome]],
    base: Named,
    candidate: Named,
    settings: Sequence[SettingDifference],
) -> list[str]:
    """Warnings that need the rows and manifests, not the statistics.

    Args:
        pairs: (baseline, candidate) rows, at least one.
        base: label and manifest of the baseline.
        candidate: label and manifest of the candidate.
        settings: differences between the manifests.
    """
    texts = [
        f"{'allowed mismatch' if item.kind == 'must match' else 'the sides differ in'} "
        f"{item.field}: {_short(item.base)} -> {_short(item.candidate)}"
        for item in settings
        if item.kind != "expected"
    ]
    if base[1].model.fingerprint == candidate[1].model.fingerprint:
        texts.append("both sides are the same model")
    else:
        texts += _same_outputs(pairs)
    for place, (label, manifest) in enumerate((base, candidate)):
        rows = [pair[place] for pair in pairs]
        texts += _truncated(label, rows) + _unended(label, rows) + _thinking(label, rows)
        texts += [f"{label}: {text}" for text in manifest.warnings]
    return texts


def cell_warnings(cells: Mapping[str, Cell]) -> list[str]:
    """Cells that cannot tell two models apart.

    Args:
        cells: by the name to print, for example ``8 turns`` or a family.
    """
    texts = []
    flat = [
        name
        for name, cell in cells.items()
        if min(cell.base, cell.candidate) > _CEILING or max(cell.base, cell.candidate) < _FLOOR
    ]
    if flat:
        texts.append(f"both sides above 98 % or below 2 %, no contrast left: {', '.join(flat)}")
    few = [name for name, cell in cells.items() if cell.n < _FEW_PAIRS]
    if few:
        texts.append(f"fewer than {_FEW_PAIRS} pairs: {', '.join(few)}")
    return texts


def guessable_warnings(
    label: str, rows: Sequence[Outcome], chances: Mapping[str, float]
) -> list[str]:
    """Families that a model answers without the history; they stay in the headline.

    Args:
        label: of the model.
        rows: of one scorer; other conditions than blind are left out.
        chances: score of a uniform guess by family. For a family without one, ranked rows know
            their number of candidates and the chance is 1 over it; others are not judged.
    """
    families: dict[str, list[Outcome]] = {}
    for row in rows:
        if row.condition == "blind":
            families.setdefault(row.family, []).append(row)
    named = []
    for family, asked in sorted(families.items()):
        ranked = [1 / len(row.logprobs) for row in asked if row.logprobs]
        guess = sum(ranked) / len(ranked) if ranked else None
        chance = chances.get(family, guess)
        blind = sum(row.value for row in asked) / len(asked)
        if chance is not None and guessable(blind, chance):
            named.append(
                f"{family} ({100 * blind:.0f} % of {len(asked)}, chance {100 * chance:.0f} %)"
            )
    if not named:
        return []
    return [f"{label}: guessable, blind accuracy far above chance: {', '.join(named)}"]


def _short(text: str) -> str:
    """A setting that fits a line; hashes are told apart by their start."""
    return text if len(text) <= _LONGEST_SETTING else f"{text[:12]}..."


def _same_outputs(pairs: Sequence[tuple[Outcome, Outcome]]) -> list[str]:
    """An adapter that is not applied shows as identical outputs."""
    same = sum(
        base.output is not None
        and base.output == candidate.output
        and base.logprobs == candidate.logprobs
        for base, candidate in pairs
    )
    if same < _SAME_OUTPUT_SHARE * len(pairs):
        return []
    return [f"{same} of {len(pairs)} outputs are identical: is the adapter applied?"]


def _truncated(label: str, rows: Sequence[Outcome]) -> list[str]:
    """Answers cut by the token budget."""
    count = sum(row.status == "truncated" for row in rows)
    if count <= _TRUNCATED_SHARE * len(rows):
        return []
    share = 100 * count / len(rows)
    return [f"{label}: {count} of {len(rows)} answers were truncated ({share:.1f} %)"]


def _unended(label: str, rows: Sequence[Outcome]) -> list[str]:
    """Thoughts that never came to an answer."""
    count = sum(row.reason == "no_answer" for row in rows)
    if not count:
        return []
    return [f"{label}: {count} of {len(rows)} answers ended inside a thought and count as wrong"]


def _thinking(label: str, rows: Sequence[Outcome]) -> list[str]:
    """Thoughts that reached the scorer."""
    count = sum(any(tag in (row.output or "") for tag in _THINKING_TAGS) for row in rows)
    return [f"{label}: {count} outputs contain thinking tags"] if count else []
