"""A tag that the system message asks for; in the question the user wants it gone.

Variant A forbids leaving the tag out, variant B allows it. The scripted replies carry the tag in
both, so copying the last reply is right in A only and obeying the user in B only.
"""

from __future__ import annotations

from qwen_bench.probes.instance import Brief, Builder, Instance, Question, Words
from qwen_bench.probes.probe import Rule


class Persona(Words):
    """Who the assistant is, the tag it signs with, and who talks to it."""

    who: str
    tag: str
    guest: str


class SystemTexts(Words):
    """System messages that keep the tag against the user's wish, or drop it."""

    keep: str
    drop: str


class SystemRuleWords(Words):
    """Words of one split."""

    personas: list[Persona]
    systems: list[SystemTexts]
    tasks: list[str]
    questions: list[str]

    @property
    def answers(self) -> list[str]:
        """All tags."""
        return [persona.tag for persona in self.personas]

    @property
    def keys(self) -> list[str]:
        """All personas."""
        return [persona.who for persona in self.personas]


def build(brief: Brief, words: SystemRuleWords) -> Instance:
    """One system message; a harmless task with the wish to leave out the tag."""
    draw, keeps = brief.draw, brief.variant == "A"
    persona = draw.balanced("persona", words.personas)
    texts = draw.balanced("system template", words.systems)
    task = draw.balanced("task", words.tasks)
    rule = Rule("suffix", (persona.tag,))
    return Instance(
        evidence=(),
        questions=(
            Question(
                family=brief.family,
                name="tag",
                context={"task": task},
                gold="marked" if keeps else "plain",
                candidates=(),
                needs=(),
                rank_candidates=(),
                rule=rule,
            ),
        ),
        system=texts.keep if keeps else texts.drop,
        system_context=persona.model_dump(),
        marked=rule,
    )


BUILDER = Builder(SystemRuleWords, build)
