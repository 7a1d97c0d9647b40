"""Turn plans: which turns of a dialogue an instance may use.

A programme is a recipe for dialogues: family groups that share a history, and slots, disjoint
intervals of turns. Consecutive skeletons form a rotation, in which every group visits every slot
once, so position is never confounded with family. The plan is drawn for 64 turns whatever the
longest history asked for, so histories nest (specification of probes, 2.3 and 2.4).
"""

from __future__ import annotations

from dataclasses import dataclass

from qwen_bench.probes.seeded_draws import Draw

MAX_TURNS = 64
ROOMY_SLOT = 4


@dataclass(frozen=True, slots=True)
class Slot:
    """An interval of turns, both ends included, counted from 1; turn 0 is the system message.

    Attributes:
        late: first turn at which the last evidence may stand; None is `first`.
        opens: evidence stands at the first turns and is asked before the slot is over, so that a
            history of one turn has something to ask.
    """

    first: int
    last: int
    late: int | None = None
    opens: bool = False

    @property
    def size(self) -> int:
        """Number of turns."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Programme:
    """A recipe for dialogues.

    Attributes:
        groups: evidence families whose instances share a dialogue, in a fixed order.
        slots: a rotation has as many skeletons as there are slots.
    """

    name: str
    groups: tuple[str, ...]
    slots: tuple[Slot, ...]

    @property
    def rotation(self) -> int:
        """Skeletons in which every group visits every slot once."""
        return len(self.slots)

    def slot_of(self, group: int, skeleton: int) -> int:
        """Slot that a skeleton gives the group of index `group`."""
        return (group + skeleton) % len(self.slots)


_MIXED_SLOTS = (
    Slot(1, 2, opens=True),
    Slot(3, 4),
    Slot(5, 8),
    Slot(9, 12),
    Slot(13, 16),
    Slot(17, 24),
    Slot(25, 32),
    Slot(33, 42),
    Slot(43, 54),
    Slot(55, 64),
)

MIXED = Programme(
    "mixed",
    (
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
    ),
    _MIXED_SLOTS,
)
RULE = Programme(
    "rule", ("instruction_retention",), tuple(Slot(turn, turn) for turn in (1, 2, 4, 8))
)
EXTENDED = Programme(
    "extended",
    ("speaker_attribution", "topic_return", "false_history_resistance"),
    (Slot(1, 4, late=3), Slot(5, 8, late=7), Slot(17, 24, late=21)),
)
SYSTEM = Programme("system", ("system_rule",), (Slot(0, 0),))

PROGRAMMES = {programme.name: programme for programme in (MIXED, RULE, EXTENDED, SYSTEM)}


def own_programme(family: str) -> Programme:
    """The programme of a family that a user adds: alone, in the slots of `mixed`."""
    return Programme(family, (family,), _MIXED_SLOTS)


def stage_count(
    draw: Draw, programme: Programme, slot_number: int, stages: tuple[int, int, tuple[int, ...]]
) -> int:
    """Number of evidence turns: both extremes in turn in roomy slots, fixed in small ones.

    Args:
        draw: of the instance.
        programme: of the dialogue.
        slot_number: slot of the instance.
        stages: fewest, most, and the number in each small slot (empty: the fewest).
    """
    fewest, most, small = stages
    if programme.slots[slot_number].size < ROOMY_SLOT:
        return small[slot_number] if slot_number < len(small) else fewest
    return fewest if fewest == most else (fewest, most)[draw.level("evidence turns", 2)]


def evidence_turns(draw: Draw, slot: Slot, count: int) -> tuple[int, ...] | None:
    """Turns of an instance's evidence, increasing; None if they do not fit the slot.

    The last one is uniform over the feasible turns of the slot, the earlier ones are drawn from the
    turns before it. Evidence in the system message stands at turn 0.
    """
    if slot.first == 0:
        return (0,)
    if count > slot.size:
        return None
    if slot.opens:
        return tuple(range(slot.first, slot.first + count))
    stream = draw.stream("turns")
    earliest = max(slot.first + count - 1, slot.late or slot.first)
    last = earliest + stream.index(slot.last - earliest + 1)
    before = [slot.first + i for i in stream.sample(last - slot.first, count - 1)]
    return (*sorted(before), last)
