"""People and what each cannot have; asked which of four options suits one (preference_use).

The question names no constraint. Four things are in play, and each option has three of them, so
every option suits somebody and none is the odd one out: which one fits follows from the history
alone. The level is the number of people, each with a constraint of the same theme.

Twin: the constraints keep their order and the people rotate by one place; with one person variant B
gives another constraint. The options stay as they are.
"""

from __future__ import annotations

from pydantic import Field

from qwen_bench.probes.builders.fact_recall import DescribedKey
from qwen_bench.probes.instance import (
    TO_RANK,
    Brief,
    Builder,
    Instance,
    Question,
    Templates,
    Valued,
    Wordings,
    Words,
    four_to_rank,
)
from qwen_bench.probes.seeded_draws import rotated


class Limit(Words):
    """What somebody cannot have.

    Attributes:
        says: what is said of the person.
        lexical: the thing as part of an option, in the same words (lures: never).
        paraphrase: an instance of the thing that everybody knows to be one (lures: never).
    """

    says: str
    lexical: str = ""
    paraphrase: str = ""


class Theme(Words):
    """What options are offered, what stands in brackets behind each, and its limits."""

    kinds: str = ""
    note: str = ""
    limits: list[Limit]


class PreferenceWords(Valued):
    """Words of one split; the values are names of options, which say nothing about them."""

    people: list[DescribedKey]
    themes: list[Theme]
    evidence: list[Templates]
    pasted: list[Templates] = Field(default=[])
    questions: Wordings
    only: str

    @property
    def keys(self) -> list[str]:
        """Whose constraints are told."""
        return [person.say for person in self.people]


def build(brief: Brief, words: PreferenceWords) -> Instance:
    """One turn of constraints and one question that offers four options."""
    draw, k = brief.draw, brief.load
    theme = draw.balanced("theme", words.themes)
    people = draw.some("people", words.people, k)
    limits = draw.some("limits", theme.limits, max(k, TO_RANK))
    asked = draw.counted("asked", k)
    golds = (limits[asked], limits[(asked - 1) % max(k, 2)])
    keys = people if brief.variant == "A" else rotated(people, 1)
    told = limits[:k] if k > 1 else [golds[brief.variant == "B"]]
    things = {limit.says: getattr(limit, brief.wording) for limit in theme.limits}
    missing = four_to_rank(
        draw, (golds[0].says, golds[1].says), [limit.says for limit in limits[:k]], list(things)
    )
    names = tuple(draw.some("values", words.values, TO_RANK))
    order = draw.stream("parts")
    offers = []
    for name, lacks in zip(names, missing, strict=True):
        parts = [things[says] for says in order.shuffled(missing) if says != lacks]
        offers.append({"name": name, "parts": parts})
    context = {
        "limits": [
            {"who": person.say, "says": limit.says}
            for person, limit in zip(keys, told, strict=True)
        ]
    }
    templates = draw.balanced("evidence template", brief.forms(words))
    question = Question(
        family=brief.family,
        name="option",
        context={
            "asked": people[asked].model_dump(),
            "kinds": theme.kinds,
            "note": theme.note,
            "offers": offers,
        },
        gold=names[missing.index(golds[brief.variant == "B"].says)],
        candidates=names,
        needs=(0,),
        templates=brief.wording,
        rank_candidates=names,
        key_words=(people[asked].say,),
    )
    return Instance((templates.turn(draw, "mention", context),), (question,))


BUILDER = Builder(PreferenceWords, build)
