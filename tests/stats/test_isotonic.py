"""Non-increasing fits and where they cross one half."""

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from qwen_bench.stats.isotonic import (
    Crossing,
    crosses_elsewhere,
    crossing,
    crossing_words,
    non_increasing,
)

DISTANCES = (0, 3, 7, 15, 31, 63)


def test_equal_weights_give_the_worked_fit():
    fit = non_increasing((1, 0.9, 0.95, 0.6, 0.65, 0.2), (1,) * 6)

    assert fit == pytest.approx((1, 0.925, 0.925, 0.625, 0.625, 0.2))


def test_weights_give_the_worked_fit():
    fit = non_increasing((0.9, 0.7, 0.8, 0.4), (100, 50, 150, 100))

    assert fit == pytest.approx((0.9, 0.775, 0.775, 0.4))


def test_the_fit_agrees_with_scipy():
    generator = np.random.default_rng(2)
    values, weights = generator.random(40), generator.integers(1, 50, 40)

    known = isotonic_regression(values, weights=weights, increasing=False).x

    assert non_increasing(list(values), list(weights)) == pytest.approx(known)


def test_the_crossing_is_the_worked_number():
    place = crossing(DISTANCES, (1, 0.9, 0.95, 0.6, 0.65, 0.2), (1,) * 6)

    assert (place.state, place.at) == ("at", pytest.approx(40.4118, abs=1e-4))


def test_a_step_crosses_between_its_two_points():
    place = crossing(DISTANCES, (1, 1, 1, 0.05, 0.05, 0.05), (200,) * 6)

    assert place.at == pytest.approx(7 + 8 * 0.5 / 0.95)


def test_a_curve_that_stays_above_is_beyond_its_last_point():
    assert crossing((1, 2, 4), (1, 0.9, 0.5), (1, 1, 1)) == Crossing("beyond", 4)


def test_a_curve_that_starts_below_is_before_its_first_point():
    assert crossing((1, 2), (0.4, 0.9), (9, 1)) == Crossing("before", 1)


def test_a_curve_without_points_is_refused():
    with pytest.raises(ValueError, match="without points"):
        crossing((), (), ())


@pytest.mark.parametrize(
    ("values", "elsewhere"),
    [
        ((0.9, 0.8, 0.4), False),
        ((0.9, 0.5, 0.4), False),
        ((0.4, 0.3, 0.2), False),
        ((0.9, 0.8, 0.6), False),
        ((0.4, 0.9, 0.2), True),
        ((0.4, 0.9, 0.8), True),
        ((0.2, 0.3, 0.6), True),
    ],
)
def test_points_on_the_other_side_of_the_crossing_are_noticed(values, elsewhere):
    place = crossing((1, 2, 4), values, (1, 1, 1))

    assert crosses_elsewhere(place, (1, 2, 4), values) is elsewhere


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Crossing("beyond", 32), "beyond 32 turns"),
        (Crossing("at", 14.7), "at about 15 turns"),
        (Crossing("before", 1), "already at 1 turn"),
    ],
)
def test_a_crossing_is_said_in_words(place, words):
    assert crossing_words(place) == words
