"""What families declare of solvers, level by level, and how the audit holds them to it."""

import pytest

from qwen_bench.audit.shortcuts import Due, Expected, declared, same_everywhere
from qwen_bench.audit.solver_rules import ENOUGH_CLUSTERS, JudgedTable
from qwen_bench.audit.solver_scores import SolverTable
from qwen_bench.errors import InputError

from . import toy

MANY = ENOUGH_CLUSTERS // 2


def judged(*solvers, seen=None, **task):
    """The table of solvers over toy dialogues, judged by what task.yaml declares."""
    table = SolverTable(solvers)
    for rendering in toy.renderings(MANY) if seen is None else seen:
        table.see(rendering)
    return JudgedTable(table, Expected(toy.families(**task)))


def found(table):
    return {line.name: [finding.what for finding in line.findings] for line in table.lines()}


class TestDeclared:
    def test_one_value_stands_for_all_levels(self):
        task = toy.families(shortcuts={"recency": 0.25, "overlap": "<=.5"})["toy"].task

        assert declared(task) == {
            "recency": (Due(0.25),) * 5,
            "overlap": (Due(0.5, at_most=True),) * 5,
        }

    def test_five_values_stand_for_the_levels_in_order(self):
        task = toy.families(shortcuts={"recency": [1, 0.5, "<=.33", 0.25, 0.2]})["toy"].task

        assert [str(due) for due in declared(task)["recency"]] == ["1", ".5", "<=.33", ".25", ".2"]

    @pytest.mark.parametrize(
        ("shortcuts", "what"),
        [
            ({"recent": 0.5}, "unknown solver 'recent'; near: recency"),
            ({"recency": [1, 0.5]}, "2 values, one or 5 are due"),
            ({"recency": "half"}, "'half' is no share"),
            ({"recency": 1.5}, "1.5 is not between 0 and 1"),
            ({"oracle": 0.9}, "it scores the same in every family; leave it out"),
            ({"window-8": 0.5}, "it scores the same in every family; leave it out"),
        ],
    )
    def test_what_cannot_be_declared_is_named_with_family_and_solver(self, shortcuts, what):
        with pytest.raises(InputError) as caught:
            declared(toy.families(shortcuts=shortcuts)["toy"].task)

        assert caught.value.message.startswith(
            f"toy: task.yaml, shortcuts.{next(iter(shortcuts))}: "
        )
        assert what in caught.value.message

    def test_zero_groups_name_solvers(self):
        with pytest.raises(InputError, match="zero_groups: unknown solver 'recent'"):
            declared(toy.families(zero_groups=["recent"])["toy"].task)

    def test_what_holds_for_every_family_need_not_be_declared(self):
        assert same_everywhere("oracle", "rule") == Due(1)
        assert same_everywhere("dump", "yesno") == Due(0)
        assert same_everywhere("abstain", "single") == Due(0)
        assert same_everywhere("abstain", "abstain") == Due(0.5)
        assert same_everywhere("never-abstain", "abstain") == Due(0.5)
        assert same_everywhere("yes", "yesno") == Due(0.5)
        assert same_everywhere("recency", "single") is None


class TestLevels:
    def test_presence_is_right_where_there_is_one_binding_and_guesses_where_there_are_two(self):
        cell = judged("presence").cells["presence", "toy"]

        assert cell.levels[1].value == 1
        assert 0 < cell.levels[2].value < 0.5

    def test_the_last_value_named_is_right_at_level_1_and_half_the_time_at_level_2(self):
        table = judged("recency", shortcuts={"recency": [1, 0.5, 0.25, 0.125, 0.0625]})

        assert [share.value for share in table.cells["recency", "toy"].levels.values()] == [1, 0.5]
        assert table.cells["recency", "toy"].mean == 0.75
        assert str(table.cells["recency", "toy"].mean_due) == ".75"
        assert found(table) == {"solver table": [], "twin groups": []}

    def test_a_solver_that_is_not_declared_is_reported_and_not_gated(self):
        table = judged("recency")

        assert table.cells["recency", "toy"].mean_due is None
        assert found(table)["solver table"] == []

    def test_a_level_that_is_off_is_named_though_the_mean_is_right(self):
        table = judged("recency", shortcuts={"recency": [0.5, 1, 0.5, 0.5, 0.5]})

        texts = found(table)["solver table"]
        assert texts == [
            "recency scores 1.000 (60 of 60) at level 1, by construction 0.500",
            "recency scores 0.500 (30 of 60) at level 2, by construction 1.000",
        ]
        assert table.cells["recency", "toy"].mean == table.cells["recency", "toy"].mean_due.value
        assert ("recency", "toy") in table.failed

    def test_a_mean_that_is_off_is_named_though_each_level_is_within_its_errors(self):
        shares = judged("blind").cells["blind", "toy"].levels
        off = [share.value + 0.06 for share in shares.values()]

        texts = found(judged("blind", shortcuts={"blind": [*off, 0.25, 0.25, 0.25]}))

        assert len(texts["solver table"]) == 1
        assert " over 2 levels, by construction " in texts["solver table"][0]

    def test_an_upper_gate_ignores_a_solver_that_does_badly(self):
        assert found(judged("blind", shortcuts={"blind": "<=.9"}))["solver table"] == []
        assert len(found(judged("blind", shortcuts={"blind": "<=.01"}))["solver table"]) == 3

    def test_with_few_clusters_only_exact_values_are_judged(self):
        few = toy.renderings(2)

        assert found(judged("blind", seen=few, shortcuts={"blind": 0.9}))["solver table"] == []
        assert found(judged("recency", seen=few, shortcuts={"recency": [0, 0.5, 0, 0, 0]}))[
            "solver table"
        ]


class TestTwinGroups:
    def test_no_solver_that_reads_no_history_has_a_whole_group(self):
        def frozen(probe):
            return {"gold": probe.rank_candidates[0]}

        seen = toy.renderings(2, change=toy.asked_with(frozen))

        texts = found(judged("constant", "oracle", seen=seen))["twin groups"]

        assert texts == [
            "constant has 3 of 3 twin groups right at level 1",
            "constant has 3 of 3 twin groups right at level 2",
        ]

    def test_a_reader_of_positions_is_held_to_zero_from_level_2_where_its_family_says_so(self):
        free, held = judged("recency"), judged("recency", zero_groups=["recency"])

        assert held.cells["recency", "toy"].groups[1].value == 1
        assert held.cells["recency", "toy"].groups[2].value == 0
        assert found(free)["twin groups"] == found(held)["twin groups"] == []

    def test_a_whole_group_of_such_a_reader_at_level_2_is_named(self):
        texts = found(judged("oracle", "primacy", zero_groups=["primacy"], seen=_all_named_first()))

        assert texts["twin groups"] == ["primacy has 6 of 6 twin groups right at level 2"]


def _all_named_first():
    """Dialogues in which the answer stands before everything else."""

    def first(dialogue):
        gold = dialogue.probes[0].probe.gold
        told = toy.turned(
            lambda n, turn: turn if n > 1 else toy.Turn(f"{gold}! {turn.user}", "Hm.", turn.group)
        )
        return told(dialogue)

    return toy.renderings(4, change=first)


def test_a_scorer_that_rejects_the_right_answer_fails_the_oracle():
    table = SolverTable(("oracle",))
    for rendering in toy.renderings(2, change=toy.asked_with(lambda _: {"gold": "owl"})):
        table.see(rendering)

    lines = {
        line.name: line for line in (*JudgedTable(table, Expected({})).lines(), *table.lines())
    }

    assert lines["oracle"].findings[0].what == "the oracle's answer is not judged right: owl"
    assert lines["solver table"].status == "fail"
