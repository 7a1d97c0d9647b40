"""Warnings about comparisons that look like numbers but measure something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from qwen_bench.stats.retention import guessable
from qwen_bench.stats.sameness import unverified

if TYPE_CHECKING:
    from qwen_bench.record.outcome import Outcome, Run
    from qwen_bench.stats.results import Cell, Sameness, SettingDifference

_SAME_OUTPUT_SHARE = 0.99
_TRUNCATED_SHARE = 0.01
_CEILING, _FLOOR = 0.98, 0.02
_FEW_PAIRS = 30
_LONGEST_SETTING = 40
_THINKING_TAGS = ("<think>", "</think>")


def pairing_warnings(
    pairs: Sequence[tuple[Outcome, Outcome]],
    base: Run,
    candidate: Run,
    settings: Sequence[SettingDifference],
    same: Sameness,
) -> list[str]:
    """Warnings that need the pairs, at least one, and the settings, not the statistics."""
    texts = [
        f"{'allowed mismatch' if item.kind == 'must match' else 'the sides differ in'} "
        f"{item.field}: {_short(item.base)} -> {_short(item.candidate)}"
        for item in settings
        if item.kind != "expected"
    ]
    fingerprint = base.manifest.model.fingerprint
    if fingerprint == candidate.manifest.model.fingerprint:
        texts.append(
            "both sides have one name, and nothing verifies whether they are one model"
            if unverified(fingerprint)
            else "both sides are the same model"
        )
    elif same.answers and same.identical >= _SAME_OUTPUT_SHARE * same.answers:
        texts.append(
            f"{same.identical} of {same.answers} outputs are identical: is the adapter applied?"
        )
    for run, rows in zip((base, candidate), zip(*pairs, strict=True), strict=True):
        texts += [f"{run.label}: {text}" for text in (*_of_rows(rows), *run.manifest.warnings)]
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


def _of_rows(rows: Sequence[Outcome]) -> list[str]:
    """Answers cut by the token budget, empty ones, thoughts without an answer or in an answer."""
    texts = []
    cut = sum(row.status == "truncated" for row in rows)
    if cut > _TRUNCATED_SHARE * len(rows):
        share = 100 * cut / len(rows)
        texts.append(f"{cut} of {len(rows)} answers were truncated ({share:.1f} %)")
    if empty := sum(row.status == "empty" for row in rows):
        texts.append(f"{empty} of {len(rows)} answers are empty and count as wrong")
    if unended := sum(row.reason == "no_answer" for row in rows):
        texts.append(f"{unended} of {len(rows)} answers ended inside a thought and count as wrong")
    if tagged := sum(any(tag in (row.output or "") for tag in _THINKING_TAGS) for row in rows):
        texts.append(f"{tagged} outputs contain thinking tags")
    return texts
