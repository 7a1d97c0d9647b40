"""Survival of instructions, and both ways to abstain wrongly."""

import pytest

from qwen_bench.stats.summary import summarise, summary_as_dict
from qwen_bench.stats.survival import (
    RuleScores,
    abstention,
    instruction_survival,
    kaplan_meier,
    rule_scores,
)

LENGTHS = (1, 2, 4, 8, 16, 32)


def test_survival_gives_the_worked_numbers():
    first = (8, 16, None, 4, None)

    found = kaplan_meier([(1, length or 32, length is not None) for length in first], LENGTHS)

    assert [point.survival for point in found.values()] == pytest.approx([1, 1, 0.8, 0.6, 0.4, 0.4])
    assert [point.at_risk for point in found.values()] == [5, 5, 5, 4, 3, 2]


def test_a_rule_stated_late_is_at_risk_from_its_first_checkpoint_on():
    found = kaplan_meier([(1, 1, True), (4, 8, False)], (1, 2, 4, 8))

    assert {length: point.at_risk for length, point in found.items()} == {1: 1, 2: 0, 4: 1, 8: 1}
    assert [point.survival for point in found.values()] == [0, 0, 0, 0]


def test_checkpoints_before_any_dialogue_are_left_out():
    assert list(kaplan_meier([(4, 8, False)], LENGTHS[:4])) == [4, 8]


def test_the_first_violation_of_either_question_ends_a_dialogue(outcome):
    """Dialogue A breaks the rule at 4 in its second question, B never; later successes are void."""
    rows = [
        outcome(
            0 if (variant, question, length) == ("A", "out", 4) else 1,
            cluster="rule-0",
            family="instruction_retention",
            variant=variant,
            question=question,
            length=length,
        )
        for variant in "AB"
        for question in ("in", "out")
        for length in (1, 4, 8)
    ]
    rows.append(outcome(0, cluster="rule-0", variant="B", length=0, condition="blind"))

    found = instruction_survival(rows)

    assert {length: point.survival for length, point in found.items()} == {1: 1, 4: 0.5, 8: 0.5}
    assert found[8].at_risk == 1


def test_an_answer_without_a_score_is_a_violation(outcome):
    found = instruction_survival([outcome(1, length=1), outcome(None, length=4)])

    assert found[4].survival == 0


def test_no_dialogues_have_no_curve():
    assert instruction_survival([]) == {}


def test_abstention_gives_the_worked_numbers(outcome):
    """40 of 50 right where it was stated, 30 of 50 where it was not."""
    stated = [("A", 1, "correct")] * 40 + [("A", 0, "abstained")] * 10
    absent = [("B", 1, "correct")] * 30 + [("B", 0, "wrong_candidate")] * 15
    absent += [("B", 0, "multiple")] * 5

    found = abstention(
        outcome(value, family="abstention", variant=variant, reason=reason, question=str(i))
        for i, (variant, value, reason) in enumerate(stated + absent)
    )

    assert found.balanced_accuracy == pytest.approx(0.70)
    assert found.false_abstain == pytest.approx(0.20)
    assert found.invented == pytest.approx(0.30)
    assert (found.stated, found.absent) == (50, 50)


def test_always_abstaining_is_right_half_of_the_time(outcome):
    found = abstention(
        [outcome(0, variant="A", reason="abstained"), outcome(1, variant="B", reason="correct")]
    )

    assert (found.balanced_accuracy, found.false_abstain, found.invented) == (0.5, 1, 0)


def test_one_variant_alone_has_no_balanced_accuracy(outcome):
    assert abstention([outcome(1, variant="A")]) is None


def scored(outcome, form, content, **more):
    both = form * content if form is not None else None
    return outcome(both, form=form, content=content, family="system_rule", **more)


def test_form_and_content_of_replies_to_rules_are_counted_apart(outcome):
    rows = [scored(outcome, *pair) for pair in ((1, 1), (1, 0), (1, 1), (0, 1))]

    assert rule_scores(rows) == RuleScores(n=4, form=0.75, content=0.75, both=0.5)


def test_controls_failures_and_other_families_have_no_part_in_form_and_content(outcome):
    rows = [
        scored(outcome, 1, 0),
        scored(outcome, 0, 0, condition="adjacent"),
        scored(outcome, None, None, status="error"),
        outcome(1),
    ]

    assert rule_scores(rows) == RuleScores(n=1, form=1, content=0, both=0)
    assert rule_scores(rows[2:]) is None


def test_the_summary_of_a_run_without_rules_does_not_speak_of_them(outcome):
    with_rules, without = (
        summary_as_dict(summarise([row]))["generate"] for row in (scored(outcome, 1, 0), outcome(1))
    )

    assert with_rules["rules"] == {"n": 1, "form": 1.0, "content": 0.0, "both": 0.0}
    assert "rules" not in without
