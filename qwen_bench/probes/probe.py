"""The values a suite is made of. Terms are those of the papers; see the glossary in docs/probes.md.

Everything is immutable, language-tagged text plus the latent facts that make it checkable. Nothing
here knows tokens, models or files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, NewType

from qwen_bench.chat.messages import Conversation, Message

ProbeId = NewType("ProbeId", str)
Cluster = NewType("Cluster", str)
Lang = Literal["en", "zh"]
Variant = Literal["A", "B"]
Split = Literal["eval", "train"]
Wording = Literal["lexical", "paraphrase"]
Condition = Literal["main", "adjacent", "blind", "concat", "no-filler", "brief", "long"]
AnswerKind = Literal["single", "set", "yesno", "abstain", "rule"]

# Turns that a plan of evidence covers: of suites up to that history length, and of longer ones.
PLAN_TURNS = 64
LONG_PLAN_TURNS = 256
LANGS: tuple[Lang, ...] = ("en", "zh")
WORDINGS: tuple[Wording, ...] = ("lexical", "paraphrase")
# Levels of memory load: 1 asks least of a memory.
LEVELS = 5
VARIANTS: tuple[Variant, ...] = ("A", "B")
CONDITIONS: tuple[Condition, ...] = (
    *("main", "adjacent", "blind", "concat", "no-filler"),
    *("brief", "long"),
)
RuleKind = Literal["suffix", "prefix", "wrap", "json"]
# Gold of a rule that asks nothing of the reply.
PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Rule:
    """A checkable form of a whole reply.

    Attributes:
        kind: the reply ends with the mark, begins with it, stands between two marks, or is a JSON
            object with one key.
        marks: the word, the opening and the closing mark, or the key.
    """

    kind: RuleKind
    marks: tuple[str, ...]

    @property
    def gold(self) -> str:
        """Gold of a probe whose reply must have this form."""
        return " ".join(self.marks)

    def describe(self, *, obeyed: bool) -> str:
        """What a reply that obeys the rule, or one that does not, looks like, for people."""
        marks = " and ".join(self.marks)
        does, does_not = {
            "suffix": ("a reply that ends with", "a reply that does not end with"),
            "prefix": ("a reply that begins with", "a reply that does not begin with"),
            "wrap": ("a reply between", "a reply that is not between"),
            "json": ("a JSON object with the key", "a reply that is no JSON object with the key"),
        }[self.kind]
        return f"{does if obeyed else does_not} {marks}"


class _Punctuation(NamedTuple):
    """How a language joins a word to a reply; replies up to `short` characters take a comma."""

    stop: str
    comma: str
    blank: str
    short: int


_PUNCTUATION: dict[Lang, _Punctuation] = {
    "en": _Punctuation(stop=".", comma=", ", blank=" ", short=24),
    "zh": _Punctuation(stop="。", comma="，", blank="", short=10),
}


def is_tag(rule: Rule) -> bool:
    """Whether the rule adds a sign such as ``#desk`` or ``【前台】`` instead of a word."""
    mark = rule.marks[0]
    return rule.kind in {"suffix", "prefix"} and not (mark[0].isalnum() and mark[-1].isalnum())


def apply_rule(rule: Rule, reply: str, lang: Lang) -> str:
    r"""The reply in a form that obeys the rule; a reply that this function made is left alone.

    >>> apply_rule(Rule("suffix", ("roger",)), "Understood.", "en")
    'Understood, roger.'
    >>> apply_rule(Rule("prefix", ("收到",)), "先用湿布去尘。", "zh")
    '收到，先用湿布去尘。'
    >>> apply_rule(Rule("json", ("msg",)), 'Say "no".', "en")
    '{"msg": "Say \\"no\\"."}'
    """
    first, last = rule.marks[0], rule.marks[-1]
    if is_tag(rule):
        return _with_tag(rule, reply, lang)
    if rule.kind == "suffix":
        return _with_last_word(first, reply, lang)
    if rule.kind == "prefix":
        return _with_first_word(first, reply, lang)
    if rule.kind == "wrap":
        wrapped = reply.startswith(first) and reply.endswith(last)
        return reply if wrapped else f"{first}{reply}{last}"
    keyed = reply.startswith(f'{{"{first}": "') and reply.endswith('"}')
    return reply if keyed else json.dumps({first: reply}, ensure_ascii=False)


def _with_tag(rule: Rule, reply: str, lang: Lang) -> str:
    tag, blank = rule.marks[0], _PUNCTUATION[lang].blank
    if rule.kind == "prefix":
        return reply if reply.startswith(tag) else f"{tag}{blank}{reply}"
    return reply if reply.endswith(tag) else f"{reply}{blank}{tag}"


def _with_last_word(word: str, reply: str, lang: Lang) -> str:
    """A short reply takes the word after a comma, a longer one as a sentence of its own."""
    stop, comma, blank, short = _PUNCTUATION[lang]
    aside, sentence = f"{comma}{word}{stop}", f"{blank}{_capitalised(word)}{stop}"
    if reply.endswith((aside, sentence)):
        return reply
    body = reply.removesuffix(stop)
    simple = (
        len(reply) <= short and body != reply and not any(c in ".,!?。，！？；：" for c in body)
    )
    return body + aside if simple else reply + sentence


def _with_first_word(word: str, reply: str, lang: Lang) -> str:
    """English sets the word apart as a sentence, since the reply keeps its capital letter."""
    opening = f"{_capitalised(word)}. " if lang == "en" else f"{word}，"
    return reply if reply.startswith(opening) else opening + reply


def _capitalised(word: str) -> str:
    return word[:1].upper() + word[1:]


@dataclass(frozen=True, slots=True)
class Turn:
    """One user message and the scripted assistant reply to it.

    Attributes:
        group: names the instance whose evidence the turn holds; None for all others.
        place: number of its request in a thread of requests, from 0.
    """

    user: str
    assistant: str
    group: str | None = None
    place: int = 0

    @property
    def messages(self) -> Conversation:
        """The two messages of the turn."""
        return (Message("user", self.user), Message("assistant", self.assistant))


@dataclass(frozen=True, slots=True)
class Probe:
    """One question about one instance, asked at one checkpoint in one condition.

    Attributes:
        id: ``{cluster}/{variant}/{lang}/{family}.{question}/T{length}/{condition}``.
        cluster: ``{programme}-{number}``: dialogues of one plan and the same facts, in both
            variants and languages; probes of one cluster are not independent.
        twin_group: probes that differ only in the fact under test share it.
        length: history length T in user turns; evidence turns for adjacent, 0 for blind.
        distance: user turns between the last evidence turn and the question; None for blind.
        distance_first: the same from the first needed turn; None for blind.
        position: place of the last evidence turn in the history, 0 oldest to 1 newest.
        needs: turns (from 1, within the prompt's own history) a reader must have seen.
        question_text: the last user message.
        gold: the right answer; for `abstain` twins the fixed abstain phrase, for sets the items
            as one would list them, for rules the marks of the right form, `plain` without one.
        candidates: closed list of possible answers, gold included unless the gold is to abstain.
        rank_candidates: strings to rank by log-probability; empty when ranking is not defined.
        aliases: further surface forms of a candidate.
        gold_abstains: the fact was never stated; saying so is the right answer.
        chance: score of a uniform guess over the candidates.
        factors: counterbalanced levels, for audits.
        gold_items: sets only: the items of the right answer, all of them candidates.
        rule: rules only: the form that the reply must have, or must not where the gold is `plain`.
        forms: rules only: every form that the history asks for, of this reply or of another one, in
            the same order in both variants; the reply must have none of them but the right one.
        content: rules only: what the reply must say, one of the candidates; empty if anything will
            do.
        key_words: surface forms by which the evidence names what is asked about.
        level: of memory load, 1 the lowest to 5; the same for all renderings of an instance.
        wording: in which the key is asked for; empty where the family has one wording only.
    """

    id: ProbeId
    programme: str
    cluster: Cluster
    variant: Variant
    lang: Lang
    family: str
    question: str
    twin_group: str
    condition: Condition
    length: int
    distance: int | None
    distance_first: int | None
    position: float | None
    needs: tuple[int, ...]
    question_text: str
    gold: str
    candidates: tuple[str, ...]
    rank_candidates: tuple[str, ...]
    aliases: Mapping[str, tuple[str, ...]]
    answer_kind: AnswerKind
    gold_abstains: bool
    chance: float
    factors: Mapping[str, str]
    gold_items: tuple[str, ...] = ()
    rule: Rule | None = None
    forms: tuple[Rule, ...] = ()
    content: str = ""
    key_words: tuple[str, ...] = ()
    level: int = 0
    wording: str = ""

    @property
    def expected(self) -> str:
        """The right answer for people: the gold, or what the reply must look like and say."""
        if self.rule is None:
            return self.gold
        form = self.rule.describe(obeyed=self.gold != PLAIN)
        return f"{form}, saying {self.content}" if self.content else form


@dataclass(frozen=True, slots=True)
class AskedProbe:
    """A probe with the messages that ask it; the last message is the question."""

    probe: Probe
    messages: Conversation


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One rendering of a cluster (variant and language) with all probes asked about it.

    Histories nest: the first T turns are the same for every T.

    Attributes:
        system: text of the system message; None leaves it to the chat template.
    """

    id: str
    cluster: Cluster
    variant: Variant
    lang: Lang
    turns: tuple[Turn, ...]
    probes: tuple[AskedProbe, ...]
    system: str | None = None


def evidence_visible(probe: Probe, dropped_turns: int) -> bool:
    """Whether a reader of the cut conversation can have seen every turn the probe needs.

    Args:
        probe: never visible in the condition blind.
        dropped_turns: number of oldest turns left out; the system message, turn 0, always stays.
    """
    return probe.condition != "blind" and all(
        turn == 0 or turn > dropped_turns for turn in probe.needs
    )
