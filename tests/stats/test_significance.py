"""Worked numbers and oracles of the tests of no difference."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest

from qwen_bench.stats.significance import (
    cohens_g,
    holm,
    mcnemar_loss_p,
    mcnemar_mid_p,
    mcnemar_p,
    odds_ratio,
    sign_flip,
    sign_flip_p,
)


@pytest.mark.parametrize(
    ("contributions", "p"),
    [
        ((-0.5, -0.25, -0.25, 0, 0.25, -0.5), 8 / 32),
        ((-2, -1, -1, -3, 1, -2, -1, 0), 10 / 128),
        ((1, 1, 1, 1, 1, 1), 2 / 64),
        ((-0.3, -0.2, -0.25, -0.1, -0.15, -0.05, -0.2, 0.05, -0.1, -0.3), 6 / 1024),
        ((0.5, -0.5), 1.0),
        ((0, 0, 0), 1.0),
        ((-0.0625, -0.225, -0.1, 0.0625, -0.1), 6 / 32),
        ((-1, -2, 0, 1), 0.75),
    ],
)
def test_few_clusters_are_enumerated_exactly(contributions, p):
    assert sign_flip_p(contributions) == p


def test_the_enumeration_agrees_with_one_pattern_at_a_time():
    values = np.random.default_rng(3).normal(0.3, 1, size=9)
    signs = itertools.product((-1, 1), repeat=9)

    hits = sum(abs(np.dot(pattern, values)) >= abs(values.sum()) - 1e-12 for pattern in signs)

    assert sign_flip_p(values) == pytest.approx(hits / 2**9, abs=1e-15)


def test_sixteen_equal_clusters_are_exact_and_seventeen_are_sampled():
    assert sign_flip_p(np.ones(16)) == 2 / 2**16
    assert sign_flip_p(np.ones(17)) >= 1 / 20_001


def test_a_sampled_p_value_is_never_zero():
    assert sign_flip_p(np.ones(100)) == 1 / 20_001


def test_a_sampled_p_value_is_near_the_exact_one():
    values = np.array([1] * 14 + [-1] * 8)

    exact = binomtest(8, 22, 0.5).pvalue

    assert sign_flip_p(values) == pytest.approx(exact, abs=0.012)


def test_a_sampled_p_value_depends_on_the_seed_alone():
    values = np.random.default_rng(1).normal(0.2, 1, size=40)

    assert sign_flip_p(values, seed=5) == sign_flip_p(values, seed=5)
    assert sign_flip_p(values, seed=5) != sign_flip_p(values, seed=6)


def test_many_clusters_are_sampled_in_pieces():
    values = np.concatenate([np.ones(1_000), -np.ones(1_000)])

    assert sign_flip_p(values, patterns=5_000) == 1.0


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [
        (0, 0, 1.0),
        (1, 9, 0.021484375),
        (0, 6, 0.03125),
        (3, 12, 0.03515625),
        (10, 25, 0.016673848),
        (4, 10, 0.179565430),
        (5, 5, 1.0),
        (40, 60, 0.056887934),
    ],
)
def test_mcnemar_gives_the_worked_numbers(gained, lost, p):
    assert mcnemar_p(gained, lost) == pytest.approx(p, abs=1e-9)


@pytest.mark.parametrize(
    ("gained", "lost", "mid", "loss"),
    [
        (0, 0, 1.0, 1.0),
        (1, 9, 0.011718750, 0.010742188),
        (0, 6, 0.015625, 0.015625),
        (3, 12, 0.021270752, 0.017578125),
        (10, 25, 0.011330984, 0.008336924),
        (4, 10, 0.118469238, 0.089782715),
        (5, 5, 1.0, 0.623046875),
        (40, 60, 0.046044067, 0.028443967),
    ],
)
def test_mid_p_and_the_one_sided_p_are_the_worked_numbers(gained, lost, mid, loss):
    assert mcnemar_mid_p(gained, lost) == pytest.approx(mid, abs=1e-9)
    assert mcnemar_loss_p(gained, lost) == pytest.approx(loss, abs=1e-9)


def test_a_gain_is_no_loss():
    assert mcnemar_loss_p(9, 0) == 1.0
    assert sign_flip([1.0] * 9).loss == 1.0
    assert sign_flip([1.0] * 30).loss == 1.0


@pytest.mark.parametrize(
    ("gained", "lost", "odds", "g"),
    [(3, 12, 4.0, 0.30), (0, 6, 13.0, 0.5), (6, 0, 1 / 13, 0.5), (5, 5, 1.0, 0.0)],
)
def test_effect_sizes_are_the_worked_numbers(gained, lost, odds, g):
    assert odds_ratio(gained, lost) == pytest.approx(odds)
    assert cohens_g(gained, lost) == pytest.approx(g)


def test_without_a_flip_effect_sizes_are_undefined():
    assert odds_ratio(0, 0) is None
    assert cohens_g(0, 0) is None


def test_the_one_sided_sign_flip_test_equals_mcnemar_for_independent_pairs():
    assert sign_flip([1] * 3 + [-1] * 9).loss == pytest.approx(mcnemar_loss_p(3, 9), abs=1e-15)
    assert sign_flip([]).loss == 1.0


def test_a_sampled_one_sided_p_is_near_the_exact_one_and_never_zero():
    values = np.array([1] * 8 + [-1] * 14)

    assert sign_flip(values).loss == pytest.approx(mcnemar_loss_p(8, 14), abs=0.012)
    assert sign_flip(-np.ones(100)).loss == 1 / 20_001


@pytest.mark.parametrize("flips", [(2, 7), (13, 4), (30, 51), (0, 1)])
def test_mcnemar_is_the_two_sided_binomial_test(flips):
    assert mcnemar_p(*flips) == pytest.approx(binomtest(flips[0], sum(flips), 0.5).pvalue)


def test_mcnemar_equals_the_sign_flip_test_of_independent_pairs():
    assert mcnemar_p(3, 9) == sign_flip_p([1] * 3 + [-1] * 9)


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [
        ((0.001, 0.04, 0.03, 0.005), (0.004, 0.06, 0.06, 0.015)),
        ((0.01, 0.01, 0.01), (0.03, 0.03, 0.03)),
        ((0.6, 0.5), (1, 1)),
        ((0.0005, 0.012, 0.013, 0.04, 0.2, 0.9), (0.003, 0.06, 0.06, 0.12, 0.4, 0.9)),
        ((0.75, 0.25), (0.75, 0.5)),
        ((), ()),
    ],
)
def test_holm_gives_the_worked_numbers(raw, adjusted):
    assert holm(raw) == pytest.approx(adjusted)
