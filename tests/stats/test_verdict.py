"""The word for a difference."""

import pytest

from qwen_bench.record.formats import about, signed
from qwen_bench.stats.intervals import no_flip_bound
from qwen_bench.stats.verdict import more_probes, word


@pytest.mark.parametrize(
    ("p", "low", "high", "expected"),
    [
        (0.0005, -0.180, -0.070, ("regressed", "by more than the margin")),
        (0.003, -0.120, -0.030, ("regressed", "")),
        (0.004, -0.045, -0.010, ("within noise", "lower, inside the margin")),
        (0.410, -0.031, 0.012, ("within noise", "")),
        (0.004, 0.010, 0.045, ("within noise", "higher, inside the margin")),
        (0.0005, 0.060, 0.140, ("improved", "by more than the margin")),
        (0.001, 0.020, 0.090, ("improved", "")),
        (0.300, -0.020, 0.090, ("not worse", "")),
        (0.200, -0.110, 0.020, ("inconclusive", "")),
        (0.060, -0.130, -0.052, ("inconclusive", "test and interval disagree")),
        (0.060, 0.010, 0.090, ("inconclusive", "test and interval disagree")),
        (1.0, -no_flip_bound(14), no_flip_bound(14), ("inconclusive", "")),
        (1.0, -no_flip_bound(120), no_flip_bound(120), ("within noise", "")),
        (0.001, None, None, ("inconclusive", "too few clusters")),
        (0.05, -0.05, -0.01, ("within noise", "lower, inside the margin")),
        (0.05, -0.06, 0.0, ("inconclusive", "")),
    ],
)
def test_the_first_matching_row_gives_the_word(p, low, high, expected):
    assert word(p, low, high, 0.05, 0.05) == expected


@pytest.mark.parametrize(("clusters", "expected"), [(71, "inconclusive"), (72, "within noise")])
def test_identical_answers_need_72_clusters_at_the_default_margin(clusters, expected):
    bound = no_flip_bound(clusters)

    assert word(1.0, -bound, bound, 0.05, 0.05)[0] == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.02, -0.01, "regressed"),
        (0.01, 0.02, "improved"),
        (0.0, 0.0, "within noise"),
        (0.0, 0.01, "not worse"),
        (-0.01, 0.01, "inconclusive"),
    ],
)
def test_without_a_margin_the_sign_of_the_interval_decides(low, high, expected):
    assert word(0.01, low, high, 0.0, 0.05)[0] == expected


@pytest.mark.parametrize("p", [0.0001, 0.5, 1.0])
def test_a_p_value_alone_gives_no_word(p):
    assert word(p, -0.2, 0.2, 0.05, 0.05)[0] == "inconclusive"


def test_without_a_flip_the_number_of_probes_leads_to_72_clusters():
    count = more_probes(0.0, 0.0, 0.05, n=140, clusters=14, flipped=False)

    assert count == (72 - 14) * 10


def test_more_probes_make_the_standard_error_small_enough():
    count = more_probes(-0.03, 0.03, 0.05, n=400, clusters=40, flipped=True)

    needed = 40 + count / 10
    assert 0.03 * (40 / needed) ** 0.5 == pytest.approx(0.03 / 2.801585, rel=0.01)


@pytest.mark.parametrize("flipped", [True, False])
def test_no_number_of_probes_settles_a_zero_difference_without_a_margin(flipped):
    assert more_probes(0.0, 0.1, 0.0, n=9, clusters=9, flipped=flipped) is None


@pytest.mark.parametrize(
    ("count", "text"), [(7, "7"), (41, "41"), (123, "130"), (1201, "1,300"), (0, "0")]
)
def test_counts_are_rounded_up_to_two_digits(count, text):
    assert about(count) == text


@pytest.mark.parametrize(
    ("fraction", "text"), [(-0.0919, "-9.2"), (0.0521, "+5.2"), (0.0, "0.0"), (-0.0004, "0.0")]
)
def test_differences_are_printed_in_points_with_a_sign(fraction, text):
    assert signed(fraction) == text
