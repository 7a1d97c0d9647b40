"""Two people of one gender; a pronoun goes with a stated cue (pronoun).

One turn, or the introductions and the pronoun sentence in turns of their own. Twin: only the cue
changes, so the referent flips (KnowRef; Elazar et al. 2021).
"""

from __future__ import annotations

from qwen_bench.probes.builders.bindings import Names
from qwen_bench.probes.draws import with_first_at
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
    """What the referent asked for; `request` is a template that may use the pronoun `p`."""

    thing: str
    request: str


class Stages(Words):
    """Templates of the one-turn form and of the two turns of the other."""

    together: Templates
    introduce: Templates
    ask: Templates


class PronounWords(Words):
    """Words of one split."""

    values: Names
    pronouns: Pronouns
    activities: list[Activity]
    favours: list[Favour]
    evidence: list[Stages]
    questions: list[str]
    only: str


def build(brief: Brief, words: PronounWords) -> Instance:
    """Two antecedents, one favour; asked whose favour it is."""
    draw = brief.draw
    gender = ("f", "m")[draw.level("gender", 2)]
    pool: list[str] = getattr(words.values, gender)
    names = pick(pool, draw.stream("values").sample(len(pool), 2))
    activities = pick(words.activities, draw.stream("activities").sample(len(words.activities), 2))
    favour = words.favours[draw.stream("favour").index(len(words.favours))]
    referent_in_a = draw.level("referent", 2)
    referent = referent_in_a if brief.variant == "A" else 1 - referent_in_a
    people = [
        {"value": name, "does": activity.does}
        for name, activity in zip(names, activities, strict=True)
    ]
    pronoun: Pronoun = getattr(words.pronouns, gender)
    context = {
        "people": people,
        "cue": activities[referent].cue,
        "p": {"subj": pronoun.subj, "obj": pronoun.obj, "poss": pronoun.poss},
        "request": favour.request,
    }
    stages = words.evidence[draw.level("evidence template", len(words.evidence))]
    used = (
        [("together", stages.together)]
        if brief.stages == 1
        else [("introduce", stages.introduce), ("ask", stages.ask)]
    )
    return Instance(
        evidence=tuple(
            Evidence(templates.user, acknowledgement(draw, templates, stage), context)
            for stage, templates in used
        ),
        questions=(
            Question(
                family=brief.families[0],
                name="referent",
                context={"thing": favour.thing},
                gold=names[referent],
                candidates=tuple(
                    with_first_at(
                        [names[referent_in_a], names[1 - referent_in_a]],
                        draw.level("gold place", 2),
                    )
                ),
                needs=tuple(range(len(used))),
            ),
        ),
    )


BUILDER = Builder(PronounWords, build)
