"""The user and the assistant propose different values for the same two keys (assistant_recall).

Asked for the assistant's proposal. With one evidence turn the user states own values and asks, and
the reply proposes others; with two the assistant proposes first and the user decides later. So the
last value belongs to the assistant in one form and to the user in the other.

Twin: each value stays with its key but changes its speaker, and both statements take the keys in
the opposite order.
"""

from __future__ import annotations

from qwen_bench.probes.instance import Brief, Builder, Instance, Question, Templates, Valued, Words

KEYS = 2


class ProposalTurns(Words):
    """Templates of the one-turn form and of the two turns of the other.

    The replies of `together` and `propose` hold the assistant's proposals, those of `choose` no
    value.
    """

    together: Templates
    propose: Templates
    choose: Templates


class ProposalWords(Valued):
    """Words of one split."""

    entities: list[str]
    evidence: list[ProposalTurns]
    questions: list[str]
    only: str

    @property
    def keys(self) -> list[str]:
        """What values are proposed for."""
        return self.entities


def build(brief: Brief, words: ProposalWords) -> Instance:
    """Two values by each speaker; asked for the assistant's value of one key."""
    draw = brief.draw
    keys = draw.some("entities", words.entities, KEYS)
    values = draw.some("values", words.values, 2 * KEYS)
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
    turns = draw.balanced("evidence template", words.evidence)
    asked = draw.counted("asked", KEYS)
    by_user_in_a, gold_in_a = values[asked], values[KEYS + asked]
    others = [value for value in values if value not in (gold_in_a, by_user_in_a)]
    if brief.stages == 1:
        evidence = [turns.together.turn(draw, "together", context)]
    else:
        proposing = turns.propose.turn(draw, "propose", context)
        evidence = [proposing, turns.choose.turn(draw, "choose", context)]
    question = Question(
        family=brief.family,
        name="proposal",
        context={"asked": keys[asked]},
        gold=proposed[asked],
        candidates=draw.listed([gold_in_a, by_user_in_a, *others]),
        # In either form the first turn holds the whole proposal.
        needs=(0,),
        key_words=(keys[asked],),
    )
    return Instance(tuple(evidence), (question,))


BUILDER = Builder(ProposalWords, build)
