"""Planning for a suite: weighted, clustered probes, and what a selection of them can show."""

import numpy as np
import pytest

from qwen_bench.stats.planning import (
    Assumed,
    Design,
    design,
    measured,
    need,
    power_of,
    resolution,
)
from qwen_bench.stats.power import design_effect, pairs_needed
from qwen_bench.stats.significance import sign_flip_p


def equal(clusters, each, families=1):
    """Clusters of one size with every family alike."""
    return [
        (f"mixed-{cluster}", f"family{place % families}")
        for cluster in range(clusters)
        for place in range(each)
    ]


def test_equal_weights_and_clusters_give_the_design_effect_of_the_specification():
    found = design(equal(40, 12, families=4))

    assert (found.probes, found.clusters) == (480, 40)
    assert found.per_cluster == pytest.approx(12)
    assert found.effect(0.3) == pytest.approx(design_effect(12, 0.3))
    assert found.effect(0.0) == pytest.approx(1)


def test_the_worked_number_of_clusters_is_planned():
    found = need(design(equal(1, 12)), Assumed(0.15, 0.3), difference=0.05)

    assert (found.pairs, found.probes) == (469, 2017)
    assert found.effect == pytest.approx(4.3)
    assert (found.rotations, found.clusters, found.probes_asked) == (169, 169, 2028)
    assert 0.80 <= found.power < 0.81


def test_a_small_family_with_the_weight_of_a_large_one_costs_power():
    uneven = [("mixed-0", "large")] * 90 + [("mixed-1", "small")] * 10

    found = design(uneven)

    assert found.effect(0.0) == pytest.approx(100 * (90 / 180**2 + 10 / 20**2))


def test_the_variance_of_a_weighted_clustered_mean_is_the_simulated_one():
    probes = [
        (f"mixed-{c}", f"f{k}") for c in range(20) for k in range(3) for _ in range(c % 4 + k)
    ]
    shape = design(probes)
    generator = np.random.default_rng(7)
    clusters = np.array([int(cluster.split("-")[1]) for cluster, _ in probes])
    families = np.array([int(family[1:]) for _, family in probes])
    counts = np.bincount(families)
    weights = 1 / (len(counts) * counts[families])
    alike = 0.3

    def draw():
        own = generator.choice([1, -1, 0], p=[0.075, 0.075, 0.85], size=len(probes))
        shared = generator.choice([1, -1, 0], p=[0.075, 0.075, 0.85], size=20)
        same = generator.random(len(probes)) < alike**0.5
        return (weights * np.where(same, shared[clusters], own)).sum()

    seen = np.std([draw() for _ in range(4_000)])

    assert shape.standard_error(0.15, alike) == pytest.approx(seen, rel=0.04)


def test_power_inverts_the_number_of_pairs():
    for power in (0.5, 0.8, 0.95):
        pairs = pairs_needed(0.05, 0.15, power=power)
        assert power_of(0.05, pairs, 0.15) == pytest.approx(power)
    assert power_of(0.15**0.5, 1_000, 0.15) == 1.0


def test_too_few_skeletons_for_a_verdict_are_never_planned():
    found = need(design(equal(4, 100)), Assumed(0.5, 0.0), difference=0.4)

    assert found.clusters == 12
    assert found.probes < found.probes_asked


def test_a_selection_tells_the_three_worked_figures():
    # 84 cluster means with a standard deviation of .20: sd^2 / K = pd / n.
    shape = Design(probes=84, clusters=84, squares=1 / 84, cluster_squares=1 / 84)

    found = resolution(shape, Assumed(0.04, 0.0))

    assert found.detected == pytest.approx(0.0611, abs=5e-5)
    assert found.regressed == pytest.approx(0.1111, abs=5e-5)
    assert found.within_noise == pytest.approx(3.241515 * 0.2 / 84**0.5, abs=5e-6)


def test_a_design_without_probes_is_refused():
    with pytest.raises(ValueError, match="main condition"):
        design([])


@pytest.mark.parametrize(("alike", "low", "high"), [(0.0, 0.0, 0.05), (0.36, 0.25, 0.47)])
def test_discordance_and_correlation_are_measured_on_two_runs(outcome, alike, low, high):
    generator = np.random.default_rng(3)
    pairs = []
    for cluster in range(120):
        shared = generator.choice([1, -1, 0], p=[0.05, 0.15, 0.8])
        for place in range(10):
            own = generator.choice([1, -1, 0], p=[0.05, 0.15, 0.8])
            change = shared if generator.random() < alike**0.5 else own
            named = {"cluster": f"mixed-{cluster:03d}", "question": f"q{place}"}
            base, candidate = {1: (0, 1), -1: (1, 0), 0: (1, 1)}[int(change)]
            pairs.append((outcome(base, **named), outcome(candidate, **named)))

    found = measured(pairs)

    assert found.measured
    assert found.discordance == pytest.approx(0.20, abs=0.05)
    assert low <= found.correlation <= high


def test_runs_without_a_changed_answer_measure_nothing(outcome):
    pairs = [
        (outcome(1, cluster=f"mixed-{k}"), outcome(1, cluster=f"mixed-{k}")) for k in range(12)
    ]

    with pytest.raises(ValueError, match="no answer differs"):
        measured(pairs)


def test_a_planned_suite_finds_the_difference_as_often_as_planned():
    """Unequal families and clusters, as a suite has them; 300 simulated comparisons."""
    rotation = [
        (f"mixed-{c}", f"f{k}") for c in range(5) for k in range(4) for _ in range(2 + (c + k) % 3)
    ]
    planned = need(design(rotation), Assumed(0.3, 0.2), difference=0.1)
    per_cluster = {c: [f for name, f in rotation if name == f"mixed-{c}"] for c in range(5)}
    total = {
        f: planned.rotations * sum(1 for _, name in rotation if name == f)
        for f in ("f0", "f1", "f2", "f3")
    }
    generator = np.random.default_rng(11)
    values, chances = [1, -1, 0], [0.1, 0.2, 0.7]
    found = 0

    for seed in range(300):
        sums = []
        for place in range(planned.rotations * 5):
            families = per_cluster[place % 5]
            own = generator.choice(values, p=chances, size=len(families))
            shared = generator.choice(values, p=chances)
            same = generator.random(len(families)) < 0.2**0.5
            change = np.where(same, shared, own)
            sums.append(sum(d / (4 * total[f]) for d, f in zip(change, families, strict=True)))
        found += sign_flip_p(sums, seed=seed, patterns=499) <= 0.05

    assert found / 300 == pytest.approx(planned.power, abs=0.07)
