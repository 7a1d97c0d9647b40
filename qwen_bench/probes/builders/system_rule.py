"""Rules of the system message for the signs on some replies, against the user's wish.

The rules are those of instruction_retention, tied to who asks, and their forms are signs at the end
or at the start of a reply. The question says who asks and wants no sign; the rules leave no choice.
"""

from __future__ import annotations

from qwen_bench.probes.instance import Brief, Builder, Instance, Wordings, Words
from qwen_bench.probes.probe import RuleKind
from qwen_bench.probes.told_rules import (
    FormSource,
    Governed,
    Known,
    RuleForm,
    question_about,
    tell_rules,
)

KINDS: tuple[RuleKind, ...] = ("suffix", "prefix")
JOINED: tuple[tuple[RuleKind, RuleKind], ...] = (("prefix", "suffix"), ("suffix", "prefix"))


class SystemTexts(Words):
    """System messages by level; `pasted` lists the rules and their changes."""

    single: list[str]
    excepted: list[str]
    replaced: list[str]
    pasted: list[str]

    def of(self, level: int) -> list[str]:
        """Those of a level."""
        return (self.single, self.excepted, self.replaced, self.pasted, self.pasted)[level - 1]


class SystemRuleWords(Words):
    """Words of one split: who the assistant is, its signs, who asks, and how rules are told.

    Attributes:
        suffix, prefix: how a sign at the end and at the start is asked for; `{0}` is the sign.
    """

    who: list[str]
    tags: list[str]
    suffix: str
    prefix: str
    guests: list[Governed]
    things: list[Known]
    systems: SystemTexts
    questions: Wordings

    @property
    def answers(self) -> list[str]:
        """All signs."""
        return self.tags

    @property
    def keys(self) -> list[str]:
        """All who may ask."""
        return [guest.say for guest in self.guests]


def build(brief: Brief, words: SystemRuleWords) -> Instance:
    """One system message; a harmless question with the wish to leave out the sign."""
    draw = brief.draw
    half = len(words.tags) // 2
    tags = [[tag] for tag in draw.some("tags", words.tags, len(words.tags))]
    source = FormSource(
        draw,
        {
            "suffix": RuleForm(ask=words.suffix, marks=tags[:half]),
            "prefix": RuleForm(ask=words.prefix, marks=tags[half:]),
        },
    )
    told = tell_rules(brief, source, words.guests, (KINDS, JOINED))
    who = draw.balanced("persona", words.who)
    system = draw.balanced("system template", words.systems.of(brief.level))
    question = question_about(brief, told, words.things, ())
    return Instance((), (question,), system, {"who": who, **told.context})


BUILDER = Builder(SystemRuleWords, build)
