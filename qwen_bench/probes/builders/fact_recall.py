"""Values bound to keys in one turn; asked for the value of one key (fact_recall).

The level is the number of bindings. With one, variant B binds another value to the same key; with
several the value list keeps its order and the keys rotate by one place. Either way the gold changes
and the question does not. Distractors are the sibling bindings, one mention each.
"""

from __future__ import annotations

from pydantic import Field

from qwen_bench.probes.instance import (
    Brief,
    Builder,
    Instance,
    Names,
    Question,
    Templates,
    Wordings,
    Words,
    four_to_rank,
)
from qwen_bench.probes.seeded_draws import rotated


class DescribedKey(Words):
    """A key: how the evidence says it and how a paraphrase asks for it (lures: never)."""

    say: str
    ask: str = ""


class BindingWords(Words):
    """Words of one split; `pasted` are the forms of the two highest levels, as lists."""

    entities: list[DescribedKey]
    values: Names
    evidence: list[Templates]
    pasted: list[Templates] = Field(default=[])
    questions: Wordings
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
    """One list of bindings and one question."""
    draw, k = brief.draw, brief.load
    entities = draw.some("entities", words.entities, k)
    drawn = draw.some("values", words.values.all, k + 1)
    asked = draw.counted("asked", k)
    keys = entities if brief.variant == "A" else rotated(entities, 1)
    values = drawn[:k] if k > 1 else [drawn[brief.variant == "B"]]
    bindings = [
        {"say": entity.say, "ask": entity.ask, "value": value}
        for entity, value in zip(keys, values, strict=True)
    ]
    in_a, in_b = (drawn[asked], drawn[(asked - 1) % k] if k > 1 else drawn[1])
    forms = brief.forms(words)
    templates = draw.balanced("evidence template", forms)
    ranked = four_to_rank(draw, (in_a, in_b), drawn[:k], words.values.all)
    question = Question(
        family=brief.family,
        name="value",
        context={"asked": entities[asked].model_dump()},
        gold=in_a if brief.variant == "A" else in_b,
        candidates=tuple(dict.fromkeys((*drawn[:k], *ranked))),
        needs=(0,),
        templates=brief.wording,
        rank_candidates=ranked,
        key_words=(entities[asked].say,),
    )
    return Instance((templates.turn(draw, "state", {"bindings": bindings}),), (question,))


BUILDER = Builder(BindingWords, build)
