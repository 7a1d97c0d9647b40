"""Control rows, and which of them each probe is held against.

The controls of a probe ask its question with the evidence alone directly before it (adjacent), or
without any history (blind). Accuracy over them is ability and guessing at exactly the questions of
a slice: the same instances, each as often as the slice asks it. So a model that forgets nothing is
seen to forget nothing in every slice, whatever it finds easy and whatever the slice is made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from qwen_bench.record.outcome import Outcome
    from qwen_bench.stats.arrays import Bools, Floats, Ints

_NONE = -1


@dataclass(frozen=True, slots=True)
class Controls:
    """The control rows of one condition.

    A main row without a control of its own (a suite that asks fewer, a selection) is held against
    the mean over the controls of its group: of its family, level, wording and language, and where
    that has none, of its family.

    Attributes:
        own: (rows,) place of the control of the same instance; -1 without one.
        group: (rows,) number of the group that stands in for it; -1 without one.
        members: numbers of the groups that a row is a control of, (rows,) for the groups of both
            sizes; -1 for rows that are none.
        sizes: (groups,) number of controls.
    """

    own: Ints
    group: Ints
    members: tuple[Ints, Ints]
    sizes: Ints

    def cover(self, chosen: Bools) -> bool:
        """Whether every chosen main row has something to be held against."""
        return bool(((self.own[chosen] != _NONE) | (self.group[chosen] != _NONE)).all())

    def standing_for(self, chosen: Bools) -> tuple[Ints, Floats]:
        """The controls that stand for some main rows.

        Args:
            chosen: (rows,) mask.

        Returns:
            Their places and how often each counts; a place may be repeated. The weights sum to the
            number of chosen main rows that have something to be held against.
        """
        places = self.own[chosen]
        lacking = self.group[chosen][places == _NONE]
        places = places[places != _NONE]
        weights = np.ones(len(places))
        lacking = lacking[lacking != _NONE]
        if not len(lacking):
            return places, weights
        share = np.bincount(lacking, minlength=len(self.sizes)) / self.sizes
        others = [np.flatnonzero(members != _NONE) for members in self.members]
        shares = [
            share[members[found]] for members, found in zip(self.members, others, strict=True)
        ]
        return np.concatenate([places, *others]), np.concatenate([weights, *shares])

    def weights(self, chosen: Bools) -> Floats:
        """(rows,) how often each control counts for the chosen main rows."""
        places, weights = self.standing_for(chosen)
        found = np.bincount(places, weights=weights, minlength=len(chosen))
        return np.asarray(found, dtype=np.float64)


def match_controls(rows: Sequence[Outcome]) -> tuple[Controls, Controls]:
    """Find the adjacent and the blind controls of every main row.

    Args:
        rows: of one scorer, one per probe; of all conditions.
    """
    # A probe shares all of its id but length and condition with its controls.
    instances = [row.probe_id.rsplit("/", 2)[0] for row in rows]
    strata = [(row.family, row.level, row.wording, row.lang) for row in rows]
    families = [row.family for row in rows]
    main = [place for place, row in enumerate(rows) if row.condition == "main"]

    def matched(condition: str) -> Controls:
        places = {instances[i]: i for i, row in enumerate(rows) if row.condition == condition}
        groups: dict[Hashable, int] = {}
        own, group, small, large = (np.full(len(rows), _NONE, dtype=np.int64) for _ in range(4))
        for place in places.values():
            small[place] = groups.setdefault(strata[place], len(groups))
            large[place] = groups.setdefault(families[place], len(groups))
        own[main] = [places.get(instances[place], _NONE) for place in main]
        group[main] = [
            groups.get(strata[place], groups.get(families[place], _NONE)) for place in main
        ]
        members = np.concatenate([small, large])
        sizes = np.bincount(members[members != _NONE], minlength=len(groups))
        return Controls(own, group, (small, large), sizes)

    return matched("adjacent"), matched("blind")
