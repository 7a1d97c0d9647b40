"""A follow-up inherits its predicate from an earlier question (ellipsis).

Two stops with two duties each; the user asks for one duty at one stop, later "and at the other?".
With three evidence turns a decoy asks the other predicate about another list, so "the last
predicate asked" fails. Twin: the cue question asks the other predicate.
"""

from __future__ import annotations

from qwen_bench.probes.instance import Brief, Builder, Instance, Names, Question, Templates, Words


class Thread(Words):
    """A named list; `back` is how a later question returns to it."""

    say: str
    back: str


class Role(Words):
    """A predicate: `does` states it, `who` asks for it."""

    does: str
    who: str


class EllipsisTurns(Words):
    """Templates of the list, the cue question and the decoy question."""

    list: Templates
    cue: Templates
    decoy: Templates


class EllipsisWords(Words):
    """Words of one split."""

    threads: list[Thread]
    cities: list[str]
    roles: list[Role]
    values: Names
    evidence: list[EllipsisTurns]
    questions: list[str]
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
    """A list of four values; asked for the one that city and inherited predicate name."""
    draw = brief.draw
    cities = draw.some("cities", words.cities, 2)
    roles = draw.some("roles", words.roles, 2)
    thread, other = (found.model_dump() for found in draw.some("threads", words.threads, 2))
    values = draw.some("values", words.values.all, 4)
    asked_city = draw.counted("asked city", 2)
    role_in_a = draw.counted("asked role", 2)
    role = role_in_a if brief.variant == "A" else 1 - role_in_a
    stops = [
        {
            "name": city,
            "duties": [{"value": values[2 * c + r], "does": roles[r].does} for r in (0, 1)],
        }
        for c, city in enumerate(cities)
    ]

    def value(city: int, of_role: int) -> str:
        return values[2 * city + of_role]

    cue = {
        "thread": thread,
        "role": roles[role].model_dump(),
        "city": cities[1 - asked_city],
        "answer": value(1 - asked_city, role),
    }
    decoy = {
        "role": roles[1 - role].model_dump(),
        "other": other,
        "thread": other,
        "city": cities[1 - asked_city],
    }
    turns = draw.balanced("evidence template", words.evidence)
    evidence = [
        turns.list.turn(draw, "list", {"thread": thread, "stops": stops}),
        turns.cue.turn(draw, "cue", cue),
    ]
    if brief.stages == 3:
        evidence.append(turns.decoy.turn(draw, "decoy", decoy))
    gold_a, gold_b = value(asked_city, role_in_a), value(asked_city, 1 - role_in_a)
    question = Question(
        family=brief.family,
        name="inherited",
        context={"thread": thread, "city": cities[asked_city]},
        gold=value(asked_city, role),
        candidates=draw.listed([gold_a, gold_b, *(v for v in values if v not in (gold_a, gold_b))]),
        needs=(0, 1),
        key_words=(cities[asked_city],),
    )
    return Instance(tuple(evidence), (question,))


BUILDER = Builder(EllipsisWords, build)
