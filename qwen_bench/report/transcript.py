"""A probe's conversation prepared for reading: planted turns and question marked, filler folded.

Pure; works on messages and the probe's own record of which turns a reader must have seen. Knows
nothing of models or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qwen_bench.chat.messages import Conversation, Message
from qwen_bench.probes.probe import AskedProbe, Probe
from qwen_bench.report.text import Segment, segments


@dataclass(frozen=True, slots=True)
class Line:
    """One message: its role and its text in segments."""

    role: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """One turn of the history, numbered from 1; `planted` when the probe needs it."""

    number: int
    lines: tuple[Line, ...]
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

    system: tuple[Segment, ...]
    stretches: tuple[Stretch, ...]
    length: int
    question: tuple[Segment, ...]
    characters: int


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
                Line(
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
        stretches=tuple(_stretches(shown)),
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


def _stretches(turns: Sequence[ShownTurn]) -> Iterable[Stretch]:
    start = 0
    for end in range(1, len(turns) + 1):
        if end == len(turns) or turns[end].planted != turns[start].planted:
            yield Stretch(tuple(turns[start:end]), turns[start].planted)
            start = end


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
