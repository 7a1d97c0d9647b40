"""Simulated readers of known ability and memory, and what is said of them.

Logit P(right) next to the evidence = 1 + ability + cluster N(0, 1) + cluster and model N(0, 0.7^2)
+ question N(0, 1); behind a history what the model forgets is taken off, more in some clusters than
in others. Every question is asked once next to the evidence and behind two histories.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qwen_bench.stats.ability_memory import decompose, direction
from qwen_bench.stats.bootstrap import Resampler, child_generator
from qwen_bench.stats.clusters import RowIndex
from qwen_bench.stats.controls import Controls
from tools.calibration.clustered import (
    AT_ONCE,
    INTERCEPT,
    OWN,
    even_layout,
    logistic_mean,
    own_controls,
    sigmoid,
)
from tools.calibration.counting import Demand, Finding, Share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qwen_bench.stats.arrays import Bools, Ints
    from qwen_bench.stats.results import Decomposition, Part
    from tools.calibration.sizes import Size

ALPHA = 0.05
MOST = ALPHA + 0.01
LEAST = 0.95
CLUSTERS = (12, 20, 60, 100)
PLANTED = 60
QUESTIONS, HISTORIES = 10, 2


@dataclass(frozen=True, slots=True)
class Reader:
    """A simulated model.

    Attributes:
        ability: added to its logit everywhere.
        forgets: taken off its logit behind a history.
        uneven: standard deviation over clusters of what it forgets.
    """

    ability: float = 0.0
    forgets: float = 0.0
    uneven: float = 0.0

    @property
    def adjacent(self) -> float:
        """True accuracy next to the evidence."""
        return logistic_mean(INTERCEPT + self.ability, (2.0 + OWN**2) ** 0.5)

    @property
    def main(self) -> float:
        """True accuracy behind a history."""
        deviation = (2.0 + OWN**2 + self.uneven**2) ** 0.5
        return logistic_mean(INTERCEPT + self.ability - self.forgets, deviation)


WHOLE = Reader()
FORGETFUL = Reader(forgets=0.8, uneven=0.5)
# Pairs without a change of memory, and pairs with a planted loss.
UNCHANGED = {
    "equal models that forget": (FORGETFUL, FORGETFUL),
    "nothing forgotten, other ability": (WHOLE, Reader(ability=-0.8)),
}
FORGETTING = (WHOLE, Reader(forgets=1.2, uneven=0.5))
INCOMPETENCE = (WHOLE, Reader(ability=-1.2))
MIXED = (Reader(forgets=0.4, uneven=0.5), Reader(ability=-0.4, forgets=0.8, uneven=0.5))


@dataclass(frozen=True, slots=True)
class Questions:
    """The rows of a run: of every cluster its controls, then its main rows.

    Attributes:
        index: clusters and families as numbers.
        controls: the adjacent row of every main row.
        main: (rows,) mask.
        question: (rows,) number of the question over all clusters.
    """

    index: RowIndex
    controls: Controls
    main: Bools
    question: Ints


def questions(clusters: int) -> Questions:
    """The rows of a run of so many clusters."""
    each = QUESTIONS * (1 + HISTORIES)
    places = np.tile(np.arange(each), clusters)
    starts = np.repeat(np.arange(clusters) * each, each)
    main = places >= QUESTIONS
    asked = places % QUESTIONS
    return Questions(
        index=even_layout(clusters, each).index,
        controls=own_controls(np.where(main, starts + asked, -1)),
        main=main,
        question=np.repeat(np.arange(clusters) * QUESTIONS, each) + asked,
    )


def simulated(
    asked: Questions, readers: tuple[Reader, Reader], tries: int, generator: np.random.Generator
) -> Iterator[tuple[Ints, Ints]]:
    """Answers of two models.

    Args:
        asked: the rows.
        readers: baseline and candidate.
        tries: number of comparisons.
        generator: source of randomness.

    Yields:
        Baseline and candidate, (rows,) each.
    """
    cluster = asked.index.cluster
    clusters, numbers = int(cluster.max()) + 1, int(asked.question.max()) + 1
    for start in range(0, tries, AT_ONCE):
        count = min(AT_ONCE, tries - start)
        common = INTERCEPT + generator.normal(size=(count, clusters))[:, cluster]
        common += generator.normal(size=(count, numbers))[:, asked.question]
        sides = []
        for reader in readers:
            own = generator.normal(scale=OWN, size=(count, clusters))[:, cluster]
            lost = reader.forgets + reader.uneven * generator.normal(size=(count, clusters))
            chance = sigmoid(common + own + reader.ability - asked.main * lost[:, cluster])
            sides.append((generator.random(chance.shape) < chance).astype(np.int64))
        yield from zip(*sides, strict=True)


def decompositions(
    clusters: int, readers: tuple[Reader, Reader], tries: int, size: Size, seed: int
) -> Iterator[Decomposition]:
    """Ability and memory of simulated comparisons; all of them use the same resamples."""
    asked = questions(clusters)
    generator = child_generator(seed, "memory", clusters, repr(readers))
    resampler = Resampler(seed, size.replicates)
    for sides in simulated(asked, readers, tries, generator):
        found = decompose(asked.index, asked.controls, sides, asked.main, resampler)
        if found is not None:
            yield found


def truths(readers: tuple[Reader, Reader]) -> tuple[float, float]:
    """True ability and memory part of the difference."""
    base, candidate = readers
    ability = candidate.adjacent - base.adjacent
    return ability, candidate.main - base.main - ability


def ability_and_memory(size: Size, seed: int) -> list[Finding]:
    """False alarms of a change of memory, and what is said of planted losses.

    Args:
        size: how much.
        seed: of everything random.
    """
    found = []
    tries = size.equal // 2
    for name, readers in UNCHANGED.items():
        for clusters in CLUSTERS:
            drawn = decompositions(clusters, readers, tries, size, seed)
            alarms = sum(direction(one.memory, ALPHA) != 0 for one in drawn)
            title = f"{name}: memory called changed"
            found.append(Finding(title, clusters, Share(alarms, tries), Demand(most=MOST)))
    for name, readers, part in (
        ("planted forgetting, called memory", FORGETTING, "memory"),
        ("planted incompetence, called ability", INCOMPETENCE, "ability"),
    ):
        drawn = decompositions(PLANTED, readers, tries, size, seed)
        hits = sum(_called(one) == part for one in drawn)
        ability, memory = truths(readers)
        note = f"true ability {100 * ability:+.1f}, memory {100 * memory:+.1f} points"
        demand = Demand(least=LEAST)
        found.append(Finding(name, PLANTED, Share(hits, tries), demand, note))
    return found


def _called(found: Decomposition) -> str:
    """Which part a loss is: the larger one, if it is significant."""
    name, part = min(_parts(found).items(), key=lambda item: item[1].value)
    return name if direction(part, ALPHA) < 0 else "neither"


def _parts(found: Decomposition) -> dict[str, Part]:
    """Both parts by name."""
    return {"ability": found.ability, "memory": found.memory}
