"""Narrows recorded runs to some lengths, families, conditions or languages before a comparison."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qwen_bench.errors import InputError
from qwen_bench.probes.probe import LANGS
from qwen_bench.probes.selection import chosen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.cli.options import Options
    from qwen_bench.record.manifest import SuiteInfo
    from qwen_bench.record.outcome import Outcome, Run

# Their length counts evidence turns, so a choice of history lengths does not concern them.
_WITHOUT_LENGTH = {"adjacent", "blind"}


def narrowed(views: Sequence[Run], options: Options) -> list[Run]:
    """The runs with the rows that the selecting flags name; the runs themselves without flags.

    The selection in a view's manifest is narrowed alike, so that gates know what is left.

    Raises:
        InputError: a flag names what none of the runs has.
    """
    if not narrowing_words(options):
        return list(views)
    suites = [view.manifest.suite for view in views]
    kept: dict[str, set[Any]] = {
        "families": _globbed("family", options.family, _all(suites, "families")),
        "conditions": _globbed("condition", options.condition, _all(suites, "conditions")),
        "lengths": _lengths(options.lengths, _all(suites, "lengths")),
        "langs": _langs(options.lang, _all(suites, "langs")),
    }
    return [_narrowed(view, kept) for view in views]


def narrowing_words(options: Options) -> str:
    """What the selecting flags leave, for people; empty without any."""
    parts = [
        ("families", ", ".join(options.family)),
        ("conditions", ", ".join(options.condition)),
        ("lengths", ", ".join(map(str, options.lengths or ()))),
        ("languages", ", ".join(options.lang or ())),
    ]
    told = "; ".join(f"{name} {values}" for name, values in parts if values)
    return f"narrowed to {told}; the runs hold more" if told else ""


def _all(suites: Sequence[SuiteInfo], key: str) -> tuple[Any, ...]:
    """What any of the runs has, in order of appearance."""
    return tuple(dict.fromkeys(value for suite in suites for value in getattr(suite, key)))


def _globbed(what: str, globs: tuple[str, ...], known: tuple[str, ...]) -> set[str]:
    return set(chosen(what, globs, known))


def _lengths(wanted: tuple[int, ...] | None, known: tuple[int, ...]) -> set[int]:
    for length in wanted or ():
        if length not in known:
            raise InputError(
                f"no probes at length {length}; lengths are {', '.join(map(str, sorted(known)))}"
            )
    return set(wanted or known)


def _langs(wanted: tuple[str, ...] | None, known: tuple[str, ...]) -> set[str]:
    for lang in wanted or ():
        if lang not in LANGS:
            raise InputError(f"no such language '{lang}'; there are {', '.join(LANGS)}")
        if lang not in known:
            raise InputError(f"no probes in '{lang}'; the runs have {', '.join(known)}")
    return set(wanted or known)


def _narrowed(view: Run, kept: dict[str, set[Any]]) -> Run:
    """One run narrowed, rows and manifest."""

    def stays(outcome: Outcome) -> bool:
        return (
            outcome.family in kept["families"]
            and outcome.condition in kept["conditions"]
            and outcome.lang in kept["langs"]
            and (outcome.condition in _WITHOUT_LENGTH or outcome.length in kept["lengths"])
        )

    suite = view.manifest.suite
    left = {
        key: tuple(value for value in getattr(suite, key) if value in values)
        for key, values in kept.items()
    }
    return replace(
        view,
        manifest=view.manifest.model_copy(update={"suite": suite.model_copy(update=left)}),
        outcomes=tuple(outcome for outcome in view.outcomes if stays(outcome)),
    )
