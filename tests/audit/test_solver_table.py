"""Solvers over whole suites, and what the statistics make of solvers that forget."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from functools import cache

from qwen_bench.audit.audit_suite import audit_suite
from qwen_bench.audit.shortcuts import WINDOWS, Expected
from qwen_bench.audit.solver_rules import JudgedTable
from qwen_bench.audit.solver_scores import SolverTable, window_verdict
from qwen_bench.probes.programmes import MIXED
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.solvers.solver_engine import SOLVERS
from tools.audit.planted_forgetting import WindowRows, closed_form, window_line

from . import toy
from .conftest import renderings, small

# Families whose evidence stands in dialogues of the programme mixed.
MIXED_FAMILIES = (*MIXED.groups, "update_previous")


def filled(suite, *solvers, on_window=lambda *_: None):
    table = SolverTable(solvers or (*SOLVERS, *WINDOWS), on_window=on_window)
    for rendering in renderings(suite):
        table.see(rendering)
    return table


def lines_of(suite, *solvers):
    table = filled(suite, *solvers)
    judged = JudgedTable(table, Expected(suite.sources.families))
    return {line.name: line for line in (*judged.lines(), *table.lines())}


def test_every_family_declares_the_shortcuts_that_its_kind_of_answer_allows():
    """What is not declared is not gated, so nothing may be forgotten."""
    rule = {"follow", "never-follow", "copycat"}
    recall = {"blind", "constant", "longest", "recency", "primacy", "frequency", "overlap"}
    due = {"rule": rule, "yesno": {"blind", "overlap"}}
    for name, family in small("*", suite="full").sources.families.items():
        assert due.get(family.task.answer, recall) <= set(family.task.shortcuts), name


def test_every_exact_gate_holds_on_the_real_families():
    lines = lines_of(small("*", suite="full", lengths=(2, 8)))

    assert {name: line.findings for name, line in lines.items() if line.status != "ok"} == {}


def test_only_the_solvers_asked_for_are_run_and_nothing_else():
    chosen = Selection(limit=1, lengths=(4,), langs=("en",))

    audit = audit_suite(
        build_suite("quick", chosen), chosen, build_suite, solvers=("recency", "window-2")
    )

    assert audit.table.solvers == ("recency", "window-2")
    assert {line.name for line in audit.lines} == {"solver table", "twin groups", "windows"}
    assert (audit.composition, audit.separability) == (None, None)


def test_a_window_against_the_needs_is_found():
    table = SolverTable(("window-2",))
    for rendering in toy.renderings(2, change=toy.asked_with(lambda _: {"gold": "owl"})):
        table.see(rendering)

    (line,) = table.lines()

    assert line.status == "fail"
    assert line.findings[0].what == "window-2 scores 0, its needs say 1"


def test_both_languages_of_a_cluster_count_as_one_in_standard_errors():
    one, both = SolverTable(("blind",)), SolverTable(("blind",))
    for rendering in toy.renderings(8):
        one.see(rendering)
    for rendering in toy.renderings(8, langs=("en", "zh")):
        both.see(rendering)

    assert [n for _, n in one.spread().values()] == [n for _, n in both.spread().values()] == [8, 8]
    assert one.shares(0, 2)["blind", "en"] == both.shares(0, 2)["blind", "en"]
    assert [e for e, _ in one.spread().values()] == [e for e, _ in both.spread().values()]


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
        for family in MIXED_FAMILIES:
            for lang in ("en", "zh"):
                accuracy = found[family, lang].accuracy
                abstention = family == "abstention"
                assert accuracy[16] == (Fraction(7, 10) if abstention else Fraction(2, 5))
                assert accuracy[32] == (Fraction(4, 7) if abstention else Fraction(1, 7))
                assert {accuracy[t] for t in accuracy if t <= 8} == {1}
        # The rules stand at turns 1 to 8, so none is left, and no plain reply is ever right.
        assert found["instruction_retention", "en"].accuracy[16] == 0

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

    def test_verdicts_follow_from_needs(self):
        counts = Counter(
            (asked.probe.gold_abstains, window_verdict(asked.probe, 2))
            for rendering in renderings(small("abstention", lengths=(8,)))
            for dialogue in rendering
            for asked in dialogue.probes
            if asked.probe.condition == "blind"
        )

        assert set(counts) == {(True, 1), (False, 0)}
