"""Rules for the form of some replies, told by the user; a question that one of them governs.

Rules are tied to what a question is for; see `told_rules` for the levels and the twin.
"""

from __future__ import annotations

from typing import get_args

from pydantic import Field

from qwen_bench.probes.instance import Brief, Builder, Evidence, Instance, Wordings, Words
from qwen_bench.probes.probe import RuleKind
from qwen_bench.probes.told_rules import (
    FormSource,
    Governed,
    Known,
    RuleForm,
    question_about,
    tell_rules,
)

KINDS: tuple[RuleKind, ...] = get_args(RuleKind)
# Kinds that one reply could have together, as it must until one of them is revoked.
JOINED: tuple[tuple[RuleKind, RuleKind], ...] = (
    *(("prefix", "suffix"), ("suffix", "prefix"), ("prefix", "wrap")),
    *(("wrap", "prefix"), ("suffix", "wrap"), ("wrap", "suffix")),
)


class Told(Words):
    """Texts of one form of evidence, and acknowledgements."""

    users: list[str]
    assistant: list[str]


class Forms(Words):
    """Evidence by level; `pasted` lists the rules and their changes."""

    single: Told
    excepted: Told
    replaced: Told
    pasted: Told

    def of(self, level: int) -> Told:
        """What the evidence of a level is made of."""
        return (self.single, self.excepted, self.replaced, self.pasted, self.pasted)[level - 1]


class RuleWords(Words):
    """Words of one split."""

    rules: dict[RuleKind, RuleForm] = Field(min_length=len(KINDS))
    occasions: list[Governed]
    things: list[Known]
    evidence: Forms
    questions: Wordings

    @property
    def answers(self) -> list[str]:
        """Words and keys that mark a reply; brackets are no words."""
        spelled = [form.marks for kind, form in self.rules.items() if kind != "wrap"]
        return [marks[0] for found in spelled for marks in found]

    @property
    def keys(self) -> list[str]:
        """What questions can be for."""
        return [occasion.say for occasion in self.occasions]


def build(brief: Brief, words: RuleWords) -> Instance:
    """The rules in one turn, and one question."""
    draw = brief.draw
    told = tell_rules(brief, FormSource(draw, words.rules), words.occasions, (KINDS, JOINED))
    texts = words.evidence.of(brief.level)
    user = draw.balanced("evidence template", texts.users)
    reply = draw.balanced("reply", texts.assistant)
    question = question_about(brief, told, words.things, (0,))
    return Instance((Evidence(user, reply, told.context),), (question,))


BUILDER = Builder(RuleWords, build)
