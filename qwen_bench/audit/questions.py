"""The questions of a dialogue, each with the longest history it is asked after.

Histories nest, so what holds for the longest holds for all shorter ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qwen_bench.chat.messages import Message
from qwen_bench.probes.probe import Dialogue, Probe, Turn

# Candidates that are words of the answer format, free to occur anywhere.
LABELS = frozenset({"yes", "no", "是", "否", "user", "assistant", "用户", "助手"})


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question with its history.

    Attributes:
        group: family whose evidence it asks about.
        messages: (turn, message) of the history; turn 0 is the system message.
        own_turns: turns that hold evidence of the group.
        turns: all turns of the dialogue.
        system: text of the system message.
    """

    probe: Probe
    group: str
    messages: tuple[tuple[int, Message], ...]
    own_turns: frozenset[int]
    turns: tuple[Turn, ...]
    system: str | None

    @property
    def others(self) -> list[tuple[int, Message]]:
        """Messages outside the evidence of the group."""
        return [(turn, message) for turn, message in self.messages if turn not in self.own_turns]

    def evidence(self, turn: int) -> str:
        """Both texts of a turn, or the system message."""
        if turn == 0:
            return self.system or ""
        found = self.turns[turn - 1]
        return f"{found.user}\n{found.assistant}"


def group_of(probe: Probe) -> str:
    """Family whose evidence a probe asks about."""
    return probe.twin_group.split("/")[2]


def questions_of(rendering: Sequence[Dialogue]) -> Iterator[AskedQuestion]:
    """Every question of the dialogues in the main condition, once a dialogue."""
    for dialogue in rendering:
        longest: dict[tuple[str, str], Probe] = {}
        for asked in dialogue.probes:
            probe = asked.probe
            if probe.condition == "main":
                key = (probe.family, probe.question)
                if key not in longest or longest[key].length < probe.length:
                    longest[key] = probe
        for probe in longest.values():
            yield _asked(dialogue, probe)


def _asked(dialogue: Dialogue, probe: Probe) -> AskedQuestion:
    group = group_of(probe)
    shown = dialogue.turns[: probe.length]
    messages = [(n, m) for n, turn in enumerate(shown, start=1) for m in turn.messages]
    own = {number for number, turn in enumerate(shown, start=1) if turn.group == group}
    if dialogue.system is not None:
        messages.insert(0, (0, Message("system", dialogue.system)))
        if not own:
            own = {0}
    return AskedQuestion(
        probe, group, tuple(messages), frozenset(own), dialogue.turns, dialogue.system
    )


def label_free(probe: Probe) -> tuple[str, ...]:
    """Candidates that are no labels."""
    return tuple(candidate for candidate in probe.candidates if candidate not in LABELS)
