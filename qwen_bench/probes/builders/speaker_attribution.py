"""User, assistant and people the user quotes propose one item each (speaker_attribution).

The level is the number of speakers: the two sides of the chat, then quoted people. The answers are
fixed labels, because "me" and "you" flip with the speaker and cannot be scored. The question lists
four of them: both sides and two people, who said nothing where there are too few speakers. Twin:
the items of the listed speakers rotate by one.
"""

from __future__ import annotations

from pydantic import Field

from qwen_bench.probes.instance import (
    Brief,
    Builder,
    Instance,
    Question,
    Templates,
    Wordings,
    Words,
    four_to_rank,
)
from qwen_bench.probes.seeded_draws import rotated

LISTED_PEOPLE = 2


class Labels(Words):
    """How an answer names the two sides of the chat."""

    user: str
    assistant: str


class Item(Words):
    """What a speaker proposes, and how a paraphrase asks for it; lures are never asked for."""

    say: str
    ask: str = ""


class SpeakerWords(Words):
    """Words of one split; `pasted` are the forms of the two highest levels."""

    labels: Labels
    people: list[str]
    items: list[Item]
    evidence: list[Templates]
    pasted: list[Templates] = Field(default=[])
    questions: Wordings
    only: str

    @property
    def answers(self) -> list[str]:
        """The people; the two other labels are words of every chat."""
        return self.people

    @property
    def keys(self) -> list[str]:
        """The items that speakers are asked for."""
        return [item.say for item in self.items]


def build(brief: Brief, words: SpeakerWords) -> Instance:
    """An item by each speaker in one turn; asked whose item one of them is."""
    draw, n = brief.draw, brief.load
    *people, one, two = draw.some("people", words.people, n)
    quoted = [one, two, *people][: n - 2]
    items = draw.some("items", words.items, n)
    # Speakers by their places among the items; those in the list of options come first.
    sides = (words.labels.user, words.labels.assistant)
    listed = [sides[0], *quoted[:1], sides[1], *quoted[1:LISTED_PEOPLE]]
    speakers = [*listed, *quoted[LISTED_PEOPLE:]]
    asked = draw.counted("asked speaker", len(listed))
    turns = 0 if brief.variant == "A" else 1
    said = [*rotated(items[: len(listed)], turns), *items[len(listed) :]]
    item_of = {speaker: item.say for speaker, item in zip(speakers, said, strict=True)}
    told = {
        "own": item_of[words.labels.user],
        "assistant": item_of[words.labels.assistant],
        "others": [
            {"name": name, "item": item_of[name]}
            for name in draw.stream("order of people").shuffled(quoted)
        ],
    }
    in_a, in_b = listed[asked], listed[asked - 1]
    options = four_to_rank(draw, (in_a, in_b), listed, [one, two])
    forms = brief.forms(words)
    templates = draw.balanced("evidence template", forms)
    question = Question(
        family=brief.family,
        name="speaker",
        context={"item": items[asked].model_dump(), "options": options},
        gold=in_a if brief.variant == "A" else in_b,
        candidates=tuple(dict.fromkeys((*options, *quoted))),
        needs=(0,),
        templates=brief.wording,
        rank_candidates=options,
        key_words=(items[asked].say,),
    )
    return Instance((templates.turn(draw, "propose", told),), (question,))


BUILDER = Builder(SpeakerWords, build)
