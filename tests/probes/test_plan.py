from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.probes.draws import Draw, Stream, seed_of
from qwen_bench.probes.plan import (
    MAX_TURNS,
    MIXED_GROUPS,
    MIXED_SLOTS,
    ROTATION,
    evidence_turns,
    slot_of,
)


def test_the_slots_cover_all_turns_once_and_no_slot_straddles_a_checkpoint():
    turns = [turn for slot in MIXED_SLOTS for turn in range(slot.first, slot.last + 1)]

    assert turns == list(range(1, MAX_TURNS + 1))
    for checkpoint in (2, 4, 8, 16, 32, 64):
        assert any(slot.last == checkpoint for slot in MIXED_SLOTS)


def test_in_a_rotation_every_group_visits_every_slot_once():
    for group in range(len(MIXED_GROUPS)):
        visited = [slot_of(group, skeleton) for skeleton in range(ROTATION)]
        assert sorted(visited) == list(range(ROTATION))


def test_a_seed_is_the_same_on_every_machine():
    assert seed_of("1", 0, "eval") == 797429267436934186
    assert Stream("a", 1).sample(10, 4) == [0, 3, 1, 5]


@given(st.integers(1, 9), st.integers(0, 200))
def test_factor_levels_are_balanced_at_every_number_of_rotations(levels, rotations):
    counts = Counter(Draw(("x",), "g", 3, r).level("f", levels) for r in range(rotations))

    full = [counts[level] for level in range(levels)]
    assert max(full) - min(full) <= 1


@given(st.sampled_from(MIXED_SLOTS), st.integers(1, 3), st.integers(0, 500))
def test_evidence_lies_inside_its_slot_in_increasing_turns(slot, count, rotation):
    turns = evidence_turns(Draw(("x",), "g", 0, rotation), slot, count)

    if count > slot.size:
        assert turns is None
        return
    assert list(turns) == sorted(set(turns))
    assert len(turns) == count
    assert slot.first <= turns[0] <= turns[-1] <= slot.last


def test_the_last_evidence_turn_reaches_every_feasible_turn():
    slot = MIXED_SLOTS[5]

    last = {evidence_turns(Draw(("x",), "g", 5, r), slot, 2)[-1] for r in range(300)}

    assert last == set(range(slot.first + 1, slot.last + 1))


def test_more_items_than_there_are_cannot_be_drawn():
    with pytest.raises(ValueError, match="4 different items"):
        Stream("a").sample(3, 4)
