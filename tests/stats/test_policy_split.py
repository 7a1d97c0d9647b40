"""What was cut and what was forgotten add up to what is seen."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.stats.summary import summarise, summary_as_dict

POLICY = "last-turns:2"


def rows_of(outcome, cells):
    """Rows from (value, visible, family, length)."""
    return [
        outcome(
            value,
            cluster=f"mixed-{number}",
            family=family,
            length=length,
            policy=POLICY,
            evidence_visible=visible,
        )
        for number, (value, visible, family, length) in enumerate(cells)
    ]


def test_a_run_that_sends_everything_has_no_split(outcome):
    assert summarise([outcome(1)])["generate"].policy is None


def test_the_three_numbers_of_a_policy(outcome):
    cells = [(1, True, "a", 1), (1, True, "a", 4), (0, False, "a", 4), (1, False, "a", 4)]
    cells += [(0, True, "b", 1), (0, False, "b", 4)]

    split = summarise(rows_of(outcome, cells))["generate"].policy

    whole = split.overall
    assert (split.policy, whole.n, whole.visible) == (POLICY, 6, 3)
    # Family a: 3 of 4 right, half visible. Family b: 0 of 2 right, half visible.
    assert whole.accuracy == pytest.approx(0.375)
    assert whole.share_visible == pytest.approx(0.5)
    assert whole.accuracy_given_visible == pytest.approx(0.5)
    assert (whole.visible_part, whole.invisible_part) == pytest.approx((0.25, 0.125))
    assert [(length, cell.visible) for length, cell in split.by_length.items()] == [(1, 2), (4, 1)]


def test_only_the_main_condition_counts(outcome):
    rows = [outcome(1, policy=POLICY)]
    rows += [outcome(0, policy=POLICY, condition="blind", evidence_visible=False)]

    assert summarise(rows)["generate"].policy.overall.share_visible == 1


def test_without_visible_evidence_there_is_no_accuracy_given_visible(outcome):
    split = summarise([outcome(1, policy=POLICY, evidence_visible=False)])["generate"].policy

    assert split.overall.accuracy_given_visible is None
    assert split.overall.invisible_part == 1
    json.dumps(summary_as_dict(summarise([outcome(1, policy=POLICY)])), allow_nan=False)


cells = st.tuples(
    st.sampled_from([0, 1, None]), st.booleans(), st.sampled_from("abc"), st.sampled_from([1, 4])
)


@given(data=st.lists(cells, min_size=1, max_size=30))
def test_accuracy_is_the_sum_of_its_visible_and_invisible_part(data):
    from qwen_bench.record.outcome import Outcome

    rows = [
        Outcome(
            probe_id=str(number), mode="generate", family=family, lang="en", length=length,
            distance=0, position=0.0, condition="main", policy=POLICY, cluster=f"mixed-{number}",
            twin_group=str(number), variant="A", evidence_visible=visible,
            status="ok" if value is not None else "error",
            output=None if value is None else "", score=value, reason=None,
        )
        for number, (value, visible, family, length) in enumerate(data)
    ]  # fmt: skip

    summary = summarise(rows)["generate"]

    slices = [(summary.overall, summary.policy.overall)]
    slices += [(cell, summary.policy.by_length[n]) for n, cell in summary.by_length.items()]
    for cell, split in slices:
        given = split.accuracy_given_visible or 0.0
        assert split.n == cell.n
        assert split.accuracy == pytest.approx(cell.accuracy)
        assert split.accuracy == pytest.approx(split.visible_part + split.invisible_part)
        assert split.visible_part == pytest.approx(split.share_visible * given)
