"""Length and nesting: turns counted, roles alternating, histories prefixes of each other."""

from __future__ import annotations

from collections.abc import Sequence

from qwen_bench.audit.findings import Check
from qwen_bench.chat.messages import Message
from qwen_bench.probes.probe import AskedProbe, Dialogue
from qwen_bench.solvers.history_reading import history_of

_MARKERS = ("<|", "<think>", "</think>")
# Both variants of a prompt have about equal length, so that length gives no answer away. Leaving a
# fact out, and wording another scope, takes more; replies under a rule are longer by its mark.
TWINS = 0.05
TWINS_OF_KIND = {"abstain": 0.20, "rule": 0.20}


class Lengths(Check):
    """User turns are exactly T, roles alternate, and both variants are about equally long."""

    name = "length"

    def __init__(self) -> None:
        super().__init__()
        self._worst = 0.0

    def see(self, rendering: Sequence[Dialogue]) -> None:
        """Count turns and characters of every prompt."""
        sizes: dict[str, tuple[str, int]] = {}
        for dialogue in rendering:
            for asked in dialogue.probes:
                self._checked += 1
                self._roles(asked)
                if asked.probe.condition == "main":
                    plain = asked.probe.rule is None
                    texts = [m for m in asked.messages if plain or m.role == "user"]
                    size = sum(len(message.content) for message in texts)
                    self._twin(asked, size, sizes)

    def summary(self) -> str:
        """What was looked at."""
        return (
            f"{self._checked} prompts: T turns, alternating roles; variants differ by at most "
            f"{100 * self._worst:.1f} % in characters"
        )

    def _roles(self, asked: AskedProbe) -> None:
        probe = asked.probe
        history = [m for m in history_of(probe, asked.messages) if m.role != "system"]
        turns, odd = divmod(len(history), 2)
        alternate = all(m.role == ("user", "assistant")[i % 2] for i, m in enumerate(history))
        if odd or not alternate or asked.messages[-1].role != "user":
            self._findings.add(probe.id, "user and assistant do not take turns")
        if turns != probe.length and not (probe.condition == "no-filler" and turns < probe.length):
            self._findings.add(probe.id, f"{turns} turns where T = {probe.length}")
        for number, message in enumerate(asked.messages):
            self._text(probe.id, number // 2 + 1, message)

    def _text(self, where: str, turn: int, message: Message) -> None:
        if not message.content.strip():
            self._findings.add(where, "an empty message", turn)
        if "<" in message.content and any(marker in message.content for marker in _MARKERS):
            self._findings.add(where, "a chat marker inside a message", turn)

    def _twin(self, asked: AskedProbe, size: int, sizes: dict[str, tuple[str, int]]) -> None:
        probe = asked.probe
        key = f"{probe.family}.{probe.question}/{probe.length}"
        if key not in sizes:
            sizes[key] = (probe.variant, size)
            return
        other, theirs = sizes[key]
        difference = abs(size - theirs) / max(size, theirs)
        allowed = TWINS_OF_KIND.get(probe.answer_kind, TWINS)
        if other != probe.variant:
            self._worst = max(self._worst, difference)
            if difference > allowed:
                what = f"{size} characters, {theirs} in variant {other}"
                self._findings.add(probe.id, what)


class Nesting(Check):
    """The history of every T is the first T turns of its dialogue, byte for byte."""

    name = "nesting"

    def see(self, rendering: Sequence[Dialogue]) -> None:
        """Compare histories with the turns, and what is no evidence in both variants."""
        for dialogue in rendering:
            whole = [message for turn in dialogue.turns for message in turn.messages]
            for asked in dialogue.probes:
                if asked.probe.condition == "main":
                    self._checked += 1
                    self._prefix(asked, whole)
        self._variants(rendering)

    def summary(self) -> str:
        """What was looked at."""
        return f"{self._checked} histories are prefixes of their dialogue"

    def _prefix(self, asked: AskedProbe, whole: Sequence[Message]) -> None:
        history = [m for m in asked.messages[:-1] if m.role != "system"]
        if history != list(whole[: 2 * asked.probe.length]):
            turn = next(
                (
                    i // 2 + 1
                    for i, (a, b) in enumerate(zip(history, whole, strict=False))
                    if a != b
                ),
                asked.probe.length,
            )
            self._findings.add(asked.probe.id, "the history is no prefix of its dialogue", turn)

    def _variants(self, rendering: Sequence[Dialogue]) -> None:
        """Both variants are the same at every turn without evidence, marks of a rule aside."""
        first = rendering[0]
        ruled = any(asked.probe.rule is not None for d in rendering for asked in d.probes)
        for dialogue in rendering[1:]:
            pairs = zip(first.turns, dialogue.turns, strict=False)
            for number, (one, two) in enumerate(pairs, start=1):
                same = one.user == two.user and (ruled or one.assistant == two.assistant)
                if one.group != two.group:
                    self._findings.add(dialogue.id, f"evidence unlike in {first.id}", number)
                elif one.group is None and not same:
                    self._findings.add(dialogue.id, f"other text than in {first.id}", number)
