"""Turn plans: which turns of a dialogue an instance may use.

The plan is drawn for 64 turns whatever the longest history asked for, so histories nest. Ten slots
own disjoint intervals of the programme `mixed`; ten consecutive skeletons form a rotation, in which
every family group visits every slot once, so position is never confounded with family.
"""

from __future__ import annotations

from typing import NamedTuple

from qwen_bench.probes.draws import Draw

MAX_TURNS = 64


class Slot(NamedTuple):
    """An interval of turns, both ends included, counted from 1."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """Number of turns."""
        return self.last - self.first + 1


MIXED_SLOTS = tuple(
    Slot(*ends)
    for ends in (
        (1, 2),
        (3, 4),
        (5, 8),
        (9, 12),
        (13, 16),
        (17, 24),
        (25, 32),
        (33, 42),
        (43, 54),
        (55, 64),
    )
)

# Order of the instance groups in `mixed`; the name of a group is its evidence family. Groups whose
# family is not in tasks/ leave their slot to filler, so families can join without moving others.
MIXED_GROUPS = (
    "fact_recall",
    "assistant_recall",
    "update_latest",
    "pronoun",
    "ellipsis",
    "ordinal_ref",
    "alias_chain",
    "state_tracking",
    "temporal_order",
    "abstention",
)
ROTATION = len(MIXED_SLOTS)
ROOMY_SLOT = 4


def slot_of(group: int, skeleton: int) -> int:
    """Slot that skeleton `skeleton` gives the group of index `group`: (group + skeleton) mod 10."""
    return (group + skeleton) % ROTATION


def stage_count(draw: Draw, slot: Slot, fewest: int, most: int) -> int:
    """Number of evidence turns: the fewest in small slots, both extremes in turn in roomy ones."""
    if slot.size < ROOMY_SLOT or fewest == most:
        return fewest
    return (fewest, most)[draw.level("evidence turns", 2)]


def evidence_turns(draw: Draw, slot: Slot, count: int) -> tuple[int, ...] | None:
    """Turns of an instance's evidence, increasing; None if they do not fit the slot.

    The last one is uniform over the feasible turns of the slot, the earlier ones are drawn from the
    turns before it. In the first slot evidence stands at turn 1 (and 2), so that T = 1 can ask.
    """
    if count > slot.size:
        return None
    if slot.first == 1:
        return tuple(range(1, count + 1))
    stream = draw.stream("turns")
    last = slot.first + count - 1 + stream.index(slot.size - count + 1)
    before = [slot.first + i for i in stream.sample(last - slot.first, count - 1)]
    return (*sorted(before), last)
