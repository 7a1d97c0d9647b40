"""Values bound to keys in one turn; asked for the value of one key (fact_recall).

Twin: the value list keeps its order, the keys rotate by one place, so the gold and its place in the
statement change. Distractors are the sibling bindings, one mention each.
"""

from __future__ import annotations

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
from qwen_bench.probes.seeded_draws import rotated, with_first_at


class Entity(Words):
    """A key: how the evidence says it and how a paraphrase asks for it."""

    say: str
    ask: str


class Names(Words):
    """Given names by grammatical gender."""

    f: list[str]
    m: list[str]

    @property
    def all(self) -> list[str]:
        """Both halves."""
        return [*self.f, *self.m]


class Questions(Words):
    """Question templates by wording: naming the key, or describing it without a shared word."""

    lexical: list[str]
    paraphrase: list[str]


class BindingWords(Words):
    """Words of one split."""

    entities: list[Entity]
    values: Names
    evidence: list[Templates]
    questions: Questions
    only: str

    @property
    def answers(self) -> list[str]:
        """All names."""
        return self.values.all

    @property
    def keys(self) -> list[str]:
        """The places names are bound to."""
        return [entity.say for entity in self.entities]


def build(brief: Brief, words: BindingWords) -> Instance:
    """One list of k bindings and one question."""
    draw, k = brief.draw, int(brief.params.get("k", 4))
    entities = pick(words.entities, draw.stream("entities").sample(len(words.entities), k))
    values = pick(words.values.all, draw.stream("values").sample(len(words.values.all), k))
    asked = draw.level("asked", k)
    keys = entities if brief.variant == "A" else rotated(entities, 1)
    bindings = [
        {"say": entity.say, "ask": entity.ask, "value": value}
        for entity, value in zip(keys, values, strict=True)
    ]
    gold = values[keys.index(entities[asked])]
    wording = ("lexical", "paraphrase")[draw.level("wording", 2)]
    templates = words.evidence[draw.level("evidence template", len(words.evidence))]
    return Instance(
        evidence=(
            Evidence(
                templates.user, acknowledgement(draw, templates, "state"), {"bindings": bindings}
            ),
        ),
        questions=(
            Question(
                family=brief.families[0],
                name="value",
                context={"asked": {"say": entities[asked].say, "ask": entities[asked].ask}},
                gold=gold,
                candidates=tuple(
                    with_first_at(rotated(values, asked), draw.level("gold place", k))
                ),
                needs=(0,),
                wording=wording,
                key_words=(entities[asked].say,),
            ),
        ),
    )


BUILDER = Builder(BindingWords, build)
