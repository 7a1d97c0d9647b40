"""The solver table and its gates, and what the statistics make of solvers that forget."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from functools import cache

from qwen_bench.audit.audit_suite import audit_suite
from qwen_bench.audit.solver_rules import JudgedTable
from qwen_bench.audit.solver_scores import SolverTable, window_verdict
from qwen_bench.audit.solver_table import (
    CELLS,
    FAMILIES,
    SOLVERS,
    WINDOWS,
    by_construction,
    cell_of,
)
from qwen_bench.probes.programmes import MIXED
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from tools.audit.planted_forgetting import WindowRows, closed_form, window_line

from .conftest import renderings, requestioned, small


def filled(suite, *solvers, on_window=lambda *_: None):
    table = SolverTable(solvers or (*SOLVERS, *WINDOWS), on_window=on_window)
    for rendering in renderings(suite):
        table.see(rendering)
    return table


def lines_of(suite, *solvers):
    table = filled(suite, *solvers)
    return {line.name: line for line in (*JudgedTable(table).lines(), *table.lines())}


def test_the_expected_table_has_a_cell_for_every_solver_and_family():
    assert set(CELLS) == {(solver, family) for solver in SOLVERS for family in FAMILIES}


def test_every_exact_gate_holds_on_the_real_families():
    lines = lines_of(small("*", suite="full", lengths=(2, 8)))

    assert {name: line.findings for name, line in lines.items() if line.status != "ok"} == {}


def test_a_scorer_that_rejects_the_right_answer_fails_the_oracle():
    suite = requestioned(
        small("fact_recall"), "fact_recall", lambda question, _: replace(question, gold="owl")
    )

    lines = lines_of(suite, "oracle")

    assert lines["oracle"].findings[0].what == "the oracle's answer is not judged right: owl"
    assert lines["solver table"].status == "fail"


def test_a_gold_that_stands_first_fails_where_there_are_skeletons_enough():
    def first(question, _):
        others = [c for c in question.candidates if c != question.gold]
        return replace(question, candidates=(question.gold, *others))

    for limit, status in ((1, "ok"), (12, "fail")):
        suite = small("fact_recall", suite="core", limit=limit, lengths=(32,), langs=("en",))
        line = lines_of(requestioned(suite, "fact_recall", first), "constant")["solver table"]
        assert line.status == status
    assert "constant scores 1.000 (168 of 168), by construction 0.250" in line.findings[0].what


def test_an_upper_gate_ignores_a_solver_that_does_badly():
    suite = small("alias_chain", suite="core", lengths=(32,), limit=12, langs=("en",))
    table = filled(suite, "overlap")
    table._expected["overlap", "alias_chain"] = 0.9 * 168

    assert JudgedTable(table).lines()[0].status == "ok"
    table._expected["overlap", "alias_chain"] = 0.1 * 168
    assert JudgedTable(table).lines()[0].status == "fail"


def test_a_shortcut_with_a_whole_twin_group_right_fails():
    suite = requestioned(
        small("fact_recall", lengths=(8,), langs=("en",)),
        "fact_recall",
        lambda question, _: replace(question, gold=question.candidates[0]),
    )

    line = lines_of(suite, "constant")["twin groups"]

    assert "constant has 3 of 3 twin groups right" in line.findings[0].what


def test_an_exact_zero_is_exact():
    suite = requestioned(
        small("ellipsis", langs=("en",)),
        "ellipsis",
        lambda question, brief: (
            replace(question, gold=question.candidates[brief.draw.slot % 4]) if brief else question
        ),
    )

    line = lines_of(suite, "recency")["solver table"]

    assert line.status == "fail"
    assert "by construction 0.000" in line.findings[0].what


def test_a_family_of_a_user_is_judged_by_its_kind_of_answer():
    rendering = renderings(small("abstention", lengths=(8,)))[0]
    probe = replace(rendering[0].probes[0].probe, family="mine")

    found = {solver: cell_of(solver, probe) for solver in SOLVERS}

    assert found["oracle"] == "1"
    assert (found["recency"], cell_of("recency", probe, 0.25)) == ("r", "<0.25")
    assert found["follow"] is None
    assert by_construction(found["blind"], probe) == 1 / 8
    assert by_construction(found["abstain"], probe) == 1 / 2


def test_only_the_solvers_asked_for_are_run_and_nothing_else():
    chosen = Selection(limit=1, lengths=(4,), langs=("en",))

    audit = audit_suite(
        build_suite("quick", chosen), chosen, build_suite, solvers=("recency", "window-2")
    )

    assert audit.table.solvers == ("recency", "window-2")
    assert {line.name for line in audit.lines} == {"solver table", "twin groups", "windows"}


@cache
def windows():
    """Rows and curves of the windows over four rotations."""
    suite = small("*", suite="core", limit=4)
    rows = WindowRows()
    filled(suite, *WINDOWS, on_window=rows.add)
    return rows, rows.curves(suite)


class TestWindows:
    def test_a_window_of_8_turns_scores_the_closed_form_in_every_family_and_language(self):
        found = {key[1:]: curve for key, curve in windows()[1].items() if key[0] == 8}
        mixed = [f for f in FAMILIES[:12] if f != "instruction_retention"]
        for family in mixed:
            for lang in ("en", "zh"):
                accuracy = found[family, lang].accuracy
                abstention = family == "abstention"
                assert accuracy[16] == (Fraction(7, 10) if abstention else Fraction(2, 5))
                assert accuracy[32] == (Fraction(4, 7) if abstention else Fraction(1, 7))
                assert {accuracy[t] for t in accuracy if t <= 8} == {1}
        assert found["instruction_retention", "en"].accuracy[16] == Fraction(1, 2)

    def test_the_effective_history_length_is_the_window(self):
        for (turns, family, lang), curve in windows()[1].items():
            said = {2: "2", 8: "8", 32: ">= 32"}[turns]
            assert curve.history == (said, said), (family, lang)

    def test_a_curve_that_is_off_by_one_probe_is_found(self):
        curves = dict(windows()[1])
        key = (8, "pronoun", "zh")
        wrong = {**curves[key].accuracy, 16: Fraction(3, 8)}
        curves[key] = replace(curves[key], accuracy=wrong)

        line = window_line(curves, enough=False)

        assert str(line.findings[0]) == "window-8 pronoun zh: T = 16: 3/8, by construction 2/5"

    def test_a_wrong_effective_length_and_a_plain_half_life_are_found(self):
        curves = dict(windows()[1])
        key = (8, "pronoun", "zh")
        curves[key] = replace(curves[key], history=("16", "8"), half_life=("11.0", False))

        texts = [found.what for found in window_line(curves, enough=True).findings]

        assert "effective history length 16, by construction 8" in texts
        assert "half-life 11.0" in texts

    def test_a_slot_that_the_window_cuts_has_no_closed_form(self):
        rows = windows()[0]._rows[2, "pronoun", "en"]
        at = [row for row in rows if row.condition == "main" and row.length == 8]

        assert closed_form({"pronoun": MIXED}, 2, 8, at) is None
        assert closed_form({"pronoun": MIXED}, 4, 8, at) == Fraction(1, 3)

    def test_a_verdict_against_the_needs_is_found(self):
        suite = requestioned(
            small("update_previous", suite="core", limit=2, lengths=(16,), langs=("en",)),
            "update_latest",
            lambda question, _: replace(question, gold="owl"),
        )

        line = lines_of(suite, "window-8")["windows"]

        assert line.status == "fail"

    def test_verdicts_follow_from_needs(self):
        counts = Counter(
            (asked.probe.gold_abstains, window_verdict(asked.probe, 2))
            for rendering in renderings(small("abstention", lengths=(8,)))
            for dialogue in rendering
            for asked in dialogue.probes
            if asked.probe.condition == "blind"
        )

        assert set(counts) == {(True, 1), (False, 0)}
