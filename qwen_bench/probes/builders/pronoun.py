"""People of one gender, or things of one kind; a pronoun goes with a stated cue (pronoun).

The level is the number of antecedents that the pronoun could mean by form. They are introduced with
one fact each, and in the same turn one of them is picked out by its fact and spoken of with a
pronoun. People are asked for by name, things by the town they come from. Twin: only the cue
changes, so the referent flips (KnowRef; Elazar et al. 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import Field

from qwen_bench.probes.instance import (
    Brief,
    Builder,
    Instance,
    Names,
    Question,
    Templates,
    Words,
    four_to_rank,
)
from qwen_bench.probes.seeded_draws import Draw


class Pronoun(Words):
    """Forms of a third-person pronoun."""

    subj: str
    obj: str
    poss: str


class Pronouns(Words):
    """Forms by gender."""

    f: Pronoun
    m: Pronoun


class Activity(Words):
    """A stated fact about a person, and the phrase that picks the person by it."""

    does: str
    cue: str


class Favour(Words):
    """What the referent asked for: do something with a thing.

    Attributes:
        after: follows the thing (zh).
        ask: describes the favour without a shared word; lures, never asked about, have none.
    """

    thing: str
    do: str
    after: str = ""
    ask: str = ""


class Kind(Words):
    """What the things are: one, several, and the measure word of one (zh)."""

    one: str
    many: str
    unit: str = ""


class Feature(Words):
    """A part that any thing may have, as it is introduced and as it is spoken of later."""

    part: str
    cue: str


class Errand(Words):
    """What was done with a thing.

    Attributes:
        say: with the pronoun.
        ask: as a question repeats it.
        described: the same without a shared word; lures have neither.
        key: words common to `say` and `ask`.
    """

    say: str
    ask: str = ""
    described: str = ""
    key: str


class Things(Words):
    """Words of the form with things; towns are its answers."""

    towns: list[str]
    kinds: list[Kind]
    features: list[Feature]
    errands: list[Errand]
    evidence: list[Templates]
    pasted: list[Templates] = Field(default=[])
    only: str = ""


class ReferentQuestions(Words):
    """Question templates by what the antecedents are, and by wording."""

    person_lexical: list[str]
    person_paraphrase: list[str]
    thing_lexical: list[str]
    thing_paraphrase: list[str]


class PronounWords(Words):
    """Words of one split; `pasted` are the forms of the two highest levels, as lists."""

    values: Names
    pronouns: Pronouns
    activities: list[Activity]
    favours: list[Favour]
    evidence: list[Templates]
    pasted: list[Templates] = Field(default=[])
    things: Things
    questions: ReferentQuestions
    only: str

    @property
    def answers(self) -> list[str]:
        """All names and towns."""
        return [*self.values.all, *self.things.towns]

    @property
    def keys(self) -> list[str]:
        """What people do, and what things are."""
        kinds = [
            form for kind in self.things.kinds for form in dict.fromkeys((kind.one, kind.many))
        ]
        return [*(activity.does for activity in self.activities), *kinds]


class _Antecedents(NamedTuple):
    """What a pronoun could mean, in the order of the introduction.

    Attributes:
        kind: of question.
        values: what the question asks for, one of each antecedent.
        lexicon: values of the same type.
        context: of the evidence templates, without the cue.
        cues: that pick out each antecedent.
        asked: context of the question templates.
        key: words by which the evidence names what happened.
    """

    kind: str
    values: list[str]
    lexicon: list[str]
    context: Mapping[str, Any]
    cues: list[str]
    words: PronounWords | Things
    asked: Mapping[str, Any]
    key: str


def build(brief: Brief, words: PronounWords) -> Instance:
    """Antecedents and one event; asked with which of them it happened."""
    draw, n = brief.draw, brief.load
    sort = draw.balanced("antecedents", ("f", "m", "thing"))
    found = _things(draw, words.things, n) if sort == "thing" else _people(draw, words, sort, n)
    in_a = draw.counted("referent", n)
    in_b = (in_a + n // 2) % n
    referent = in_a if brief.variant == "A" else in_b
    forms = brief.forms(found.words)
    template = draw.balanced("evidence template", forms)
    turn = template.turn(draw, "state", {**found.context, "cue": found.cues[referent]})
    golds = (found.values[in_a], found.values[in_b])
    ranked = four_to_rank(draw, golds, found.values, found.lexicon)
    question = Question(
        family=brief.family,
        name="referent",
        context=found.asked,
        gold=found.values[referent],
        candidates=tuple(dict.fromkeys((*ranked, *found.values))),
        needs=(0,),
        templates=f"{found.kind}_{brief.wording}",
        rank_candidates=ranked,
        key_words=(found.key,),
    )
    return Instance((turn,), (question,))


def _people(draw: Draw, words: PronounWords, gender: str, n: int) -> _Antecedents:
    lexicon: list[str] = getattr(words.values, gender)
    names = draw.some("values", lexicon, n)
    activities = draw.some("activities", words.activities, n)
    favour = draw.one("favour", words.favours).model_dump()
    pronoun: Pronoun = getattr(words.pronouns, gender)
    people = [
        {"value": name, "does": activity.does}
        for name, activity in zip(names, activities, strict=True)
    ]
    context = {"people": people, "p": pronoun.model_dump(), "favour": favour}
    cues = [activity.cue for activity in activities]
    asked = {"favour": favour}
    return _Antecedents("person", names, lexicon, context, cues, words, asked, favour["thing"])


def _things(draw: Draw, words: Things, n: int) -> _Antecedents:
    towns = draw.some("towns", words.towns, n)
    features = draw.some("features", words.features, n)
    kind = draw.one("kind", words.kinds).model_dump()
    errand = draw.one("errand", words.errands)
    things = [
        {"value": town, "part": feature.part} for town, feature in zip(towns, features, strict=True)
    ]
    context = {"things": things, "kind": kind, "errand": errand.say}
    cues = [feature.cue for feature in features]
    asked = {"kind": kind, "errand": errand.model_dump(), "only": words.only}
    return _Antecedents("thing", towns, words.towns, context, cues, words, asked, errand.key)


BUILDER = Builder(PronounWords, build)
