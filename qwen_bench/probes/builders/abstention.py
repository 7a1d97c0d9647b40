"""Values bound to keys, one of them perhaps never stated (abstention).

Variant A states four bindings; variant B states three, and a neutral fact about the asked key, so
that an absent key is no cue. Asking B, the right answer is that it was never said.
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
    """A key and a neutral fact about it."""

    say: str
    neutral: str


class AbstentionWords(Words):
    """Words of one split; `abstain` is the fixed phrase the question asks for."""

    entities: list[Entity]
    values: list[str]
    evidence: list[Templates]
    questions: list[str]
    only: str
    abstain: str

    @property
    def answers(self) -> list[str]:
        """The values; the abstain phrase is no value."""
        return self.values

    @property
    def keys(self) -> list[str]:
        """Who values are bound to."""
        return [entity.say for entity in self.entities]


def build(brief: Brief, words: AbstentionWords) -> Instance:
    """One list of bindings; asked for a key whose value was stated (A) or not (B)."""
    draw, k = brief.draw, int(brief.params.get("k", 4))
    entities = pick(words.entities, draw.stream("entities").sample(len(words.entities), k))
    values = pick(words.values, draw.stream("values").sample(len(words.values), k))
    asked = draw.level("asked", k)
    stated = brief.variant == "A"
    bindings = [
        {"say": entity.say, "value": value}
        for i, (entity, value) in enumerate(zip(entities, values, strict=True))
        if stated or i != asked
    ]
    neutral = None if stated else {"say": entities[asked].say, "neutral": entities[asked].neutral}
    templates = words.evidence[draw.level("evidence template", len(words.evidence))]
    return Instance(
        evidence=(
            Evidence(
                templates.user,
                acknowledgement(draw, templates, "state"),
                {"bindings": bindings, "neutral": neutral},
            ),
        ),
        questions=(
            Question(
                family=brief.families[0],
                name="value",
                context={"asked": {"say": entities[asked].say}},
                gold=values[asked] if stated else words.abstain,
                candidates=tuple(
                    with_first_at(rotated(values, asked), draw.level("gold place", k))
                ),
                needs=(0,),
                abstain_phrase=words.abstain,
                gold_abstains=not stated,
                key_words=(entities[asked].say,),
            ),
        ),
    )


BUILDER = Builder(AbstentionWords, build)
