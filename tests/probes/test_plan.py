import shutil
from collections import Counter
from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.errors import DataError
from qwen_bench.probes.definitions import load_families
from qwen_bench.probes.probe import LONG_PLAN_TURNS, PLAN_TURNS, WORDINGS
from qwen_bench.probes.programmes import (
    EXTENDED,
    MIXED,
    PROGRAMMES,
    RULE,
    Slot,
    Sources,
    evidence_turns,
    host_of,
    in_order,
    memory_load,
    own_programme,
    place,
    stretched,
)
from qwen_bench.probes.seeded_draws import Draw, Stream, seed_of
from qwen_bench.resources import data_folder

SLOTS = st.sampled_from([*MIXED.slots, *EXTENDED.slots])


@pytest.mark.parametrize(
    ("turns", "checkpoints"),
    [(PLAN_TURNS, (2, 4, 8, 16, 32, 64)), (LONG_PLAN_TURNS, (8, 16, 32, 64, 128, 256))],
)
def test_the_slots_of_mixed_cover_all_turns_once_and_straddle_no_checkpoint(turns, checkpoints):
    slots = stretched(MIXED, turns).slots
    covered = [turn for slot in slots for turn in range(slot.first, slot.last + 1)]

    assert covered == list(range(1, turns + 1))
    assert len(slots) == len(MIXED.slots)
    for checkpoint in checkpoints:
        assert any(slot.last == checkpoint for slot in slots)


def test_a_family_of_the_user_has_the_slots_of_the_suite():
    assert stretched(own_programme("birthdays"), 256).slots == stretched(MIXED, 256).slots
    assert stretched(MIXED, 64) is MIXED


@pytest.mark.parametrize("programme", PROGRAMMES.values(), ids=lambda p: p.name)
def test_in_a_rotation_every_group_visits_every_slot_once(programme):
    for group in range(len(programme.groups)):
        visited = [programme.slot_of(group, skeleton) for skeleton in range(programme.rotation)]
        assert sorted(visited) == list(range(programme.rotation))


@pytest.mark.parametrize("programme", PROGRAMMES.values(), ids=lambda p: p.name)
def test_two_instances_of_a_dialogue_never_share_a_turn(programme):
    for one, two in pairwise(programme.slots):
        assert one.last < two.first
    assert len(programme.groups) <= len(programme.slots)


def test_the_rule_is_stated_at_turn_1_2_4_or_8():
    draw = Draw(("x",), "instruction_retention", 0, 0)

    assert [evidence_turns(draw, slot, 1) for slot in RULE.slots] == [(1,), (2,), (4,), (8,)]


def test_a_rule_in_the_system_message_stands_before_turn_1():
    assert evidence_turns(Draw(("x",), "g", 0, 0), Slot(0, 0), 0) == (0,)


@given(st.integers(1, 3), st.integers(0, 500))
def test_extended_evidence_ends_in_the_late_part_of_its_slot(count, rotation):
    for slot in EXTENDED.slots:
        turns = evidence_turns(Draw(("x",), "g", 0, rotation), slot, count)
        assert turns[0] >= slot.first
        assert slot.late <= turns[-1] <= slot.last


def test_a_family_of_the_user_has_the_slots_of_mixed_to_itself():
    programme = own_programme("birthdays")

    assert programme.groups == ("birthdays",)
    assert programme.slots == MIXED.slots


def test_a_seed_is_the_same_on_every_machine():
    assert seed_of("1", 0, "eval") == 797429267436934186
    assert Stream("a", 1).sample(10, 4) == [0, 3, 1, 5]


@given(st.integers(1, 9), st.integers(0, 60), st.integers(1, 10))
def test_a_factor_is_balanced_over_the_rotations_of_a_slot_and_over_the_first_slots_of_a_rotation(
    values, rotations, slots
):
    over_rotations = Counter(Draw(("x",), "g", 3, r).counted("f", values) for r in range(rotations))
    over_slots = Counter(Draw(("x",), "g", s, 7).counted("f", values) for s in range(slots))

    for counts in (over_rotations, over_slots):
        full = [counts[value] for value in range(values)]
        assert max(full) - min(full) <= 1


def test_two_factors_of_one_instance_are_drawn_apart():
    pairs = Counter(
        (draw.counted("one", 4), draw.counted("other", 4))
        for slot in range(10)
        for rotation in range(40)
        for draw in [Draw(("x",), "g", slot, rotation)]
    )

    assert len(pairs) == 16
    assert max(pairs.values()) < 3 * min(pairs.values())


class TestMemoryLoad:
    @pytest.mark.parametrize("levels", [(1, 2, 3, 4, 5), (2, 4), (1, 2)])
    def test_twice_as_many_rotations_as_levels_cross_levels_with_wordings_exactly(self, levels):
        for group in range(10):
            found = Counter(memory_load(levels, group, r) for r in range(2 * len(levels)))
            assert found == Counter(product(levels, WORDINGS))

    @pytest.mark.parametrize("levels", [(1, 2, 3, 4, 5), (2, 4)])
    def test_one_rotation_a_level_asks_every_level_once(self, levels):
        for group in range(10):
            found = Counter(memory_load(levels, group, r)[0] for r in range(len(levels)))
            assert found == Counter(levels)

    def test_the_groups_of_a_dialogue_differ_in_level_so_that_none_is_hard_as_a_whole(self):
        for rotation in range(20):
            levels = Counter(memory_load((1, 2, 3, 4, 5), g, rotation)[0] for g in range(10))
            assert levels == Counter({1: 2, 2: 2, 3: 2, 4: 2, 5: 2})

    def test_it_is_the_same_in_every_slot_so_that_no_history_length_has_another_mix(self):
        sources = Sources(load_families(data_folder("tasks")), {}, "eval", ("x",))
        for rotation in (0, 7):
            found = {}
            for number in range(10 * rotation, 10 * rotation + 10):
                for item in place(sources, MIXED, number, "A", "en"):
                    found.setdefault(item.group, set()).add((item.level, item.wording))
            assert all(len(loads) == 1 for loads in found.values())


@given(SLOTS, st.integers(1, 3), st.integers(0, 500))
def test_evidence_lies_inside_its_slot_in_increasing_turns(slot, count, rotation):
    turns = evidence_turns(Draw(("x",), "g", 0, rotation), slot, count)

    if count > slot.size:
        assert turns is None
        return
    assert list(turns) == sorted(set(turns))
    assert len(turns) == count
    assert slot.first <= turns[0] <= turns[-1] <= slot.last


def test_the_last_evidence_turn_reaches_every_feasible_turn():
    slot = MIXED.slots[5]

    last = {evidence_turns(Draw(("x",), "g", 5, r), slot, 2)[-1] for r in range(300)}

    assert last == set(range(slot.first + 1, slot.last + 1))


def test_more_items_than_there_are_cannot_be_drawn():
    with pytest.raises(ValueError, match="4 different items"):
        Stream("a").sample(3, 4)


class TestProgrammeOfAFamily:
    def family(self, name, programme, *, like="alias_chain"):
        found = load_families(data_folder("tasks"))[like]
        return replace(
            found, task=found.task.model_copy(update={"name": name, "programme": programme})
        )

    def test_the_families_with_a_seat_share_the_dialogues_of_their_programme(self):
        hosts = {f.name: host_of(f).name for f in load_families(data_folder("tasks")).values()}

        assert hosts == {
            name: next(p.name for p in PROGRAMMES.values() if family.group in p.groups)
            for name, family in load_families(data_folder("tasks")).items()
        }

    @pytest.mark.parametrize("programme", PROGRAMMES.values(), ids=lambda p: p.name)
    def test_one_without_a_seat_has_dialogues_of_its_own_in_the_same_slots(self, programme):
        host = host_of(self.family("newcomer", programme.name))

        assert (host.name, host.groups) == ("newcomer", ("newcomer",))
        assert (host.slots, host.recipe) == (programme.slots, programme.name)

    def test_a_family_is_placed_in_no_programme_but_the_one_it_names(self):
        moved = self.family("alias_chain", "extended")
        sources = Sources({"alias_chain": moved}, {}, "eval", ("x",))

        assert list(place(sources, MIXED, 0, "A", "en")) == []
        assert [p.group for p in place(sources, host_of(moved), 2, "A", "en")] == ["alias_chain"]

    def test_newcomers_are_asked_after_the_families_of_their_programme(self):
        known = load_families(data_folder("tasks"))
        newcomers = [self.family("zebra", "mixed"), self.family("aardvark", "mixed")]

        names = [family.name for family in in_order([*newcomers, *known.values()])]

        place_of = names.index("aardvark")
        assert names[place_of - 1 : place_of + 3] == [
            *("abstention", "aardvark", "zebra"),
            "instruction_retention",
        ]
        assert names[3:5] == ["update_previous", "pronoun"]


def test_a_family_that_asks_about_anothers_evidence_has_its_programme(tmp_path):
    for name in ("update_latest", "update_previous"):
        shutil.copytree(data_folder("tasks") / name, tmp_path / name)
    path = tmp_path / "update_previous" / "task.yaml"
    text = path.read_text("utf-8").replace("programme: mixed", "programme: rule")
    path.write_text(text, encoding="utf-8")

    with pytest.raises(DataError, match="programme: 'mixed' is that of update_latest") as caught:
        load_families(tmp_path)
    assert str(path) in str(caught.value)
