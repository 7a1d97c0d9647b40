"""No way around the history scores more than its family declares (specification of probes, 7.1)."""

import pytest

from qwen_bench.audit.shortcuts import ZERO_GROUPS_FROM
from qwen_bench.probes.definitions import load_families
from qwen_bench.probes.probe import LANGS, LEVELS

from .instances import TASKS, family
from .shortcut_scores import PICKERS, right, undeclared

# Rule families have no candidates to pick from; their solvers are held to in test_rule_families.
NAMES = [name for name, found in load_families(TASKS).items() if found.task.answer != "rule"]
# Solvers that make sense for every kind of answer.
EVERYWHERE = {*PICKERS, "overlap"}
READING = {"recency", "primacy", "frequency", "last-entity"}

each_family = pytest.mark.parametrize("name", NAMES)
each_level = pytest.mark.parametrize("level", range(1, LEVELS + 1))


@each_family
def test_every_family_declares_the_solvers_that_apply_to_it(name):
    task = family(name).task

    assert {*task.shortcuts} >= EVERYWHERE
    if task.answer != "yesno":
        assert {*task.shortcuts} >= READING
    assert {*task.zero_groups} <= {*task.shortcuts}


@each_family
@each_level
def test_solvers_without_memory_score_what_the_family_declares(name, level):
    assert not list(undeclared(name, level))


@each_family
@each_level
@pytest.mark.parametrize("lang", LANGS)
def test_a_pick_without_reading_is_never_right_in_both_variants(name, level, lang):
    for solver in PICKERS:
        for found in right(name, solver, lang, level):
            questions = {question for question, _ in found}
            assert not any(found[one, "A"] and found[one, "B"] for one in questions), solver


@each_family
@pytest.mark.parametrize("lang", LANGS)
def test_named_solvers_that_read_win_no_whole_twin_group_from_the_second_level_on(name, lang):
    for level in range(ZERO_GROUPS_FROM, LEVELS + 1):
        groups = [
            all(found.values())
            for solver in family(name).task.zero_groups
            for found in right(name, solver, lang, level)
        ]
        assert sum(groups) == 0
