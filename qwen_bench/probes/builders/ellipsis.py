"""A follow-up inherits its predicate from an earlier question (ellipsis).

Two stops with two duties each; the user asks for one duty at one stop, later "and at the other?".
With three evidence turns a decoy asks the other predicate about another list, so "the last
predicate asked" fails. Twin: the cue question asks the other predicate.
"""

from __future__ import annotations

from qwen_bench.probes.builders.fact_recall import Names
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


class Thread(Words):
    """A named list; `back` is how a later question returns to it."""

    say: str
    back: str


class Role(Words):
    """A predicate: `does` states it, `who` asks for it."""

    does: str
    who: str


class Stages(Words):
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
    evidence: list[Stages]
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
    cities = pick(words.cities, draw.stream("cities").sample(len(words.cities), 2))
    roles = pick(words.roles, draw.stream("roles").sample(len(words.roles), 2))
    thread, other = pick(words.threads, draw.stream("threads").sample(len(words.threads), 2))
    values = pick(words.values.all, draw.stream("values").sample(len(words.values.all), 4))
    asked_city = draw.level("asked city", 2)
    role_in_a = draw.level("asked role", 2)
    role = role_in_a if brief.variant == "A" else 1 - role_in_a
    stops = [
        {
            "name": city,
            "duties": [{"value": values[2 * c + r], "does": roles[r].does} for r in (0, 1)],
        }
        for c, city in enumerate(cities)
    ]

    def value(city: int, of_role: int) -> str:
        return str(values[2 * city + of_role])

    both = {"thread": {"say": thread.say, "back": thread.back}}
    stages = words.evidence[draw.level("evidence template", len(words.evidence))]
    turns = [
        Evidence(
            stages.list.user, acknowledgement(draw, stages.list, "list"), {**both, "stops": stops}
        ),
        Evidence(
            stages.cue.user,
            acknowledgement(draw, stages.cue, "cue"),
            {
                **both,
                "role": {"does": roles[role].does, "who": roles[role].who},
                "city": cities[1 - asked_city],
                "answer": value(1 - asked_city, role),
            },
        ),
    ]
    if brief.stages == 3:
        decoy = roles[1 - role]
        turns.append(
            Evidence(
                stages.decoy.user,
                acknowledgement(draw, stages.decoy, "decoy"),
                {
                    "role": {"does": decoy.does, "who": decoy.who},
                    "other": {"say": other.say, "back": other.back},
                    "thread": {"say": other.say, "back": other.back},
                    "city": cities[1 - asked_city],
                },
            )
        )
    gold_a, gold_b = value(asked_city, role_in_a), value(asked_city, 1 - role_in_a)
    listed = [gold_a, gold_b, *(v for v in values if v not in (gold_a, gold_b))]
    return Instance(
        evidence=tuple(turns),
        questions=(
            Question(
                family=brief.families[0],
                name="inherited",
                context={**both, "city": cities[asked_city]},
                gold=value(asked_city, role),
                candidates=tuple(with_first_at(listed, draw.level("gold place", 4))),
                needs=(0, 1),
                key_words=(cities[asked_city],),
            ),
        ),
    )


BUILDER = Builder(EllipsisWords, build)
