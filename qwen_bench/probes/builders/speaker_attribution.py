"""User, assistant and a quoted third person propose an item each (speaker_attribution).

Asked who proposed one of them; the answers are fixed labels, because "me" and "you" flip with the
speaker and cannot be scored. Twin: the items rotate over the speakers.
"""

from __future__ import annotations

from qwen_bench.probes.instance import Brief, Builder, Instance, Question, Templates, Words
from qwen_bench.probes.seeded_draws import rotated, with_first_at

SPEAKERS = ("user", "third", "assistant")


class Labels(Words):
    """How an answer names the two sides of the chat."""

    user: str
    assistant: str


class SpeakerWords(Words):
    """Words of one split. `people` are third persons, `items` what speakers propose."""

    labels: Labels
    people: list[str]
    items: list[str]
    evidence: list[Templates]
    questions: list[str]
    only: str

    @property
    def answers(self) -> list[str]:
        """The third persons; the two other labels are words of every chat."""
        return self.people

    @property
    def keys(self) -> list[str]:
        """The items that speakers are asked for."""
        return self.items


def build(brief: Brief, words: SpeakerWords) -> Instance:
    """Three items by three speakers in one turn; asked whose item one of them is."""
    draw, n = brief.draw, len(SPEAKERS)
    name = draw.one("person", words.people)
    items_in_a = draw.some("items", words.items, n)
    items = items_in_a if brief.variant == "A" else rotated(items_in_a, 1)
    asked = draw.counted("asked speaker", n)
    item = items_in_a[asked]
    labels = (words.labels.user, name, words.labels.assistant)
    # All six orders of the options, as one factor: the gold's place is balanced in both variants.
    mirrored, place = divmod(draw.counted("option order", 2 * n), n)
    in_a, *rest = rotated(labels, asked)
    options = with_first_at([in_a, *rotated(rest, mirrored)], place)
    templates = draw.balanced("evidence template", words.evidence)
    told = {"name": name, "item": dict(zip(SPEAKERS, items, strict=True))}
    question = Question(
        family=brief.family,
        name="speaker",
        context={"item": item, "options": options},
        gold=labels[items.index(item)],
        candidates=tuple(options),
        needs=(0,),
        key_words=(item,),
    )
    return Instance((templates.turn(draw, "propose", told),), (question,))


BUILDER = Builder(SpeakerWords, build)
