"""Widening the selection of a run: the union of what it has and what is now asked for.

Limits are nested and probe ids do not depend on the selection, so the rows of a run stay valid.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qwen_bench.probes.probe import LANGS
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Own, Suite, build_suite
from qwen_bench.record.outcome import MODES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.record.manifest import SuiteInfo
    from qwen_bench.record.outcome import Mode


def selection_of(info: SuiteInfo) -> Selection:
    """The selection a manifest records."""
    return Selection(
        lengths=info.lengths,
        families=info.families,
        conditions=info.conditions,
        langs=tuple(lang for lang in LANGS if lang in info.langs),
        limit=info.limit,
    )


def own_of(info: SuiteInfo) -> Own:
    """The user's own families and filler that a manifest records."""
    return Own(info.tasks_dirs, info.filler)


def suite_of(info: SuiteInfo) -> Suite:
    """The suite of a run, rebuilt from its manifest by the installed definitions.

    Its `sha256` differs from the manifest's when the definitions have changed since.

    Raises:
        InputError: the suite or a family no longer exists.
    """
    return build_suite(info.name, selection_of(info), info.seed, own_of(info))


def widened(asked: Suite, info: SuiteInfo) -> Suite:
    """The suite that covers both what was asked for and what a run already has."""
    selection = Selection(
        lengths=tuple(sorted({*asked.lengths, *info.lengths})),
        families=_union(info.families, asked.families),
        conditions=_union(info.conditions, asked.conditions),
        langs=tuple(lang for lang in LANGS if lang in info.langs or lang in asked.langs),
    )
    whole = build_suite(asked.name, selection, asked.seed, asked.own)
    rotations = [n for by_length in whole.rotations.values() for n in by_length.values()]
    limit = _covering_limit(asked.limit, info.limit, rotations)
    if limit is None:
        return whole
    return build_suite(asked.name, replace(selection, limit=limit), asked.seed, asked.own)


def joined_modes(first: Sequence[Mode], second: Sequence[Mode]) -> tuple[Mode, ...]:
    """Scorers of both, generate before rank."""
    return tuple(mode for mode in MODES if mode in first or mode in second)


def _union(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """Members of both, in order of appearance."""
    return tuple(dict.fromkeys([*first, *second]))


def _covering_limit(
    first: int | None, second: int | None, own_rotations: Sequence[int]
) -> int | None:
    """The smallest limit whose probes include those of both; None is the suite's own number.

    The suite's own number may differ by history length. A limit between its smallest and largest
    is covered by the largest.
    """
    limits = [limit for limit in (first, second) if limit is not None]
    if not limits:
        return None
    if len(limits) == 2:
        return max(limits)
    return None if limits[0] <= min(own_rotations) else max(limits[0], *own_rotations)
