"""Values bound to keys in one turn; asked for the value of one key (fact_recall).

Twin: the value list keeps its order, the keys rotate by one place, so the gold and its place in the
statement change. Distractors are the sibling bindings, one mention each.
"""

from __future__ import annotations

from qwen_bench.probes.instance import Brief, Builder, Instance, Names, Question, Templates, Words
from qwen_bench.probes.seeded_draws import rotated


class DescribedKey(Words):
    """A key: how the evidence says it and how a paraphrase asks for it."""

    say: str
    ask: str


class BindingQuestions(Words):
    """Question templates by wording: naming the key, or describing it without a shared word."""

    lexical: list[str]
    paraphrase: list[str]


class BindingWords(Words):
    """Words of one split."""

    entities: list[DescribedKey]
    values: Names
    evidence: list[Templates]
    questions: BindingQuestions
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
    entities = draw.some("entities", words.entities, k)
    values = draw.some("values", words.values.all, k)
    asked = draw.level("asked", k)
    keys = entities if brief.variant == "A" else rotated(entities, 1)
    bindings = [
        {"say": entity.say, "ask": entity.ask, "value": value}
        for entity, value in zip(keys, values, strict=True)
    ]
    wording = draw.balanced("wording", ("lexical", "paraphrase"))
    templates = draw.balanced("evidence template", words.evidence)
    evidence = templates.turn(draw, "state", {"bindings": bindings})
    question = Question(
        family=brief.family,
        name="value",
        context={"asked": entities[asked].model_dump()},
        gold=values[keys.index(entities[asked])],
        candidates=draw.listed(rotated(values, asked)),
        needs=(0,),
        wording=wording,
        key_words=(entities[asked].say,),
    )
    return Instance((evidence,), (question,))


BUILDER = Builder(BindingWords, build)
