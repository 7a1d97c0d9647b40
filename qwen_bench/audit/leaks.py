"""Leaks and conflicts: what else in a dialogue says, or contradicts, what a probe asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from qwen_bench.audit.findings import Check
from qwen_bench.audit.questions import AskedQuestion, label_free, questions_of
from qwen_bench.chat.messages import Message
from qwen_bench.probes.definitions import Family
from qwen_bench.probes.probe import Dialogue, Probe, Rule, Split, apply_rule
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.solvers.history_reading import aliases_of, mentions_in, plain

_ARTICLE = re.compile(r"^(?:the|my|our|your|his|her|their|an?) ")


class Leaks(Check):
    """Every form of every candidate occurs in the turns of its own instance only."""

    name = "leak"

    def see(self, rendering: Sequence[Dialogue]) -> None:
        """Look at all turns beside the instance's own, the system message and the question."""
        for asked in questions_of(rendering):
            self._checked += 1
            self._question(asked.probe)
            if asked.probe.rule is not None:
                self._rule(asked, asked.probe.rule)
                continue
            candidates = label_free(asked.probe)
            text = "\n".join(plain(message.content) for _, message in asked.others)
            if candidates and find_mentions(text, candidates, asked.probe.aliases):
                self._locate(asked, candidates)

    def summary(self) -> str:
        """What was looked at."""
        return f"{self._checked} questions: no other turn, system text or question has a value"

    def _locate(self, asked: AskedQuestion, candidates: tuple[str, ...]) -> None:
        for turn, message in asked.others:
            for mention in mentions_in(message.content, candidates, aliases_of(asked.probe)):
                self._findings.add(asked.probe.id, f"'{mention.candidate}' leaks", turn)

    def _question(self, probe: Probe) -> None:
        """A question names all options or none."""
        candidates = label_free(probe)
        found = mentions_in(probe.question_text, candidates, aliases_of(probe))
        named = {mention.candidate for mention in found}
        if named and named != set(candidates):
            some = ", ".join(sorted(named))
            self._findings.add(probe.id, f"the question names {some} but not all options")
        if probe.rule is not None and _holds(probe.rule, probe.question_text):
            self._findings.add(probe.id, "the question holds the mark of the rule")

    def _rule(self, asked: AskedQuestion, rule: Rule) -> None:
        """The mark stands in replies that obey the rule, and there in all or in none."""
        first = max(asked.own_turns, default=0)
        obeying: list[bool] = []
        for turn, message in asked.messages:
            if message.role == "assistant" and turn >= first:
                obeying.append(
                    apply_rule(rule, message.content, asked.probe.lang) == message.content
                )
                if obeying[-1]:
                    continue
            elif turn in asked.own_turns:
                continue
            if _holds(rule, message.content):
                self._findings.add(asked.probe.id, f"the mark {rule.marks} leaks", turn)
        if len(set(obeying)) > 1:
            turn = first + obeying.index(not obeying[0])
            self._findings.add(asked.probe.id, "some replies obey the rule and some do not", turn)


def _holds(rule: Rule, text: str) -> bool:
    return any(mark.casefold() in text.casefold() for mark in rule.marks)


class Conflicts(Check):
    """No other turn of a suite names what is asked about together with a value of its type."""

    name = "conflict"

    def __init__(self, families: Mapping[str, Family], split: Split) -> None:
        self._families = families
        self._split = split
        super().__init__()

    def see(self, rendering: Sequence[Dialogue]) -> None:
        """Look at all turns beside the instance's own."""
        for asked in questions_of(rendering):
            keys = bare_keys(asked.probe.key_words)
            if not keys:
                continue
            self._checked += 1
            if not find_mentions("\n".join(plain(m.content) for _, m in asked.others), keys, {}):
                continue
            values = tuple(self._values(asked))
            for turn, text in _by_turn(asked.others):
                if mentions_in(text, keys) and (found := mentions_in(text, values)):
                    key = mentions_in(text, keys)[0].candidate
                    what = f"'{key}' stands beside '{found[0].candidate}'"
                    self._findings.add(asked.probe.id, what, turn)

    def summary(self) -> str:
        """What was looked at."""
        return f"{self._checked} questions: no other turn states a value for what is asked"

    def _values(self, asked: AskedQuestion) -> Iterator[str]:
        family = self._families.get(asked.group)
        words = family.words.get((asked.probe.lang, self._split)) if family else None
        yield from dict.fromkeys([*asked.probe.candidates, *(words.answers if words else [])])


@lru_cache(maxsize=4096)
def bare_keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Keys without an article or possessive before them."""
    return tuple(dict.fromkeys(_ARTICLE.sub("", key) for key in keys))


def _by_turn(messages: Sequence[tuple[int, Message]]) -> Iterator[tuple[int, str]]:
    """Both messages of a turn as one text."""
    texts: dict[int, list[str]] = {}
    for turn, message in messages:
        texts.setdefault(turn, []).append(message.content)
    for turn, contents in texts.items():
        yield turn, "\n".join(contents)
