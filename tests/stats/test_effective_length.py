"""Effective history length: one rule, censored forms, shares of the replicates."""

import numpy as np
import pytest

from qwen_bench.stats.profile import (
    RULER,
    EffectiveLength,
    effective_length,
    effective_lengths,
    step_shares,
    steps_kept,
)
from qwen_bench.stats.retention import Retention, RetentionCurve

LENGTHS = (1, 2, 4, 8, 16, 32)
BASE = (0.92, 0.91, 0.88, 0.86, 0.80, 0.62)
CANDIDATE = (0.90, 0.88, 0.84, 0.74, 0.80, 0.40)


def point(value, low=None, accuracy=0.5):
    return Retention(100, 40, accuracy, 0.05, 0.9, value, low, None, "")


@pytest.mark.parametrize(
    ("accuracies", "blind", "adjacent", "ehl", "absolute"),
    [(BASE, 0.05, 0.92, "16", "8"), (CANDIDATE, 0.06, 0.90, "4", "2")],
)
def test_effective_lengths_are_the_worked_numbers(accuracies, blind, adjacent, ehl, absolute):
    ratios = [(accuracy - blind) / (adjacent - blind) for accuracy in accuracies]

    assert effective_length(LENGTHS, ratios).text == ehl
    assert effective_length(LENGTHS, accuracies, RULER).text == absolute


def test_a_recovery_after_a_drop_does_not_count():
    assert effective_length((1, 2, 4), (1, 0.8, 1)) == EffectiveLength("at", 1)


def test_the_ends_are_censored_by_the_suite():
    assert effective_length(LENGTHS, (0.84, 1, 1, 1, 1, 1)).text == "< 1"
    assert effective_length(LENGTHS, (1, 1, 1, 1, 1, 0.85)).text == ">= 32"


def test_a_value_at_the_threshold_passes_despite_rounding():
    assert effective_length((1, 2), (1, (0.9 - 0.05 - 0.1275) / 0.85 + 0.0058823529411764705))


def test_one_checkpoint_has_no_effective_length():
    assert effective_length((8,), (1.0,)) is None


def test_the_rule_serves_many_curves_at_once():
    values = np.array([[1, 0.9, 0.2], [0.1, 1, 1], [0.85, 0.85, 0.85]])

    assert steps_kept(values, 0.85).tolist() == [2, 0, 3]


def test_shares_of_the_replicates_leave_unstable_ones_out():
    replicates = np.array([[1, 0.9], [1, 0.1], [0.2, 1], [1, 0.2], [np.nan, 1]])

    assert step_shares((1, 4), replicates) == {"< 1": 0.25, "1": 0.5, ">= 4": 0.25}


def test_the_strict_form_asks_the_lower_bound():
    points = {1: point(1, 0.95), 4: point(0.9, 0.8), 8: point(0.5, 0.4)}

    found = effective_lengths(RetentionCurve(points, np.array([[1, 0.9, 0.5]])))

    assert (found.ehl.text, found.strict.text) == ("4", "1")
    assert (found.absolute.text, found.shares) == ("< 1", {"4": 1.0})


def test_without_intervals_there_is_no_strict_form():
    points = {1: point(1), 4: point(0.9)}

    found = effective_lengths(RetentionCurve(points, np.array([[1, 0.9]])))

    assert (found.ehl.text, found.strict) == (">= 4", None)


def test_a_checkpoint_that_cannot_be_measured_neither_passes_nor_fails():
    points = {1: point(None), 2: point(1, 0.9), 4: point(0.9, 0.9)}

    found = effective_lengths(RetentionCurve(points, np.array([[np.nan, 1, 0.9]])))

    assert (found.ehl.text, found.checkpoints) == (">= 4", (2, 4))
    assert found.shares == {">= 4": 1.0}


def test_nothing_measurable_leaves_the_absolute_form_alone():
    points = {1: point(None, accuracy=0.9), 2: point(None, accuracy=0.3)}

    found = effective_lengths(RetentionCurve(points, np.empty((0, 2))))

    assert (found.ehl, found.strict, found.shares) == (None, None, {})
    assert found.absolute.text == "1"
