"""Two people of one gender, or two things of one kind; a pronoun goes with a stated cue (pronoun).

One turn, or the introductions and the pronoun sentence in turns of their own. People are asked for
by name, things by the town they come from. Twin: only the cue changes, so the referent flips
(KnowRef; Elazar et al. 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from qwen_bench.probes.instance import Brief, Builder, Instance, Names, Question, Templates, Words
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
    """What the referent asked for: do something with a thing; `after` follows the thing (zh)."""

    thing: str
    do: str
    after: str = ""


class PronounTurns(Words):
    """Templates of the one-turn form and of the two turns of the other."""

    together: Templates
    introduce: Templates
    ask: Templates


class Kind(Words):
    """What two things are: one, several, and the measure word of one (zh)."""

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
        ask: as a question describes the thing by it.
        key: words common to both.
    """

    say: str
    ask: str
    key: str


class Things(Words):
    """Words of the form with two things; towns are its answers."""

    towns: list[str]
    kinds: list[Kind]
    features: list[Feature]
    errands: list[Errand]
    evidence: list[PronounTurns]
    only: str


class ReferentQuestions(Words):
    """Question templates by what the antecedents are."""

    person: list[str]
    thing: list[str]


class PronounWords(Words):
    """Words of one split."""

    values: Names
    pronouns: Pronouns
    activities: list[Activity]
    favours: list[Favour]
    evidence: list[PronounTurns]
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


class _Pair(NamedTuple):
    """Two antecedents in the order they are introduced.

    Attributes:
        values: what the question asks for.
        context: of the evidence templates, for each antecedent as the referent.
        evidence: templates to choose from.
        asked: context of the question templates.
        key: words by which evidence and question name what happened.
    """

    wording: str
    values: list[str]
    context: tuple[Mapping[str, Any], Mapping[str, Any]]
    evidence: list[PronounTurns]
    asked: Mapping[str, Any]
    key: str


def build(brief: Brief, words: PronounWords) -> Instance:
    """Two antecedents and one event; asked which of the two it happened with."""
    draw = brief.draw
    antecedents = draw.balanced("antecedents", ("f", "m", "thing"))
    pair = _things(draw, words) if antecedents == "thing" else _people(draw, words, antecedents)
    referent_in_a = draw.counted("referent", 2)
    referent = referent_in_a if brief.variant == "A" else 1 - referent_in_a
    turns, context = draw.balanced("evidence template", pair.evidence), pair.context[referent]
    if brief.stages == 1:
        evidence = [turns.together.turn(draw, "together", context)]
    else:
        introduced = turns.introduce.turn(draw, "introduce", context)
        evidence = [introduced, turns.ask.turn(draw, "ask", context)]
    question = Question(
        family=brief.family,
        name="referent",
        context=pair.asked,
        gold=pair.values[referent],
        candidates=draw.listed([pair.values[referent_in_a], pair.values[1 - referent_in_a]]),
        needs=tuple(range(len(evidence))),
        wording=pair.wording,
        key_words=(pair.key,),
    )
    return Instance(tuple(evidence), (question,))


def _people(draw: Draw, words: PronounWords, gender: str) -> _Pair:
    names = draw.some("values", getattr(words.values, gender), 2)
    activities = draw.some("activities", words.activities, 2)
    favour = draw.one("favour", words.favours)
    pronoun: Pronoun = getattr(words.pronouns, gender)
    shared = {
        "people": [
            {"value": name, "does": activity.does}
            for name, activity in zip(names, activities, strict=True)
        ],
        "p": pronoun.model_dump(),
        "favour": favour.model_dump(),
    }
    first, second = ({**shared, "cue": activity.cue} for activity in activities)
    asked = {"thing": favour.thing}
    return _Pair("person", names, (first, second), words.evidence, asked, favour.thing)


def _things(draw: Draw, words: PronounWords) -> _Pair:
    things = words.things
    towns = draw.some("towns", things.towns, 2)
    features = draw.some("features", things.features, 2)
    kind = draw.one("kind", things.kinds).model_dump()
    errand = draw.one("errand", things.errands)
    shared = {
        "things": [
            {"value": town, "part": feature.part}
            for town, feature in zip(towns, features, strict=True)
        ],
        "kind": kind,
        "errand": errand.say,
    }
    first, second = ({**shared, "cue": feature.cue} for feature in features)
    asked = {"kind": kind, "errand": errand.ask, "only": things.only}
    return _Pair("thing", towns, (first, second), things.evidence, asked, errand.key)


BUILDER = Builder(PronounWords, build)
