"""A follow-up inherits its predicate from an earlier question (ellipsis).

The first turn is a list: two stops, and who has which duty at each. In the second the user asks for
one duty at one stop. The level is the number of questions asked at once: the others are about
other lists, each with a duty of its own, and at least one of them comes later, so that the last
predicate asked is the wrong one. The follow-up names the list and the other stop. Twin: two
predicates change places, so the question about the list asks another one.
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

STOPS = 2
LEAST_DUTIES = 2


class Thread(Words):
    """What a list is for.

    Attributes:
        back: how a later question returns to the list.
        ask: describes it without a shared word; lures, never asked about, have none.
    """

    say: str
    back: str
    ask: str = ""


class Role(Words):
    """A predicate: `does` states it, `who` asks for it."""

    does: str
    who: str


class EllipsisWords(Words):
    """Words of one split.

    Attributes:
        evidence: the list as it is told, and `pasted` at the two highest levels.
        cues: the questions asked at once, with the answer to the one that can be answered.
    """

    threads: list[Thread]
    cities: list[str]
    roles: list[Role]
    values: Names
    evidence: list[Templates]
    pasted: list[Templates] = Field(default=[])
    cues: list[Templates]
    questions: Wordings
    only: str

    @property
    def answers(self) -> list[str]:
        """All names."""
        return self.values.all

    @property
    def keys(self) -> list[str]:
        """Threads and cities."""
        return [*(thread.say for thread in self.threads), *self.cities]


def build(brief: Brief, words: EllipsisWords) -> Instance:
    """A list of values; asked for the one that the other stop and the inherited duty name."""
    draw, asks = brief.draw, brief.load
    n = max(asks, LEAST_DUTIES)
    cities = draw.some("cities", words.cities, STOPS)
    roles = draw.some("roles", words.roles, n)
    values = draw.some("values", words.values.all, STOPS * n)
    threads = [found.model_dump() for found in draw.some("threads", words.threads, asks)]
    asked = draw.counted("asked city", STOPS)
    at_asked, at_other = values[asked * n :][:n], values[(1 - asked) * n :][:n]
    in_a = draw.counted("asked role", n)
    in_b = (in_a + 1 + draw.counted("other role", n - 1)) % n
    role, left = (in_a, in_b) if brief.variant == "A" else (in_b, in_a)
    others = draw.stream("other roles").shuffled([r for r in range(n) if r != in_a])
    about_others = [left if r == in_b else r for r in others][: asks - 1]
    questions = [
        {"thread": thread, "who": roles[r].who, "city": ""}
        for thread, r in zip(threads[1:], about_others, strict=True)
    ]
    cue = {"thread": threads[0], "who": roles[role].who, "city": cities[1 - asked]}
    # Never the last of several, so that the last duty asked about is the wrong one.
    questions.insert(draw.counted("cue place", max(asks - 1, 1)), cue)
    stops = [
        {
            "name": city,
            "duties": [
                {"value": values[i * n + r], "does": duty.does} for r, duty in enumerate(roles)
            ],
        }
        for i, city in enumerate(cities)
    ]
    rows = [
        {"does": duty.does, "names": [values[i * n + r] for i in range(STOPS)]}
        for r, duty in enumerate(roles)
    ]
    forms = brief.forms(words)
    listed = draw.balanced("evidence template", forms)
    asking = draw.balanced("cue template", words.cues)
    answer = {"asks": questions, "city": cities[1 - asked], "answer": at_other[role]}
    evidence = (
        listed.turn(draw, "list", {"thread": threads[0], "stops": stops, "rows": rows}),
        asking.turn(draw, "cue", answer),
    )
    golds = (at_asked[in_a], at_asked[in_b])
    ranked = four_to_rank(draw, golds, at_asked, at_other)
    question = Question(
        family=brief.family,
        name="inherited",
        context={"thread": threads[0], "city": cities[asked]},
        gold=at_asked[role],
        candidates=tuple(dict.fromkeys((*ranked, *values))),
        needs=(0, 1),
        templates=brief.wording,
        rank_candidates=ranked,
        key_words=(cities[asked],),
    )
    return Instance(evidence, (question,))


BUILDER = Builder(EllipsisWords, build)
