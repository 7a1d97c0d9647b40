"""Values bound to keys, the asked one perhaps never stated (abstention).

The level is the number of bindings. Beside them stands one neutral fact about another key. In
variant A the asked key has a value; in B it changes places with the key of the neutral fact, and
the right answer is that it was never said. So both variants hold the same values, and an absent
key, or a fact without a value, is no cue.
"""

from __future__ import annotations

from pydantic import Field

from qwen_bench.probes.instance import (
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


class NeutralKey(Words):
    """A key, how a paraphrase asks for it (lures: never), and a neutral fact about it."""

    say: str
    ask: str = ""
    neutral: str


class AbstentionWords(Valued):
    """Words of one split; `abstain` is the fixed phrase the question asks for."""

    entities: list[NeutralKey]
    evidence: list[Templates]
    pasted: list[Templates] = Field(default=[])
    questions: Wordings
    only: str
    abstain: str

    @property
    def keys(self) -> list[str]:
        """Who values are bound to."""
        return [entity.say for entity in self.entities]


def build(brief: Brief, words: AbstentionWords) -> Instance:
    """Bindings and a neutral fact; asked for a key whose value was stated (A) or not (B)."""
    draw, k = brief.draw, brief.load
    entities = draw.some("entities", words.entities, k + 1)
    values = draw.some("values", words.values, k)
    asked, bare = draw.counted("asked", k), k
    stated = brief.variant == "A"
    keys = [*entities]
    if not stated:
        keys[asked], keys[bare] = keys[bare], keys[asked]
    news = [
        {"say": key.say, "value": value, "neutral": ""}
        for key, value in zip(keys, values, strict=False)
    ]
    fact = {"say": keys[bare].say, "value": "", "neutral": keys[bare].neutral}
    news.insert(draw.counted("neutral place", k + 1), fact)
    templates = draw.balanced("evidence template", brief.forms(words))
    golds = (values[asked], words.abstain)
    ranked = four_to_rank(draw, golds, values, words.values)
    question = Question(
        family=brief.family,
        name="value",
        context={"asked": entities[asked].model_dump()},
        gold=golds[0] if stated else golds[1],
        candidates=tuple(dict.fromkeys((*values, *(c for c in ranked if c != words.abstain)))),
        needs=(0,),
        abstain_phrase=words.abstain,
        gold_abstains=not stated,
        templates=brief.wording,
        rank_candidates=ranked,
        key_words=(entities[asked].say,),
    )
    return Instance((templates.turn(draw, "state", {"news": news}),), (question,))


BUILDER = Builder(AbstentionWords, build)
