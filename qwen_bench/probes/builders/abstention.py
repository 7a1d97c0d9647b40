"""Values bound to keys, one of them perhaps never stated (abstention).

Variant A states four bindings; variant B states three, and a neutral fact about the asked key, so
that an absent key is no cue. Asking B, the right answer is that it was never said.
"""

from __future__ import annotations

from qwen_bench.probes.instance import Brief, Builder, Instance, Question, Templates, Valued, Words
from qwen_bench.probes.seeded_draws import rotated


class NeutralKey(Words):
    """A key and a neutral fact about it."""

    say: str
    neutral: str


class AbstentionWords(Valued):
    """Words of one split; `abstain` is the fixed phrase the question asks for."""

    entities: list[NeutralKey]
    evidence: list[Templates]
    questions: list[str]
    only: str
    abstain: str

    @property
    def keys(self) -> list[str]:
        """Who values are bound to."""
        return [entity.say for entity in self.entities]


def build(brief: Brief, words: AbstentionWords) -> Instance:
    """One list of bindings; asked for a key whose value was stated (A) or not (B)."""
    draw, k = brief.draw, int(brief.params.get("k", 4))
    entities = draw.some("entities", words.entities, k)
    values = draw.some("values", words.values, k)
    asked = draw.counted("asked", k)
    stated = brief.variant == "A"
    bindings = [
        {"say": entity.say, "value": value}
        for i, (entity, value) in enumerate(zip(entities, values, strict=True))
        if stated or i != asked
    ]
    context = {"bindings": bindings, "neutral": None if stated else entities[asked].model_dump()}
    templates = draw.balanced("evidence template", words.evidence)
    evidence = templates.turn(draw, "state", context)
    question = Question(
        family=brief.family,
        name="value",
        context={"asked": {"say": entities[asked].say}},
        gold=values[asked] if stated else words.abstain,
        candidates=draw.listed(rotated(values, asked)),
        needs=(0,),
        abstain_phrase=words.abstain,
        gold_abstains=not stated,
        key_words=(entities[asked].say,),
    )
    return Instance((evidence,), (question,))


BUILDER = Builder(AbstentionWords, build)
