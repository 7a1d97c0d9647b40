"""Half-life: worked fits, an independent optimiser, censoring, intervals and ratios."""

import time

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm, t

from qwen_bench.stats.bootstrap import Resampler
from qwen_bench.stats.clusters import make_rows, paired_rows
from qwen_bench.stats.decay import fit, fit_many
from qwen_bench.stats.half_life import HalfLife, expanded_tails, half_life, place_text
from qwen_bench.stats.isotonic import Crossing, crossing
from qwen_bench.stats.paired_retention import half_lives

D = (0, 3, 7, 15, 31, 63)
EXACT = tuple(200 * p for p in (0.95, 0.806807, 0.650678, 0.428403, 0.200169, 0.073650))


@pytest.mark.parametrize(
    ("data", "known", "text"),
    [
        (((190, 161, 130, 86, 40, 15), 200, 0.05), (12.0205, 0.94956, 0.0108), "12.0"),
        (((90, 80, 85, 60, 45, 20), 100, 0.10), (24.2503, 0.90570, 7.1154), "24.3"),
        (((200, 200, 200, 10, 10, 10), 200, 0.05), (9.609, 1, 409.1), "not exponential"),
    ],
)
def test_fits_give_the_worked_numbers(data, known, text):
    right, n, guess = data
    h, a, deviance = known

    found = fit(D, right, (n,) * 6, guess)

    assert found.h == pytest.approx(h, rel=1e-3)
    assert found.a == pytest.approx(a, abs=1e-3)
    assert found.deviance == pytest.approx(deviance, rel=1e-2)
    assert found.df == 4
    assert (place_text(found.place) if found.exponential else "not exponential") == text


def test_exact_proportions_give_back_their_parameters():
    found = fit(D, EXACT, (200,) * 6, 0.05)

    assert found.h == pytest.approx(12, rel=1e-3)
    assert found.a == pytest.approx(0.95, abs=1e-3)
    assert found.deviance == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("right", "text"), [((180,) * 6, "> 63"), ((190, 10, 10, 10, 10, 10), "< 3")]
)
def test_fits_outside_the_distances_asked_are_censored(right, text):
    found = fit(D, right, (200,) * 6, 0.05)

    assert place_text(found.place) == text
    assert found.at_bound
    assert found.exponential


def test_a_step_is_called_not_exponential_and_shown_by_its_crossing():
    decay = fit(D, (200, 200, 200, 10, 10, 10), (200,) * 6, 0.05)
    place = crossing(D, [(p - 0.05) / 0.95 for p in (1, 1, 1, 0.05, 0.05, 0.05)], (200,) * 6)

    found = HalfLife(decay, None, None, place, 0.0, "")

    assert found.text == "not exponential; crossing 11.0"


def test_a_model_that_forgets_nothing_does_not_fail_the_fit_check():
    found = fit(range(32), (100,) * 32, (100,) * 32, 0.0)

    assert (place_text(found.place), found.exponential) == ("> 31", True)


def test_a_cut_inside_a_bin_is_seen_at_single_distances():
    distances, asked = range(16), (60,) * 16
    right = (60, 60, *(3,) * 14)

    found = fit(distances, right, asked, 0.05, bins=(0, 1, 1, 1, *(2,) * 4, *(3,) * 8))

    assert found.deviance / found.df < 3 < found.deviance_exact / found.df_exact
    assert not found.exponential


def test_the_fit_check_pools_exact_distances_into_bins():
    """Distances 1 and 3 share a bin, but not an expected share."""
    distances, right, asked = (0, 1, 3, 7, 15), (90, 45, 30, 20, 11), (100, 60, 60, 90, 100)

    found = fit(distances, right, asked, 0.05, bins=(0, 1, 1, 2, 3))

    p = found.g + (found.a - found.g) * np.exp2(-np.array(distances) / found.h)
    k = np.array([90, 75, 20, 11])
    n = np.array([100, 120, 90, 100])
    e = np.array([100 * p[0], 60 * p[1] + 60 * p[2], 90 * p[3], 100 * p[4]])
    known = 2 * (k * np.log(k / e) + (n - k) * np.log((n - k) / (n - e))).sum()
    assert found.deviance == pytest.approx(known)
    assert found.df == 2


def test_fits_agree_with_another_optimiser():
    generator = np.random.default_rng(4)
    distances = np.arange(32)
    for h, a, g in ((4, 0.9, 0.1), (11, 0.8, 0.25), (20, 0.97, 0.02)):
        asked = generator.integers(10, 60, 32)
        right = generator.binomial(asked, g + (a - g) * 2 ** (-distances / h))

        def loss(x, right=right, asked=asked, g=g):
            p = np.clip(g + (x[1] - g) * 2 ** (-distances / np.exp(x[0])), 1e-9, 1 - 1e-9)
            return -(right * np.log(p) + (asked - right) * np.log(1 - p)).sum()

        known = minimize(loss, (np.log(8), 0.7), method="Nelder-Mead", tol=1e-10)
        found = fit(distances, right, asked, g)
        assert found.h == pytest.approx(np.exp(known.x[0]), rel=1e-3)
        assert found.a == pytest.approx(known.x[1], abs=1e-3)


def test_the_quick_search_finds_what_the_whole_grid_finds():
    """Decays, steps, rises and noise; the quick search assumes one peak."""
    generator = np.random.default_rng(7)
    distances = np.arange(32.0)
    steps = distances[None] < generator.integers(1, 40, (100, 1))
    curves = np.concatenate(
        [
            0.9 * 2 ** (-distances / generator.uniform(0.3, 90, (100, 1))),
            0.1 + 0.8 * steps,
            0.95 * steps,
            generator.random((50, 32)),
            np.linspace(0.2, 0.9, 32) * np.ones((20, 1)),
        ]
    )
    asked = generator.integers(0, 40, curves.shape).astype(float)
    right = generator.binomial(asked.astype(int), curves).astype(float)
    guess = generator.uniform(0, 0.2, len(curves))

    quick_h, quick_a = fit_many(distances, right, asked, guess)
    whole_h, whole_a = fit_many(distances, right, asked, guess, stride=1)

    assert quick_h == pytest.approx(whole_h, rel=1e-6)
    assert quick_a == pytest.approx(whole_a, abs=1e-6)


def test_a_thousand_fits_take_about_a_second():
    generator = np.random.default_rng(0)
    distances = np.arange(64.0)
    asked = generator.integers(5, 60, (1_000, 64)).astype(float)
    right = np.floor(asked * 0.8 * 2 ** (-distances / 9))
    start = time.process_time()

    fit_many(distances, right, asked, np.full(1_000, 0.1))

    assert time.process_time() - start < 4


def test_a_fit_needs_a_positive_distance():
    with pytest.raises(ValueError, match="positive distance"):
        fit((0,), (3,), (5,), 0.1)


@pytest.fixture
def rows(outcome):
    """Rows of 40 clusters at T = 64 with the accuracy `p(distance)`, 0 blind, 1 adjacent."""

    def build(p, *, distances=D, adjacent=1.0, clusters=40, seed=1):
        generator = np.random.default_rng(seed)

        def row(number, condition, distance, chance, question="q"):
            return outcome(
                int(generator.random() < chance),
                cluster=f"mixed-{number:03d}",
                condition=condition,
                length=64 if condition == "main" else 0,
                distance=distance,
                question=f"{question}{distance}",
            )

        data = []
        for number in range(clusters):
            data += [row(number, "blind", None, 0.0), row(number, "adjacent", 0, adjacent)]
            data += [row(number, "main", d, p(d), name) for d in distances for name in "xy"]
        return data

    return build


def decaying(h):
    return lambda d: 0.95 * 2 ** (-d / h)


def test_the_interval_holds_the_half_life(rows):
    found = half_life(make_rows(rows(decaying(12))), Resampler(0, 200))

    assert found.low.at < found.decay.h < found.high.at
    assert (found.low.state, found.high.state, found.censored) == ("at", "at", 0)
    assert 7 < found.low.at < found.high.at < 18
    assert found.crossing.state == "at"
    assert found.note == ""


def test_a_bound_outside_the_distances_asked_is_censored_too(rows):
    found = half_life(make_rows(rows(decaying(55), clusters=12)), Resampler(0, 200))

    assert found.high == Crossing("beyond", 63)
    assert found.low.state == "at"
    assert 0 < found.censored < 1


def test_the_same_rows_give_the_same_interval_in_any_order(rows):
    data = rows(decaying(12))

    first = half_life(make_rows(data), Resampler(3, 100))
    second = half_life(make_rows(reversed(data)), Resampler(3, 100))

    assert first == second


def test_two_distance_bins_have_no_half_life(rows):
    found = half_life(make_rows(rows(decaying(12), distances=(0, 1, 3))), Resampler(0, 50))

    assert (found.decay, found.text) == (None, "not measurable")
    assert found.note == "not measurable: fewer than 3 distance bins"


def test_without_ability_there_is_no_half_life(rows):
    found = half_life(make_rows(rows(decaying(12), adjacent=0.1)), Resampler(0, 50))

    assert found.decay is None
    assert "less than 0.2 above" in found.note


def test_a_model_at_the_guess_rate_everywhere_has_a_crossing_but_no_half_life(rows):
    found = half_life(make_rows(rows(lambda _: 0.0)), Resampler(0, 50))

    assert (found.decay, found.crossing) == (None, Crossing("before", 0))
    assert "at the guess rate" in found.note
    assert place_text(found.crossing) == "before the first bin"


def test_few_clusters_have_a_half_life_without_an_interval(rows):
    found = half_life(make_rows(rows(decaying(12), clusters=8)), Resampler(0, 50))

    assert found.decay is not None
    assert (found.low, found.high, found.note) == (None, None, "too few clusters")


@pytest.fixture
def ratio(rows):
    def build(one, two, *, adjacent=(1.0, 1.0), **changes):
        left = rows(one, adjacent=adjacent[0], **changes)
        right = rows(two, adjacent=adjacent[1], seed=2, **changes)
        pairs = paired_rows(list(zip(left, right, strict=True)))
        return half_lives(*pairs, Resampler(0, 200)).ratio

    return build


def test_the_ratio_has_an_interval_on_the_log_scale(ratio):
    found = ratio(decaying(16), decaying(8))

    assert 0.3 < found.low < found.value < found.high < 0.8
    assert (found.direction, found.note) == ("shorter", "")


def test_a_censored_half_life_leaves_the_direction_only(ratio):
    found = ratio(decaying(12), lambda _: 0.95)

    assert (found.value, found.low, found.high) == (None, None, None)
    assert (found.direction, found.note) == ("longer", "censored")


def test_two_half_lives_beyond_the_suite_have_no_direction(ratio):
    assert ratio(lambda _: 0.95, lambda _: 0.95).direction == "open"


def test_too_many_censored_replicates_leave_no_ratio(ratio):
    found = ratio(decaying(12), decaying(65), clusters=12)

    assert (found.value, found.direction) == (None, "longer")
    assert found.note == "too many censored replicates"


def test_a_few_censored_replicates_leave_one_side_of_the_interval_open(ratio):
    found = ratio(decaying(12), decaying(60), clusters=12)

    assert found.low < found.value
    assert found.high is None


def test_a_model_that_alone_can_do_the_task_leaves_no_ratio(ratio):
    for adjacent, side in (((1, 0), "baseline"), ((0, 1), "candidate")):
        found = ratio(decaying(12), decaying(12), adjacent=adjacent)
        assert found.note == f"measurable in the {side} only"
    assert ratio(decaying(12), decaying(12), adjacent=(0, 0)).note.startswith("not measurable")


def test_a_model_against_itself_has_the_ratio_one(rows):
    data = rows(decaying(12))

    found = half_lives(*paired_rows([(row, row) for row in data]), Resampler(0, 100)).ratio

    assert (found.value, found.low, found.high, found.direction) == (1, 1, 1, "same")


@pytest.mark.parametrize("clusters", [10, 12, 20, 60, 240])
def test_the_tails_of_an_interval_are_those_of_the_expanded_percentile(clusters):
    spread = t.ppf(0.975, clusters - 1) * np.sqrt(clusters / (clusters - 1))

    low, high = expanded_tails(clusters)

    assert low == pytest.approx(norm.cdf(-spread), rel=2e-3)
    assert high == pytest.approx(1 - low)
