"""The user and the assistant propose different values for the same keys (assistant_recall).

In one turn the user states own values and asks, and the reply proposes others. Asked for the
assistant's proposal for one key. The level is the number of keys, so of proposals of each side.

Twin: each value stays with its key but changes its speaker, and both statements take the keys in
the opposite order.
"""

from __future__ import annotations

from pydantic import Field

from qwen_bench.probes.builders.fact_recall import DescribedKey
from qwen_bench.probes.instance import (
    Brief,
    Builder,
    Instance,
    Question,
    Templates,
    Valued,
    Wordings,
    four_to_rank,
)


class ProposalWords(Valued):
    """Words of one split; the replies to `evidence` and `pasted` hold the assistant's proposals."""

    entities: list[DescribedKey]
    evidence: list[Templates]
    pasted: list[Templates] = Field(default=[])
    questions: Wordings
    only: str

    @property
    def keys(self) -> list[str]:
        """What values are proposed for."""
        return [entity.say for entity in self.entities]


def build(brief: Brief, words: ProposalWords) -> Instance:
    """As many values by each speaker; asked for the assistant's value of one key."""
    draw, k = brief.draw, brief.load
    keys = draw.some("entities", words.entities, k)
    values = draw.some("values", words.values, 2 * k)
    asked = draw.counted("asked", k)
    first, second = values[:k], values[k:]
    golds = (second[asked], first[asked])
    in_a = brief.variant == "A"
    own, proposed = (first, second) if in_a else (second, first)
    order = range(k) if in_a else range(k - 1, -1, -1)
    context = {
        "own": [{"say": keys[i].say, "value": own[i]} for i in order],
        "proposed": [{"say": keys[i].say, "value": proposed[i]} for i in order],
    }
    templates = draw.balanced("evidence template", brief.forms(words))
    ranked = four_to_rank(draw, golds, values, words.values)
    question = Question(
        family=brief.family,
        name="proposal",
        context={"asked": keys[asked].model_dump()},
        gold=proposed[asked],
        candidates=tuple(dict.fromkeys((*values, *ranked))),
        needs=(0,),
        templates=brief.wording,
        rank_candidates=ranked,
        key_words=(keys[asked].say,),
    )
    return Instance((templates.turn(draw, "propose", context),), (question,))


BUILDER = Builder(ProposalWords, build)
