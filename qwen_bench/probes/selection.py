"""What a user narrows or widens, checked against what there is."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from qwen_bench.errors import InputError, near
from qwen_bench.probes.probe import LANGS, Lang
from qwen_bench.probes.programmes import MAX_TURNS


@dataclass(frozen=True, slots=True)
class Selection:
    """What a user narrows or widens; None or empty means as the suite has it.

    Attributes:
        lengths: history lengths in user turns, 1 to 64.
        families, conditions: glob patterns.
        limit: rotations, more or fewer than the suite has; limits are nested.
    """

    lengths: tuple[int, ...] | None = None
    families: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    langs: tuple[Lang, ...] | None = None
    limit: int | None = None


def chosen_lengths(wanted: tuple[int, ...] | None, own: tuple[int, ...]) -> tuple[int, ...]:
    """History lengths, increasing; the suite's own without a wish.

    Raises:
        InputError: out of range or twice.
    """
    if not wanted:
        return own
    for i, length in enumerate(wanted):
        if length < 1:
            raise InputError(f"history length {length} is below 1")
        if length > MAX_TURNS:
            raise InputError(f"history length {length} is above {MAX_TURNS}")
        if length in wanted[:i]:
            raise InputError(f"history length {length} is repeated")
    return tuple(sorted(wanted))


def chosen_langs(wanted: tuple[Lang, ...] | None, own: tuple[Lang, ...]) -> tuple[Lang, ...]:
    """Languages in a fixed order.

    Raises:
        InputError: there is no such language.
    """
    if not wanted:
        return own
    for lang in wanted:
        if lang not in LANGS:
            raise InputError(f"no such language '{lang}'; there are {', '.join(LANGS)}")
    return tuple(lang for lang in LANGS if lang in wanted)


def chosen(what: str, globs: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """Known names that match a pattern; all without patterns.

    Raises:
        InputError: a pattern matches nothing.
    """
    if not globs:
        return known
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in known):
            raise InputError(f"no {what} matches '{glob}'; {near(glob, known)}")
    return tuple(name for name in known if any(fnmatchcase(name, glob) for glob in globs))
