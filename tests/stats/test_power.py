"""Planning: every number of the specification, and what a run could have seen."""

from math import ceil, sqrt

import pytest
from scipy.stats import norm

from qwen_bench.stats.power import (
    achieved,
    clusters_for_error,
    clusters_needed,
    design_effect,
    detectable_by_error,
    error_for_within_noise,
    loss_called_regressed,
    multiplier,
    pairs_needed,
    quantile,
)


@pytest.mark.parametrize(
    ("difference", "discordant", "exact", "at_80", "at_90"),
    [
        (0.10, 0.20, 154.5986, 155, 206),
        (0.05, 0.15, 468.5680, 469, 627),
        (0.03, 0.10, 869.7361, 870, 1_164),
        (0.05, 0.10, 311.5869, 312, 417),
        (0.02, 0.10, 1_959.8604, 1_960, 2_623),
    ],
)
def test_pairs_needed_are_the_worked_numbers(difference, discordant, exact, at_80, at_90):
    found = pairs_needed(difference, discordant)

    assert found == pytest.approx(exact, abs=5e-5)
    assert ceil(found) == at_80
    assert ceil(pairs_needed(difference, discordant, power=0.9)) == at_90
    assert pairs_needed(-difference, discordant) == found


@pytest.mark.parametrize(
    ("difference", "discordant"), [(0.2, 0.1), (0.0, 0.1), (0.1, 0.0), (0.5, 1.5)]
)
def test_an_impossible_difference_is_refused(difference, discordant):
    with pytest.raises(ValueError, match="at most the share of discordant pairs"):
        pairs_needed(difference, discordant)


def test_clusters_carry_less_than_their_probes():
    assert design_effect(12, 0.3) == pytest.approx(4.3)
    assert 469 * design_effect(12, 0.3) == pytest.approx(2_016.7)
    assert clusters_needed(469, 12, 0.3) == 169


def test_independent_probes_need_no_further_clusters():
    assert clusters_needed(469, 1, 0.3) == 469
    assert clusters_needed(480, 12, 0.0) == 40


@pytest.mark.parametrize(("share", "known"), [(0.975, 1.959964), (0.8, 0.841621), (0.9, 1.281552)])
def test_quantiles_are_those_of_the_normal_distribution(share, known):
    assert quantile(share) == pytest.approx(known, abs=5e-7)
    assert quantile(share) == pytest.approx(norm.ppf(share), abs=1e-9)


@pytest.mark.parametrize(("clusters", "points"), [(84, 0.0611), (120, 0.0511), (240, 0.0362)])
def test_the_detectable_difference_of_cluster_means_is_the_worked_number(clusters, points):
    assert multiplier() == pytest.approx(2.801585, abs=5e-7)
    assert detectable_by_error(0.20 / sqrt(clusters)) == pytest.approx(points, abs=5e-5)


def test_a_word_needs_more_than_detection():
    assert loss_called_regressed(0.20 / sqrt(84), 0.05) == pytest.approx(0.111, abs=5e-4)


def test_within_noise_needs_the_worked_number_of_clusters():
    wanted = error_for_within_noise(0.05)

    assert 0.05 / wanted == pytest.approx(3.241515, abs=1e-6)
    assert wanted == pytest.approx(0.015425, abs=5e-7)
    assert clusters_for_error(0.20, 1, wanted) == 169


def test_a_run_says_what_it_could_have_seen():
    found = achieved(0.02, 100, 0.05, independent=0.01)

    assert found.detectable == pytest.approx(0.0560317, abs=1e-7)
    assert found.regressed == pytest.approx(0.1060317, abs=1e-7)
    assert found.margin == pytest.approx(0.0648303, abs=1e-7)
    assert error_for_within_noise(found.margin) == pytest.approx(0.02)
    assert found.clusters == ceil(100 * (0.02 / 0.05 * 3.2415155) ** 2)
    assert found.design_effect == pytest.approx(4.0)


def test_without_a_margin_no_number_of_clusters_brings_within_noise():
    assert achieved(0.02, 100, 0.0).clusters is None
    assert achieved(0.02, 100, 0.0).design_effect is None
