"""Two people of one gender, or two things of one kind; a pronoun goes with a stated cue (pronoun).

One turn, or the introductions and the pronoun sentence in turns of their own. People are asked for
by name, things by the town they come from. Twin: only the cue changes, so the referent flips
(KnowRef; Elazar et al. 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from qwen_bench.probes.builders.fact_recall import Names
from qwen_bench.probes.instance import (
    Brief,
    Builder,
    Evidence,
    Instance,
    Question,
    Templates,
    Words,
    acknowledgement,
    pick,
)
from qwen_bench.probes.seeded_draws import Draw, with_first_at


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


class Stages(Words):
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
    evidence: list[Stages]
    only: str


class Questions(Words):
    """Question templates by what the antecedents are."""

    person: list[str]
    thing: list[str]


class PronounWords(Words):
    """Words of one split."""

    values: Names
    pronouns: Pronouns
    activities: list[Activity]
    favours: list[Favour]
    evidence: list[Stages]
    things: Things
    questions: Questions
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
    evidence: list[Stages]
    asked: Mapping[str, Any]
    key: str


def build(brief: Brief, words: PronounWords) -> Instance:
    """Two antecedents and one event; asked which of the two it happened with."""
    draw = brief.draw
    antecedents = ("f", "m", "thing")[draw.level("antecedents", 3)]
    pair = _things(draw, words) if antecedents == "thing" else _people(draw, words, antecedents)
    referent_in_a = draw.level("referent", 2)
    referent = referent_in_a if brief.variant == "A" else 1 - referent_in_a
    stages = pair.evidence[draw.level("evidence template", len(pair.evidence))]
    used = (
        [("together", stages.together)]
        if brief.stages == 1
        else [("introduce", stages.introduce), ("ask", stages.ask)]
    )
    return Instance(
        evidence=tuple(
            Evidence(
                templates.user, acknowledgement(draw, templates, stage), pair.context[referent]
            )
            for stage, templates in used
        ),
        questions=(
            Question(
                family=brief.families[0],
                name="referent",
                context=pair.asked,
                gold=pair.values[referent],
                candidates=tuple(
                    with_first_at(
                        [pair.values[referent_in_a], pair.values[1 - referent_in_a]],
                        draw.level("gold place", 2),
                    )
                ),
                needs=tuple(range(len(used))),
                wording=pair.wording,
                key_words=(pair.key,),
            ),
        ),
    )


def _people(draw: Draw, words: PronounWords, gender: str) -> _Pair:
    pool: list[str] = getattr(words.values, gender)
    names = pick(pool, draw.stream("values").sample(len(pool), 2))
    activities = pick(words.activities, draw.stream("activities").sample(len(words.activities), 2))
    favour = words.favours[draw.stream("favour").index(len(words.favours))]
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
    towns = pick(things.towns, draw.stream("towns").sample(len(things.towns), 2))
    features = pick(things.features, draw.stream("features").sample(len(things.features), 2))
    kind = things.kinds[draw.stream("kind").index(len(things.kinds))].model_dump()
    errand = things.errands[draw.stream("errand").index(len(things.errands))]
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
