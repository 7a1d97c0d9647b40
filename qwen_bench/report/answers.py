"""The answers worth reading: those that changed between runs, or for one run those that are wrong.

Pairs outcomes with the questions and conversations they belong to, planted turns and question
marked, filler folded. Decides what is shown in full and what as a row only, so that a page with
thousands of changes can still be opened; every change is in the page in one of the two forms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from qwen_bench.chat.messages import Conversation, Message, conversation_sha256
from qwen_bench.report.untrusted_text import (
    FOLD_ABOVE_CHARACTERS,
    TextSpan,
    plain,
    private,
    segments,
    slug,
)

if TYPE_CHECKING:
    from qwen_bench.probes.probe import AskedProbe, Probe
    from qwen_bench.probes.suites import Suite
    from qwen_bench.record.manifest import SuiteInfo
    from qwen_bench.record.outcome import Outcome

CONVERSATION_BUDGET = 1_000_000
"""Characters of conversation in a page; 1.5 to 2 MB once it is HTML."""

LONGEST_ANSWER = 20_000
"""Characters of one answer; what is cut is said beside it."""

_BARE_ENTRY = 300  # what an entry without a conversation takes of the budget

OUTCOME_WORDS = {
    (1, 1): "right in both",
    (1, 0): "lost",
    (0, 1): "gained",
    (0, 0): "wrong in both",
}

REASON_WORDS = {
    "correct": "right",
    "wrong_candidate": "names another value",
    "multiple": "names several values",
    "negated": "negates the right value",
    "abstained": "says it was never mentioned",
    "no_candidate": "names none of the values",
    "no_answer": "no answer after thinking",
    "empty": "empty answer",
    "set_mismatch": "another set of items",
    "not_followed": "the rule is not followed",
    "followed": "the rule is followed where it does not apply",
    "wrong_mark": "the form of another rule, or of one that holds no longer",
    "wrong_content": "the right form, but not the right answer",
    "truncated": "cut off before its end",
    "tie": "two candidates rank equal",
}


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """One message: its role and its text in segments."""

    role: str
    segments: tuple[TextSpan, ...]


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """One turn of the history, numbered from 1; `planted` when the probe needs it."""

    number: int
    lines: tuple[ShownMessage, ...]
    planted: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring turns that are either all planted or all filler."""

    turns: tuple[ShownTurn, ...]
    planted: bool


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation ready to show.

    Attributes:
        system: the system message, if the conversation has one.
        stretches: the history in order; every turn is in exactly one stretch.
        length: user turns before the question.
        question: the last user message.
        characters: of all text, for the size of the page.
    """

    system: tuple[TextSpan, ...]
    stretches: tuple[Stretch, ...]
    length: int
    question: tuple[TextSpan, ...]
    characters: int


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """What one model said to one probe.

    Attributes:
        side: 0 for the baseline, then the candidates in order.
        text: segments with the matched span marked; None when there is no output.
        note: status and scorer's reason in words.
        long: the text is folded in the page.
    """

    side: int
    right: bool
    text: tuple[TextSpan, ...] | None
    note: str
    long: bool


@dataclass(frozen=True, slots=True)
class ShownProbe:
    """One probe to read.

    Attributes:
        anchor: id of the element; made of digits and letters only.
        outcomes: a word per candidate (lost, gained, ...); of a single run the scorer's reason.
        expected: the gold answer; None when the suite is not at hand.
        transcript: None when the conversation is absent.
    """

    anchor: str
    probe_id: str
    family: str
    lang: str
    length: int
    distance: int | None
    outcomes: tuple[str, ...]
    answers: tuple[ShownAnswer, ...]
    question_text: str
    expected: str | None
    others: tuple[str, ...]
    transcript: Transcript | None


@dataclass(frozen=True, slots=True)
class AnswersToRead:
    """Entries in full, the remaining ones as rows, and why a conversation may be missing.

    Attributes:
        absent: one sentence when conversations cannot be shown at all; empty otherwise.
        mismatched: entries whose rebuilt conversation is not the one that was asked.
    """

    full: tuple[ShownProbe, ...]
    rows: tuple[ShownProbe, ...]
    absent: str
    mismatched: int

    @property
    def total(self) -> int:
        """Number of entries in either form."""
        return len(self.full) + len(self.rows)


def changed(
    sides: Sequence[Mapping[str, Outcome]],
    changes: Sequence[tuple[Sequence[str], Sequence[str]]],
    asked: Mapping[str, AskedProbe],
    absent: str,
) -> AnswersToRead:
    """Answers that changed from the baseline to any candidate, lost ones first, short first.

    Args:
        sides: outcomes of one mode by probe id; the baseline, then each candidate.
        changes: (lost ids, gained ids) of each candidate.
        asked: rebuilt probes by id; empty when the suite is not at hand.
        absent: why it is not; empty otherwise.
    """
    lost_by = [set(lost) for lost, _ in changes]
    gained_by = [set(gained) for _, gained in changes]
    ids = set().union(*lost_by, *gained_by)

    def order(probe_id: str) -> tuple[int, int, str, str]:
        losses = sum(probe_id in lost for lost in lost_by)
        outcome = sides[0][probe_id]
        return (-losses, outcome.length, outcome.family, probe_id)

    found = []
    for probe_id in sorted(ids, key=order):
        words = tuple(_change(sides[0][probe_id], side.get(probe_id)) for side in sides[1:])
        found.append((probe_id, words, [side.get(probe_id) for side in sides]))
    return _reading(found, asked, absent)


def wrong(
    outcomes: Mapping[str, Outcome], asked: Mapping[str, AskedProbe], absent: str
) -> AnswersToRead:
    """Answers of one run that score 0 or have no score, main condition, by reason then length."""

    def order(outcome: Outcome) -> tuple[str, int, str, str]:
        return (reason_words(outcome), outcome.length, outcome.family, outcome.probe_id)

    failures = sorted(
        (o for o in outcomes.values() if not o.value and o.condition == "main"), key=order
    )
    return _reading([(o.probe_id, (reason_words(o),), [o]) for o in failures], asked, absent)


def reason_words(outcome: Outcome) -> str:
    """Why an outcome counts as it does; an unanswered probe is never called wrong."""
    if outcome.status == "too_long":
        return "too long for the context window"
    if outcome.status == "error":
        return "error"
    if outcome.status == "refused":
        return "refused"
    return REASON_WORDS.get(outcome.reason or "", plain(outcome.reason or "no reason given"))


def rebuild(
    suite: Suite | None, asked_of: SuiteInfo, wanted: set[str]
) -> tuple[dict[str, AskedProbe], str]:
    """Rebuild the probes with these ids from the suite.

    Args:
        suite: as installed; None when it could not be built.
        asked_of: the suite that the baseline was asked.
        wanted: probe ids.

    Returns:
        Probes by id, and one sentence saying why there are none; empty when there are.
    """
    if suite is None:
        return {}, "The suite of these runs is not installed, so conversations are not shown."
    for field, here in (
        ("sha256", suite.sha256),
        ("seed", suite.seed),
        ("filler_sha256", suite.filler_sha256),
    ):
        if getattr(asked_of, field) not in {here, None}:
            name = f"{asked_of.name} {asked_of.version}"
            return {}, (
                f"The installed suite {suite.name} {suite.version} is not the {plain(name)} these "
                f"runs were asked ({field} differs), so conversations are not shown."
            )
    found: dict[str, AskedProbe] = {}
    if wanted:
        for dialogue in suite.dialogues():
            for asked in dialogue.probes:
                if asked.probe.id in wanted:
                    found[asked.probe.id] = asked
            if len(found) == len(wanted):
                break
    return found, ""


def _change(base: Outcome, candidate: Outcome | None) -> str:
    return "not asked" if candidate is None else OUTCOME_WORDS[base.value, candidate.value]


def _reading(
    found: Sequence[tuple[str, tuple[str, ...], Sequence[Outcome | None]]],
    asked: Mapping[str, AskedProbe],
    absent: str,
) -> AnswersToRead:
    full: list[ShownProbe] = []
    rows: list[ShownProbe] = []
    left = CONVERSATION_BUDGET
    mismatched = 0
    for number, (probe_id, words, outcomes) in enumerate(found, 1):
        first = next(outcome for outcome in outcomes if outcome is not None)
        probe = asked.get(probe_id)
        shown = None
        if probe is not None:
            if first.messages_sha256 not in {"", conversation_sha256(probe.messages)}:
                mismatched += 1
                probe = None
            else:
                shown = transcript(probe)
        answers = tuple(
            _answer(side, outcome) for side, outcome in enumerate(outcomes) if outcome is not None
        )
        left -= (shown.characters if shown else _BARE_ENTRY) + sum(
            min(len(outcome.output or ""), LONGEST_ANSWER) for outcome in outcomes if outcome
        )
        entry = _entry(
            number,
            first,
            words=words,
            answers=answers,
            asked=probe,
            shown=shown if left >= 0 else None,
        )
        (full if left >= 0 else rows).append(entry)
    return AnswersToRead(tuple(full), tuple(rows), absent, mismatched)


def _entry(
    number: int,
    outcome: Outcome,
    *,
    words: tuple[str, ...],
    answers: tuple[ShownAnswer, ...],
    asked: AskedProbe | None,
    shown: Transcript | None,
) -> ShownProbe:
    probe = asked.probe if asked else None
    return ShownProbe(
        anchor=f"answer-{number}-{slug(outcome.family)[:30]}-t{outcome.length}",
        probe_id=plain(outcome.probe_id),
        family=plain(outcome.family),
        lang=plain(outcome.lang),
        length=outcome.length,
        distance=outcome.distance,
        outcomes=words,
        answers=answers,
        question_text=plain(probe.question_text) if probe else "",
        expected=plain(probe.expected) if probe else None,
        others=tuple(plain(item) for item in probe.candidates if item != probe.gold)
        if probe
        else (),
        transcript=shown,
    )


def _answer(side: int, outcome: Outcome) -> ShownAnswer:
    note = reason_words(outcome)
    if outcome.status == "truncated" and outcome.reason != "truncated":
        note = f"truncated; {note}"
    if not outcome.output and outcome.error_message:
        note = f"{note}: {private(outcome.error_message)}"
    if outcome.policy != "full" and outcome.condition != "blind" and not outcome.evidence_visible:
        note = f"{note}; the history policy had cut the evidence"
    text = outcome.output
    if text is not None and len(text) > LONGEST_ANSWER:
        note = f"{note}; cut here, {len(text):,} characters in all"
        text = text[:LONGEST_ANSWER]
    return ShownAnswer(
        side=side,
        right=outcome.value == 1,
        text=None
        if text is None
        else segments(text, (outcome.matched,) if outcome.matched else ()),
        note=note,
        long=text is not None and len(text) > FOLD_ABOVE_CHARACTERS,
    )


def transcript(asked: AskedProbe) -> Transcript:
    """Prepare the conversation of one probe.

    The gold answer is pointed out inside the planted turns only; elsewhere it would be noise.

    Args:
        asked: messages are an optional system message, whole turns, and the question.
    """
    system, turns, question = _split(asked.messages)
    forms = _forms(asked.probe)
    needed = set(asked.probe.needs)
    shown = [
        ShownTurn(
            number=number,
            lines=tuple(
                ShownMessage(
                    message.role,
                    segments(
                        message.content,
                        _mentions(message.content, forms) if number in needed else (),
                    ),
                )
                for message in turn
            ),
            planted=number in needed,
        )
        for number, turn in enumerate(turns, 1)
    ]
    return Transcript(
        system=segments(system.content) if system else (),
        stretches=tuple(
            Stretch(tuple(turns), planted)
            for planted, turns in groupby(shown, key=lambda turn: turn.planted)
        ),
        length=len(shown),
        question=segments(question.content),
        characters=sum(len(message.content) for message in asked.messages),
    )


def _split(messages: Conversation) -> tuple[Message | None, list[list[Message]], Message]:
    """System message, turns (each opening with a user message), question."""
    system = messages[0] if messages[0].role == "system" else None
    turns: list[list[Message]] = []
    for message in messages[1 if system else 0 : -1]:
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return system, turns, messages[-1]


def _forms(probe: Probe) -> tuple[str, ...]:
    """Surface forms of the gold answer; of a set, of each of its members."""
    if probe.gold_abstains or probe.answer_kind in {"yesno", "rule"}:
        return ()
    golds = probe.gold_items or (probe.gold,)
    return tuple(form for gold in golds for form in (gold, *probe.aliases.get(gold, ())) if form)


def _mentions(text: str, forms: Sequence[str]) -> list[tuple[int, int]]:
    """Where a form stands in the text; ASCII forms only as whole words."""
    return [
        match.span()
        for form in forms
        for match in re.finditer(
            rf"(?<![A-Za-z0-9]){re.escape(form)}(?![A-Za-z0-9])"
            if form.isascii()
            else re.escape(form),
            text,
            re.IGNORECASE,
        )
    ]
