"""The assistant drafts versions of something on request; asked for the title of one (own_output).

A version is a title, a look and an emblem, and none is numbered. The question means one by its
place ("your second version") or, as a paraphrase, by its look or its emblem in other words. The
level is the number of versions.

Twin: the titles rotate by one place, looks and emblems stay, so the version has the next title.
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
from qwen_bench.probes.seeded_draws import rotated


class DraftWords(Valued):
    """Words of one split; the values are titles, and the replies to the evidence hold them.

    Attributes:
        tasks: what drafts are wanted for.
        counts: how many are wanted, by level, as the request says it.
        ordinals: of the versions, as questions say them.
        looks: one trait of a version, as the reply says it and as a paraphrase asks for it.
        emblems: the other trait.
    """

    tasks: list[DescribedKey]
    counts: list[str]
    ordinals: list[str]
    looks: list[DescribedKey]
    emblems: list[DescribedKey]
    evidence: list[Templates]
    pasted: list[Templates] = Field(default=[])
    questions: Wordings
    only: str

    @property
    def keys(self) -> list[str]:
        """What drafts are wanted for."""
        return [task.say for task in self.tasks]


def build(brief: Brief, words: DraftWords) -> Instance:
    """One request with the versions as its reply, and one question."""
    draw, k = brief.draw, brief.load
    task = draw.one("task", words.tasks)
    in_a = draw.some("values", words.values, k)
    in_b = rotated(in_a, 1)
    titles = in_a if brief.variant == "A" else in_b
    traits = (draw.some("looks", words.looks, k), draw.some("emblems", words.emblems, k))
    place = draw.counted("version", k)
    mark = draw.balanced("trait", traits)[place].ask
    told = {
        "task": task.say,
        "count": words.counts[brief.level - 1],
        "drafts": [
            {"title": title, "look": look.say, "emblem": emblem.say}
            for title, look, emblem in zip(titles, *traits, strict=True)
        ],
    }
    templates = draw.balanced("evidence template", brief.forms(words))
    ranked = four_to_rank(draw, (in_a[place], in_b[place]), in_a, words.values)
    question = Question(
        family=brief.family,
        name="title",
        context={"task": task.model_dump(), "ordinal": words.ordinals[place], "mark": mark},
        gold=titles[place],
        candidates=tuple(dict.fromkeys((*in_a, *ranked))),
        needs=(0,),
        templates=brief.wording,
        rank_candidates=ranked,
        key_words=(task.say,),
    )
    return Instance((templates.turn(draw, "request", told),), (question,))


BUILDER = Builder(DraftWords, build)
