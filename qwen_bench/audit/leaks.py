"""Leaks and conflicts: what else in a dialogue says, or contradicts, what a probe asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from qwen_bench.audit.findings import Check
from qwen_bench.audit.questions import AskedQuestion, label_free, questions_of
from qwen_bench.audit.told import Tell, rest_of
from qwen_bench.chat.messages import Message
from qwen_bench.probes.definitions import Family
from qwen_bench.probes.probe import Dialogue, Probe, Rule, Split
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.solvers.history_reading import Aliases, aliases_of, mentions_in, plain

_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])|\n+")
_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(r"(?:\d+|[零〇一二三四五六七八九十百两]+|[a-z]+(?:[- ][a-z]+)?)$")
_ARTICLE = re.compile(r"^(?:the|my|our|your|his|her|their|an?) ")


class Leaks(Check):
    """Every form of every candidate occurs in the evidence of its own instance only.

    Args:
        tell: writes the evidence of a dialogue anew, so that the bank's text beside it is known;
            the messages of an instance's own turns are looked at only with it.
    """

    name = "leak"

    def __init__(self, tell: Tell | None = None) -> None:
        super().__init__()
        self._tell = tell

    def see(self, rendering: Sequence[Dialogue]) -> None:
        """Look at lures, bank text, other evidence, the system message and the question."""
        for dialogue in rendering:
            rests = self._rests(dialogue)
            for asked in questions_of([dialogue]):
                self._checked += 1
                self._question(asked.probe)
                own = [(turn, rests[turn]) for turn in asked.own_turns if turn in rests]
                texts = [(turn, message.content) for turn, message in asked.others] + own
                if asked.probe.rule is not None:
                    self._marks(asked.probe, texts)
                elif candidates := label_free(asked.probe):
                    self._values(asked.probe, candidates, texts)

    def summary(self) -> str:
        """What was looked at."""
        where = "lure, bank text, other evidence, system text or question"
        return f"{self._checked} questions: no {where} has a value"

    def _rests(self, dialogue: Dialogue) -> dict[int, str]:
        """What stands in evidence turns beside the evidence."""
        rests: dict[int, str] = {}
        for turn, told in (self._tell(dialogue) if self._tell else {}).items():
            if turn < 1 or turn > len(dialogue.turns):
                continue
            said = dialogue.turns[turn - 1]
            texts = [rest_of(said.user, told[0]), rest_of(said.assistant, told[1])]
            if None in texts:
                self._findings.add(dialogue.id, "the turn does not say what its family tells", turn)
            rests[turn] = "\n".join(text for text in texts if text is not None)
        return rests

    def _values(
        self, probe: Probe, candidates: tuple[str, ...], texts: Sequence[tuple[int, str]]
    ) -> None:
        whole = "\n".join(plain(text) for _, text in texts)
        candidates, aliases = _but_numbers(candidates, aliases_of(probe))
        if not find_mentions(whole, candidates, dict(aliases)):
            return
        for turn, text in texts:
            for mention in mentions_in(text, candidates, aliases):
                self._findings.add(probe.id, f"'{mention.candidate}' leaks", turn)

    def _question(self, probe: Probe) -> None:
        """A question names all that are ranked, all candidates or none."""
        candidates = label_free(probe)
        found = mentions_in(probe.question_text, candidates, aliases_of(probe))
        named = {mention.candidate for mention in found}
        ranked = set(candidates).intersection(probe.rank_candidates)
        if named and named not in (set(candidates), ranked):
            some = ", ".join(sorted(named))
            self._findings.add(probe.id, f"the question names {some} but not all options")
        if any(_holds(rule, probe.question_text) for rule in _forms(probe)):
            self._findings.add(probe.id, "the question holds the mark of a rule")

    def _marks(self, probe: Probe, texts: Sequence[tuple[int, str]]) -> None:
        """The marks of the forms that rules ask for stand where the rules are told."""
        for turn, text in texts:
            for rule in _forms(probe):
                if _holds(rule, text):
                    self._findings.add(probe.id, f"the mark {rule.marks} leaks", turn)


def _but_numbers(candidates: Sequence[str], aliases: Aliases) -> tuple[tuple[str, ...], Aliases]:
    """Candidates and aliases that are no bare number, as a word or in digits.

    One may stand for anything: six of a day is six of everything else.
    """
    kept = tuple(
        (name, tuple(form for form in forms if not (_DIGIT.search(name) and _NUMBER.match(form))))
        for name, forms in aliases
    )
    return tuple(name for name in candidates if not name.isdecimal()), kept


def _forms(probe: Probe) -> tuple[Rule, ...]:
    """The forms that the rules about a probe ask for; none of another kind."""
    return probe.forms or ((probe.rule,) if probe.rule else ())


def _holds(rule: Rule, text: str) -> bool:
    return any(mark.casefold() in text.casefold() for mark in rule.marks)


class Conflicts(Check):
    """No lure, bank text or other evidence names what is asked about beside a value of its type.

    A user's message is looked at whole, a reply by its sentences, since answers of the bank are
    long and speak of many things.
    """

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
            values = self._values(asked)
            for turn, message in asked.others:
                for text in _statements(message):
                    if (named := mentions_in(text, keys)) and (found := mentions_in(text, values)):
                        what = f"'{named[0].candidate}' stands beside '{found[0].candidate}'"
                        self._findings.add(asked.probe.id, what, turn)

    def summary(self) -> str:
        """What was looked at."""
        return f"{self._checked} questions: no other turn states a value for what is asked"

    def _values(self, asked: AskedQuestion) -> tuple[str, ...]:
        """Candidates, and all values of the family: those of its lures are of the same type."""
        found = [*asked.probe.candidates]
        family, lang = self._families.get(asked.group), asked.probe.lang
        if family is not None:
            words = [family.words.get((lang, self._split)), family.lures.get(lang)]
            found += [answer for some in words if some is not None for answer in some.answers]
        return tuple(dict.fromkeys(found))


@lru_cache(maxsize=4096)
def bare_keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Keys without an article or possessive before them."""
    return tuple(dict.fromkeys(_ARTICLE.sub("", key) for key in keys))


def _statements(message: Message) -> list[str]:
    """Texts of a message in which a key and a value make a statement."""
    return [message.content] if message.role == "user" else _SENTENCE_END.split(message.content)
