"""Under a history policy: what the client cut, apart from what the model forgot.

Probes are weighted as in the headline, every family the same, so that accuracy is the sum of its
part with the evidence in sight and its part without.
"""

from __future__ import annotations

from collections import Counter
from math import fsum
from typing import TYPE_CHECKING

from qwen_bench.stats.results import PolicySplit, Visibility

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.record.outcome import Outcome


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
