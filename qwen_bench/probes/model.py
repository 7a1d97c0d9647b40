"""The values a suite is made of. Terms are those of the papers; see the glossary in docs/probes.md.

Everything is immutable, language-tagged text plus the latent facts that make it checkable. Nothing
here knows tokens, models or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NewType

from qwen_bench.chat.messages import Conversation, Message

ProbeId = NewType("ProbeId", str)
Cluster = NewType("Cluster", str)
Lang = Literal["en", "zh"]
Variant = Literal["A", "B"]
Split = Literal["eval", "train"]
Condition = Literal["main", "adjacent", "blind"]
AnswerKind = Literal["single", "set", "yesno", "abstain", "rule"]

LANGS: tuple[Lang, ...] = ("en", "zh")
VARIANTS: tuple[Variant, ...] = ("A", "B")
CONDITIONS: tuple[Condition, ...] = ("main", "adjacent", "blind")


@dataclass(frozen=True, slots=True)
class Turn:
    """One user message and the scripted assistant reply to it.

    `group` names the instance whose evidence the turn holds; None for filler.
    """

    user: str
    assistant: str
    group: str | None = None

    @property
    def messages(self) -> Conversation:
        """The two messages of the turn."""
        return (Message("user", self.user), Message("assistant", self.assistant))


@dataclass(frozen=True, slots=True)
class Probe:
    """One question about one instance, asked at one checkpoint in one condition.

    Attributes:
        id: ``{cluster}/{variant}/{lang}/{family}.{question}/T{length}/{condition}``.
        cluster: the skeleton, ``{programme}-{number}``; probes of one cluster are not independent.
        twin_group: probes that differ only in the fact under test share it.
        length: history length T in user turns; evidence turns for adjacent, 0 for blind.
        distance: user turns between the last evidence turn and the question; None for blind.
        distance_first: the same from the first needed turn; None for blind.
        position: place of the last evidence turn in the history, 0 oldest to 1 newest.
        needs: turns (from 1, within the prompt's own history) a reader must have seen.
        question_text: the last user message.
        gold: the right answer; for `abstain` twins the fixed abstain phrase.
        candidates: closed list of possible answers, gold included unless the gold is to abstain.
        rank_candidates: strings to rank by log-probability; empty when ranking is not defined.
        aliases: further surface forms of a candidate.
        gold_abstains: the fact was never stated; saying so is the right answer.
        chance: score of a uniform guess over the candidates.
        factors: counterbalanced levels, for audits.
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


@dataclass(frozen=True, slots=True)
class AskedProbe:
    """A probe with the messages that ask it; the last message is the question."""

    probe: Probe
    messages: Conversation


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One rendering of a skeleton (variant and language) with all probes asked about it.

    Histories nest: the first T turns are the same for every T.
    """

    id: str
    cluster: Cluster
    variant: Variant
    lang: Lang
    turns: tuple[Turn, ...]
    probes: tuple[AskedProbe, ...]
