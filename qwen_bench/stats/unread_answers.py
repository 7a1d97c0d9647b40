"""No figures from a run in which too many answers could not be read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from qwen_bench.errors import RunError
from qwen_bench.record.unread import MENDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_bench.record.outcome import Outcome

_LONGEST_EXAMPLE = 200


def refuse_unread(label: str, rows: Sequence[Outcome], limit: float, again: str) -> None:
    """Refuse a run in which a server sent too many answers as something else than text.

    Args:
        label: of the model.
        rows: final rows of one run.
        limit: largest accepted share.
        again: the run as `--resume` takes it.

    Raises:
        RunError: there are more; it names what was sent and what mends it.
    """
    unread = [row for row in rows if row.unread]
    if len(unread) <= limit * len(rows):
        return
    first = {str(row.error_type): str(row.error_message) for row in reversed(unread)}
    counts = Counter(str(row.error_type) for row in unread)
    raise RunError(
        f"{label}: {len(unread)} of {len(rows)} answers could not be read "
        f"({100 * len(unread) / len(rows):.1f} %, limit {100 * limit:g} %)",
        why=[
            f"{count} x {kind}, the first: {first[kind][:_LONGEST_EXAMPLE]}"
            for kind, count in sorted(counts.items())
        ],
        fix=(
            *(MENDS[kind] for kind in sorted(counts) if kind in MENDS),
            f"then qwen-bench run --resume {again} --retry-errors",
            "or, where the model thinks otherwise than before, without --resume, as a new run",
            "or accept them: --max-unread-rate PCT; they count as wrong",
        ),
    )
