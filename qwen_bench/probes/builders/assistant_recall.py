"""The user and the assistant propose different values for the same two keys (assistant_recall).

Asked for the assistant's proposal. With one evidence turn the user states own values and asks, and
the reply proposes others; with two the assistant proposes first and the user decides later. So the
last value belongs to the assistant in one form and to the user in the other.

Twin: each value stays with its key but changes its speaker, and both statements take the keys in
the opposite order.
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
from qwen_bench.probes.seeded_draws import with_first_at

KEYS = 2


class Stages(Words):
    """Templates of the one-turn form and of the two turns of the other.

    The replies of `together` and `propose` hold the assistant's proposals, those of `choose` no
    value.
    """

    together: Templates
    propose: Templates
    choose: Templates


class ProposalWords(Words):
    """Words of one split."""

    entities: list[str]
    values: list[str]
    evidence: list[Stages]
    questions: list[str]
    only: str

    @property
    def answers(self) -> list[str]:
        """All values."""
        return self.values

    @property
    def keys(self) -> list[str]:
        """What values are proposed for."""
        return self.entities


def build(brief: Brief, words: ProposalWords) -> Instance:
    """Two values by each speaker; asked for the assistant's value of one key."""
    draw = brief.draw
    keys = pick(words.entities, draw.stream("entities").sample(len(words.entities), KEYS))
    values = pick(words.values, draw.stream("values").sample(len(words.values), 2 * KEYS))
    pairs = [values[:KEYS], values[KEYS:]]
    order = [0, 1]
    if brief.variant == "B":
        pairs.reverse()
        order.reverse()
    own, proposed = pairs
    context = {
        "own": [{"say": keys[key], "value": own[key]} for key in order],
        "proposed": [{"say": keys[key], "value": proposed[key]} for key in order],
    }
    stages = words.evidence[draw.level("evidence template", len(words.evidence))]
    used = (
        [("together", stages.together)]
        if brief.stages == 1
        else [("propose", stages.propose), ("choose", stages.choose)]
    )
    asked = draw.level("asked", KEYS)
    by_user_in_a, gold_in_a = values[asked], values[KEYS + asked]
    others = [value for value in values if value not in (gold_in_a, by_user_in_a)]
    return Instance(
        evidence=tuple(
            Evidence(templates.user, acknowledgement(draw, templates, stage), context)
            for stage, templates in used
        ),
        questions=(
            Question(
                family=brief.families[0],
                name="proposal",
                context={"asked": keys[asked]},
                gold=proposed[asked],
                candidates=tuple(
                    with_first_at(
                        [gold_in_a, by_user_in_a, *others], draw.level("gold place", 2 * KEYS)
                    )
                ),
                # In either form the first turn holds the whole proposal.
                needs=(0,),
                key_words=(keys[asked],),
            ),
        ),
    )


BUILDER = Builder(ProposalWords, build)
