"""The outcome of one probe in one mode: a row of a run, and what statistics read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["generate", "rank"]
MODES: tuple[Mode, ...] = ("generate", "rank")
Status = Literal["ok", "truncated", "refused", "too_long", "error"]
STATUSES: tuple[Status, ...] = ("ok", "truncated", "refused", "too_long", "error")
SCORER_VERSION = "1.0"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answered, failed or over-long probe; fields as in `results.jsonl` (docs/runs.md).

    Attributes:
        probe_id: with `mode` the key; two runs are joined on it.
        length: history length T in user turns.
        distance: user turns between evidence and question; None for blind.
        position: 0 oldest to 1 newest; None for blind.
        cluster: skeleton; outcomes of one cluster are not independent.
        policy: history policy of the run.
        twin_group: probes that differ only in the fact under test.
        evidence_visible: False when the policy cut a turn the answer needs, and for blind.
        logprobs: rank only: (sum, end, tokens) of each rank candidate in the probe's order.
        status: `truncated` answers are scored by their text; `too_long` and `error` have no score.
        output: the answer text; rank: the best candidate.
        score: 1, 0, or None exactly when there is no output.
        reason: the scorer's word; for too_long and error the engine's.
        matched: span (start, end) of the match in `output`.
    """

    probe_id: str
    mode: Mode
    family: str
    lang: str
    length: int
    distance: int | None
    position: float | None
    condition: str
    policy: str
    cluster: str
    twin_group: str
    variant: str
    evidence_visible: bool
    status: Status
    output: str | None
    score: int | None
    reason: str | None
    matched: tuple[int, int] | None = None
    logprobs: tuple[tuple[float, float | None, int], ...] | None = None
    margin: float | None = None
    thought_tokens: int | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    messages_sha256: str = ""
    prompt_sha256: str | None = None
    finish_reason: str | None = None
    seconds: float = 0.0
    attempt: int = 1
    error_type: str | None = None
    error_message: str | None = None

    @property
    def value(self) -> int:
        """1 if right, else 0: a missing score counts as 0, failures stay in the denominator."""
        return 1 if self.score == 1 else 0
