"""The outcome of one probe in one mode, and a run of them: what statistics and reports read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from qwen_bench.record.manifest import Manifest

Mode = Literal["generate", "rank"]
MODES: tuple[Mode, ...] = ("generate", "rank")
Status = Literal["ok", "truncated", "refused", "empty", "too_long", "error"]
STATUSES: tuple[Status, ...] = ("ok", "truncated", "refused", "empty", "too_long", "error")
Key = tuple[str, Mode]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answered, failed or over-long probe; fields as in `results.jsonl` (docs/runs.md).

    Attributes:
        probe_id: with `mode` the key; two runs are joined on it.
        length: history length T in user turns.
        distance: user turns between evidence and question; None for blind.
        position: 0 oldest to 1 newest; None for blind.
        cluster: outcomes of one cluster are not independent.
        policy: history policy of the run.
        twin_group: probes that differ only in the fact under test.
        evidence_visible: False when the policy cut a turn the answer needs, and for blind.
        logprobs: rank only: (sum, end, tokens) of each rank candidate in the probe's order.
        status: `truncated` answers are scored by their text; `refused` and `empty` ones, which
            ended without a text, are wrong; `too_long` and `error` have no score.
        output: the answer text; rank: the best candidate.
        score: 1, 0, or None exactly when there is no output.
        reason: the scorer's word; for too_long and error the engine's.
        matched: span (start, end) of the match in `output`.
        form, content: rules only: 1 or 0 for a reply of the right form, and for one that says the
            right thing; the score is 1 where both are. None where there is no score, in rows of
            other kinds, and in those of scorers before 2.0.
        error_type, error_message: of an error; of an empty answer what a server sent in place of
            a text (`record.unread`), None where the model itself said nothing.
        level: memory load of the question, 1 to 5; None where its suite has no levels.
        wording: how the question names what it asks for, `lexical` or `paraphrase`; empty where
            its family has one wording.
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
    form: int | None = None
    content: int | None = None
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
    level: int | None = None
    wording: str = ""

    @property
    def value(self) -> int:
        """1 if right, else 0: a missing score counts as 0, failures stay in the denominator."""
        return 1 if self.score == 1 else 0

    @property
    def unread(self) -> bool:
        """Whether there may be an answer that was not read: a server sent it as no text."""
        return self.status == "empty" and self.error_type is not None

    @property
    def retriable(self) -> bool:
        """Whether it says nothing of the model, so that it may be asked again."""
        return self.status == "error" or self.unread


@dataclass(frozen=True, slots=True)
class Run:
    """One model's answers to a suite.

    Attributes:
        label: name in tables and charts.
        manifest: what was run, on what, by what.
        outcomes: rows of `results.jsonl`; superseded ones may be among them.
    """

    label: str
    manifest: Manifest
    outcomes: Sequence[Outcome]

    @property
    def run_id(self) -> str:
        """Name of the run folder."""
        return self.manifest.run_id


def key_of(outcome: Outcome) -> Key:
    """Probe id and mode: the key of a row, on which two runs are joined."""
    return outcome.probe_id, outcome.mode


def final_outcomes(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """One row for each probe and mode, sorted by that key.

    The last row with an answer counts; without one, the last error or unread answer.

    Args:
        outcomes: rows in the order they were written.
    """
    final: dict[Key, Outcome] = {}
    for row in outcomes:
        key = key_of(row)
        if not row.retriable or key not in final or final[key].retriable:
            final[key] = row
    return tuple(final[key] for key in sorted(final))
