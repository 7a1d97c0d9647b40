"""Two runs joined probe by probe, with every row accounted for.

Refuses what cannot be compared; computes no statistic.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from qwen_bench.errors import NotComparableError, RunError
from qwen_bench.record.outcome import Run, final_outcomes, key_of
from qwen_bench.record.unread import UNREAD_LIMIT
from qwen_bench.stats.comparability import compared_settings, differing_settings, fixes, refused
from qwen_bench.stats.results import Accounting, Sameness, SettingDifference
from qwen_bench.stats.sameness import sameness
from qwen_bench.stats.sanity import pairing_warnings
from qwen_bench.stats.unread_answers import refuse_unread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qwen_bench.record.outcome import Outcome


class Pair(NamedTuple):
    """The outcomes of two runs for one probe in one mode."""

    base: Outcome
    candidate: Outcome


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two comparable runs.

    Attributes:
        pairs: sorted by probe id and mode.
        only_base, only_candidate: rows without a partner, sorted alike.
        partial: one of the runs is not finished.
        sameness: how far the runs are the same.
    """

    base: Run
    candidate: Run
    pairs: tuple[Pair, ...]
    only_base: tuple[Outcome, ...]
    only_candidate: tuple[Outcome, ...]
    settings: tuple[SettingDifference, ...]
    accounting: Accounting
    warnings: tuple[str, ...]
    partial: bool
    sameness: Sameness


def pair(
    base: Run,
    candidate: Run,
    *,
    allow_mismatch: Sequence[str] = (),
    allow_partial: bool = False,
    max_error_rate: float = 0.0,
    max_unread_rate: float = UNREAD_LIMIT,
) -> Pairing:
    """Join two runs by probe id and mode.

    Args:
        base: the run to measure against.
        candidate: the run in question.
        allow_mismatch: fields whose difference is accepted; it is still shown.
        allow_partial: accept runs that are not finished.
        max_error_rate: largest accepted share of rows with status `error` in either run.
        max_unread_rate: the same of answers that a server sent as no text.

    Raises:
        InputError: `allow_mismatch` names no field that is compared.
        NotComparableError: settings, status or conversations differ, or no probe is common.
        RunError: one of the two rates of a run is above its limit.
    """
    settings = differing_settings(base.manifest, candidate.manifest)
    known = compared_settings(base.manifest, candidate.manifest)
    blocking = refused(settings, allow_mismatch, known)
    if blocking:
        raise NotComparableError(
            "these runs cannot be compared",
            [(item.field, item.base, item.candidate) for item in blocking],
            fix=fixes(blocking, candidate.manifest),
        )
    partial = check_usable((base, candidate), allow_partial=allow_partial)
    left = {key_of(row): row for row in final_outcomes(base.outcomes)}
    right = {key_of(row): row for row in final_outcomes(candidate.outcomes)}
    common = sorted(left.keys() & right.keys())
    if not common:
        raise NotComparableError(
            "these runs have no probe in common",
            why=f"{_described(base, left.values())}; {_described(candidate, right.values())}",
            fix="run both with the same suite, lengths, languages, conditions and mode",
        )
    pairs = tuple(Pair(left[key], right[key]) for key in common)
    _check_conversations(pairs)
    for view, rows in ((base, left), (candidate, right)):
        _check_errors(view, tuple(rows.values()), max_error_rate)
        refuse_unread(view.label, tuple(rows.values()), max_unread_rate, view.run_id)
    only_base = tuple(left[key] for key in sorted(left.keys() - right.keys()))
    only_candidate = tuple(right[key] for key in sorted(right.keys() - left.keys()))
    accounting = _account(pairs, len(only_base), len(only_candidate))
    same = sameness(pairs, base, candidate)
    texts = pairing_warnings(pairs, base, candidate, settings, same)
    return Pairing(
        base=base,
        candidate=candidate,
        pairs=pairs,
        only_base=only_base,
        only_candidate=only_candidate,
        settings=settings,
        accounting=accounting,
        warnings=(*texts, *_unpaired(base, candidate, accounting, partial=partial)),
        partial=partial,
        sameness=same,
    )


def check_usable(views: Sequence[Run], *, allow_partial: bool) -> bool:
    """Whether a run is unfinished; refuses that unless allowed, and runs without any answer.

    Raises:
        NotComparableError: a run is empty, or not finished.
    """
    for view in views:
        if not view.outcomes:
            raise NotComparableError(
                f"{view.run_id} holds no answer, so there is nothing to compare",
                why=f"it is {view.manifest.status}, with an empty results.jsonl",
                fix=f"qwen-bench run --resume {view.run_id}",
            )
    open_runs = [view for view in views if view.manifest.status != "finished"]
    if open_runs and not allow_partial:
        running = any(view.manifest.status == "running" for view in open_runs)
        raise NotComparableError(
            "a run that is not finished cannot be compared",
            why=[
                *(f"{view.run_id}: {_progress(view)}" for view in open_runs),
                "the missing probes are not a random part: long histories come last or fail first",
            ],
            fix=[
                *(["wait for it, or if its process is gone:"] if running else []),
                *(f"qwen-bench run --resume {view.run_id}" for view in open_runs),
                "or compare the common part: --allow-partial",
            ],
        )
    return bool(open_runs)


def _progress(view: Run) -> str:
    """Status of a run and how many of its answers there are."""
    rows = len(final_outcomes(view.outcomes))
    return f"{view.manifest.status}, {rows} of {view.manifest.expected.rows} answers"


def _described(view: Run, rows: Iterable[Outcome]) -> str:
    """What a run asked, in a few words."""
    found = list(rows)
    lengths = ", ".join(str(length) for length in sorted({row.length for row in found}))
    return f"{view.label} has {len(found)} rows, lengths {lengths or 'none'}"


def _check_conversations(pairs: Sequence[Pair]) -> None:
    """Both models must have been asked the same messages in every pair."""
    other = [item for item in pairs if item.base.messages_sha256 != item.candidate.messages_sha256]
    if not other:
        return
    shown = [f"{item.base.probe_id} ({item.base.mode})" for item in other[:3]]
    rest = [f"and {len(other) - 3} more"] if len(other) > 3 else []
    raise NotComparableError(
        "the two models were not asked the same conversations",
        why=[f"messages_sha256 differs in {len(other)} of {len(pairs)} pairs", *shown, *rest],
        fix="run both with the same version of qwen-bench; no flag overrides this",
    )


def _check_errors(view: Run, rows: Sequence[Outcome], limit: float) -> None:
    """No verdict when the machinery failed more often than allowed."""
    errors = Counter(
        row.error_type or row.reason or "error" for row in rows if row.status == "error"
    )
    total = errors.total()
    if total <= limit * len(rows):
        return
    raise RunError(
        f"{view.label}: {total} of {len(rows)} probes failed "
        f"({100 * total / len(rows):.1f} %, limit {100 * limit:g} %), so there is no verdict",
        why=[f"{count} x {name}" for name, count in sorted(errors.items())],
        fix=f"qwen-bench run --resume {view.run_id} --retry-errors",
    )


def _account(pairs: Sequence[Pair], only_base: int, only_candidate: int) -> Accounting:
    """Where every row went; `paired`, `only_base` and `only_candidate` add up to the union."""

    def count(status: str, *sides: int) -> int:
        return sum(any(item[side].status == status for side in sides) for item in pairs)

    return Accounting(
        paired=len(pairs),
        only_base=only_base,
        only_candidate=only_candidate,
        error=count("error", 0, 1),
        too_long=count("too_long", 0, 1),
        truncated_base=count("truncated", 0),
        truncated_candidate=count("truncated", 1),
        refused_base=count("refused", 0),
        refused_candidate=count("refused", 1),
        empty_base=count("empty", 0),
        empty_candidate=count("empty", 1),
    )


def _unpaired(base: Run, candidate: Run, accounting: Accounting, *, partial: bool) -> list[str]:
    """What the reader must know of rows without a partner."""
    alone = [
        f"{count} only in {view.label}"
        for view, count in ((base, accounting.only_base), (candidate, accounting.only_candidate))
        if count
    ]
    if not alone and not partial:
        return []
    kind = "a run is not finished: " if partial else ""
    return [f"{kind}{accounting.paired} rows are paired" + "".join(f", {text}" for text in alone)]
