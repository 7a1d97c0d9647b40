"""The conditions: which part of a history a question is asked after, and in which form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from qwen_bench.chat.messages import Conversation, Message
from qwen_bench.probes.bank import Pace
from qwen_bench.probes.probe import CONDITIONS, Condition, Lang, Turn
from qwen_bench.probes.programmes import PlacedInstance

# Fixed by the specification of probes, section 2.5.
_OPENING = {"en": "Here is our conversation so far:", "zh": "以下是我们之前的对话："}
# Conditions without a history length of their own.
UNPLACED: frozenset[Condition] = frozenset({"adjacent", "blind"})
# Conditions that tell the dialogue of main at another pace.
PACE_OF: Mapping[Condition, Pace] = {"brief": "brief", "long": "long"}
_SPEAKERS = {"en": ("User: ", "Assistant: "), "zh": ("用户：", "助手：")}


class ShownHistory(NamedTuple):
    """Where a question is asked.

    Attributes:
        length: history length T that the probe is counted under.
        shown: turns of the history before the question, in their order.
        needs: of the turns a reader must have seen, their places among `shown`, from 1; 0 is the
            system message. Empty where the evidence is left out.
        messages: everything before the question; for concat the text that it is appended to.
    """

    condition: Condition
    length: int
    shown: int
    needs: tuple[int, ...]
    messages: Conversation


class History(NamedTuple):
    """The turns of a dialogue and its system message, if it has one of its own.

    Attributes:
        turns: at the pace of the suite.
        paced: the same turns at every pace that is asked for, as many as are asked for.
    """

    lang: Lang
    system: str | None
    turns: tuple[Turn, ...]
    paced: Mapping[Pace, tuple[Turn, ...]] = MappingProxyType({})

    def at(self, pace: Pace) -> History:
        """The dialogue told at another pace."""
        return self._replace(turns=self.paced[pace])

    def opening(self) -> Conversation:
        """The system message, or nothing."""
        return () if self.system is None else (Message("system", self.system),)

    def messages(self, numbers: Sequence[int]) -> Conversation:
        """The system message and the turns of these numbers."""
        chosen = (m for number in numbers for m in self.turns[number - 1].messages)
        return (*self.opening(), *chosen)


def prompts(
    history: History,
    item: PlacedInstance,
    needs: tuple[int, ...],
    asked: Mapping[Condition, tuple[int, ...]],
) -> Iterator[ShownHistory]:
    """Every place where one question is asked.

    Args:
        history: of the dialogue.
        item: the instance in question.
        needs: turns of the history that a reader must have seen.
        asked: history lengths by condition; adjacent and blind ignore theirs.
    """
    for condition in (condition for condition in CONDITIONS if condition in asked):
        if condition == "adjacent":
            own = [turn for turn in item.turns if turn > 0]
            places = tuple(own.index(turn) + 1 if turn else 0 for turn in needs)
            yield ShownHistory(condition, len(own), len(own), places, history.messages(own))
        elif condition == "blind":
            yield ShownHistory(condition, 0, 0, (), ())
        else:
            for length in asked[condition]:
                if item.asked_at(length):
                    yield _after(condition, history, needs, length)


def ask(prompt: ShownHistory, question: str) -> Conversation:
    """The messages that ask a question, the last one from the user."""
    if prompt.condition == "concat":
        return (Message("user", f"{prompt.messages[0].content}\n\n{question}"),)
    return (*prompt.messages, Message("user", question))


def _after(
    condition: Condition, history: History, needs: tuple[int, ...], length: int
) -> ShownHistory:
    """A question after the first T turns, in the form of the condition."""
    if condition in PACE_OF:
        history = history.at(PACE_OF[condition])
    if condition == "concat":
        return ShownHistory(condition, length, length, needs, (_flattened(history, length),))
    shown = list(range(1, length + 1))
    if condition == "no-filler":
        shown = [number for number in shown if history.turns[number - 1].group is not None]
        needs = tuple(shown.index(turn) + 1 for turn in needs)
    return ShownHistory(condition, length, len(shown), needs, history.messages(shown))


def _flattened(history: History, length: int) -> Message:
    """The first turns as one text with speaker labels."""
    user, assistant = _SPEAKERS[history.lang]
    lines = [_OPENING[history.lang], ""]
    for turn in history.turns[:length]:
        lines += [user + turn.user, assistant + turn.assistant]
    return Message("user", "\n".join(lines))
