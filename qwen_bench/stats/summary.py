"""Accuracy of one run, with intervals, in every slice that is shown.

Averages over several families are macro averages, like the endpoint: every family counts the same.
A missing score counts as wrong everywhere. Under a history policy what the client cut stands apart
from what the model forgot, in the same weights, so that accuracy is the sum of its part with the
evidence in sight and its part without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from math import fsum
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from qwen_bench.record.outcome import final_outcomes
from qwen_bench.stats.bootstrap import Resampler
from qwen_bench.stats.clusters import index_rows, make_rows
from qwen_bench.stats.intervals import accuracy_interval
from qwen_bench.stats.pace import pace_differences
from qwen_bench.stats.results import Accuracy, ModeSummary, PolicySplit, Visibility
from qwen_bench.stats.span import spans
from qwen_bench.stats.survival import rule_scores
from qwen_bench.stats.token_bins import token_bin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from qwen_bench.record.outcome import Outcome


Key = TypeVar("Key", int, str)


def summarise(outcomes: Iterable[Outcome], *, seed: int = 0) -> dict[str, ModeSummary]:
    """Summary of a run by scorer.

    A slice without rows has n = 0, accuracy 0 and no interval; slices by key hold no empty ones.

    Args:
        outcomes: rows of the run in any order, superseded ones may be among them.
        seed: of the bootstrap, 0 or more.
    """
    rows = final_outcomes(outcomes)
    resampler = Resampler(seed)
    return {
        mode: _summary([row for row in rows if row.mode == mode], resampler)
        for mode in sorted({row.mode for row in rows})
    }


def accuracy(rows: Sequence[Outcome], resampler: Resampler) -> Accuracy:
    """Macro-averaged accuracy of rows of one scorer with its interval and status counts."""
    tokens = [row.prompt_tokens for row in rows if row.prompt_tokens is not None]
    return _accuracy(
        [(row.cluster, row.family, row.value) for row in rows],
        Counter(str(row.status) for row in rows),
        resampler,
        tokens=float(median(tokens)) if tokens else None,
    )


def _accuracy(
    items: Sequence[tuple[str, str, int]],
    statuses: Counter[str],
    resampler: Resampler,
    *,
    tokens: float | None = None,
) -> Accuracy:
    """Accuracy of (cluster, family, value) items."""
    share, low, high, clusters = 0.0, None, None, 0
    values = np.array([value for _, _, value in items], dtype=np.int64)
    if items:
        index = index_rows([item[0] for item in items], [item[1] for item in items])
        table = index.table(values, np.ones(len(items), dtype=np.bool_))
        interval = accuracy_interval(table, resampler)
        share, low, high = table.macro, interval.low, interval.high
        clusters = table.clusters
    return Accuracy(
        n=len(items),
        clusters=clusters,
        correct=int(values.sum()),
        accuracy=share,
        low=low,
        high=high,
        truncated=statuses["truncated"],
        refused=statuses["refused"],
        too_long=statuses["too_long"],
        error=statuses["error"],
        empty=statuses["empty"],
        prompt_tokens_median=tokens,
    )


def _summary(rows: Sequence[Outcome], resampler: Resampler) -> ModeSummary:
    """All slices of one scorer."""
    main = [row for row in rows if row.condition == "main"]

    def sliced(chosen: Sequence[Outcome], key: Callable[[Outcome], Key]) -> dict[Key, Accuracy]:
        return {k: accuracy(part, resampler) for k, part in _grouped(chosen, key).items()}

    def control(condition: str) -> dict[str, Accuracy]:
        chosen = [row for row in rows if row.condition == condition]
        return sliced(chosen, lambda row: row.family)

    return ModeSummary(
        overall=accuracy(main, resampler),
        group_score=_group_score(main, resampler),
        by_length=sliced(main, lambda row: row.length),
        by_family=sliced(main, lambda row: row.family),
        by_family_length={
            family: sliced(part, lambda row: row.length)
            for family, part in _grouped(main, lambda row: row.family).items()
        },
        by_lang=sliced(main, lambda row: row.lang),
        by_level=sliced([row for row in main if row.level], lambda row: row.level or 0),
        by_condition=sliced(rows, lambda row: row.condition),
        blind_by_family=control("blind"),
        adjacent_by_family=control("adjacent"),
        reasons=dict(sorted(Counter(row.reason for row in main if row.reason).items())),
        policy=policy_split(main),
        spans=spans(make_rows(rows), resampler) if any(row.level for row in main) else {},
        rules=rule_scores(main),
        paces=pace_differences(rows, resampler),
        by_tokens=sliced(
            [row for row in main if row.prompt_tokens],
            lambda row: token_bin(row.prompt_tokens or 0),
        ),
    )


def _grouped(rows: Sequence[Outcome], key: Callable[[Outcome], Key]) -> dict[Key, list[Outcome]]:
    """Rows by key, keys sorted."""
    parts: dict[Key, list[Outcome]] = {}
    for row in rows:
        parts.setdefault(key(row), []).append(row)
    return {name: parts[name] for name in sorted(parts)}


def _group_score(rows: Sequence[Outcome], resampler: Resampler) -> Accuracy:
    """Share of twin groups with every member right.

    A group may span families (latest and previous), so groups are one pool. A status counts the
    groups with a member of that status.
    """
    groups: dict[tuple[str, str, int], list[Outcome]] = {}
    for row in rows:
        groups.setdefault((row.twin_group, row.lang, row.length), []).append(row)
    members = [groups[key] for key in sorted(groups)]
    return _accuracy(
        [(group[0].cluster, "groups", min(row.value for row in group)) for group in members],
        Counter(status for group in members for status in {str(row.status) for row in group}),
        resampler,
    )


def policy_split(rows: Sequence[Outcome]) -> PolicySplit | None:
    """Visible and invisible part of the accuracy; None without rows or without a policy.

    Args:
        rows: of one run, one scorer and the main condition.
    """
    policies = {row.policy for row in rows} - {"full"}
    if not policies:
        return None
    lengths = sorted({row.length for row in rows})
    return PolicySplit(
        policy=", ".join(sorted(policies)),
        overall=visibility(rows),
        by_length={
            length: visibility([row for row in rows if row.length == length]) for length in lengths
        },
    )


def visibility(rows: Sequence[Outcome]) -> Visibility:
    """The figures of one slice, of one row or more; a missing score counts as wrong."""
    families = Counter(row.family for row in rows)

    def share(chosen: Sequence[Outcome]) -> float:
        return fsum(1 / families[row.family] for row in chosen) / len(families)

    seen = [row for row in rows if row.evidence_visible]
    share_visible = share(seen)
    visible_part = share([row for row in seen if row.value])
    return Visibility(
        n=len(rows),
        visible=len(seen),
        accuracy=share([row for row in rows if row.value]),
        share_visible=share_visible,
        accuracy_given_visible=visible_part / share_visible if seen else None,
        visible_part=visible_part,
        invisible_part=share([row for row in rows if row.value and not row.evidence_visible]),
    )


def summary_as_dict(summary: Mapping[str, ModeSummary]) -> dict[str, Any]:
    """A run's summary by scorer; history lengths become text keys.

    What there is of levels, rules, paces and prompt tokens is left out where there are none.
    """
    found = {mode: _text_keys(asdict(summary[mode])) for mode in sorted(summary)}
    for cells in found.values():
        for name in ("by_level", "spans", "rules", "paces", "by_tokens"):
            if not cells[name]:
                del cells[name]
    return found


def _text_keys(value: Any) -> Any:  # noqa: ANN401 - a tree of JSON values
    """The same tree with text keys."""
    if isinstance(value, Mapping):
        return {str(key): _text_keys(item) for key, item in value.items()}
    return value
