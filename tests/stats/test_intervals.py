"""Wilson, the bootstrap, and the choice between them."""

import numpy as np
import pytest
from scipy.stats import binomtest

from qwen_bench.stats.bootstrap import Resampler, replicate, standard_error
from qwen_bench.stats.clusters import index_rows
from qwen_bench.stats.intervals import (
    accuracy_interval,
    difference_interval,
    no_flip_bound,
    wilson,
)


def table_of(clusters, *, programme="mixed"):
    """Table of one family: the values of each cluster."""
    return table_of_families({"family": clusters}, programme=programme)


def table_of_families(families, *, programme="mixed"):
    """Table of several families: for each the values of each cluster, empty where it has none."""
    rows = [
        (f"{programme}-{place:04d}", family, value)
        for family, clusters in families.items()
        for place, values in enumerate(clusters)
        for value in values
    ]
    index = index_rows([row[0] for row in rows], [row[1] for row in rows])
    values = np.array([row[2] for row in rows])
    return index.table(values, np.ones(len(rows), dtype=bool))


HAND = {
    "X": [(-1, 0), (-1, -1), (0, 0), (1, 0), ()],
    "Y": [(0,), (-1,), (-1,), (0,), (-1,)],
}
TEN = [(-1, -1, 0, 0), (-1, 0, 0, 0), (0,) * 4, (1, 0, 0, 0), (-1, -1, 0, 0)]
TEN += [(-1, 0, 0, 0), (0,) * 4, (-1, 0, 0, 0), (0,) * 4, (-1, -1, 0, 0)]


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.277533),
        (8, 10, 0.490162, 0.943318),
        (45, 50, 0.786398, 0.956524),
        (50, 100, 0.403832, 0.596168),
        (171, 200, 0.799513, 0.897106),
        (1, 1, 0.206549, 1.0),
    ],
)
def test_wilson_gives_the_worked_numbers(correct, n, low, high):
    assert wilson(correct, n) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(("correct", "n"), [(3, 17), (0, 4), (99, 100), (500, 1000)])
def test_wilson_agrees_with_scipy(correct, n):
    known = binomtest(correct, n).proportion_ci(method="wilson")

    assert wilson(correct, n) == pytest.approx((known.low, known.high), abs=1e-9)


def test_wilson_of_nothing_is_refused():
    with pytest.raises(ValueError, match="share of nothing"):
        wilson(0, 0)


def test_the_macro_endpoint_by_hand():
    table = table_of_families(HAND)

    assert table.macro == pytest.approx(-0.425, abs=1e-12)
    assert table.contributions == pytest.approx([-0.0625, -0.225, -0.1, 0.0625, -0.1], abs=1e-12)


def test_every_family_counts_the_same_whatever_its_size():
    table = table_of_families({"big": [(1,) * 50], "small": [(0,)]})

    assert table.macro == 0.5


@pytest.mark.parametrize(
    ("clusters", "bound"), [(14, 0.231636), (72, 0.049944), (84, 0.042965), (120, 0.030273)]
)
def test_without_a_flip_the_interval_is_the_exact_bound(clusters, bound):
    interval = difference_interval(table_of([(0, 0)] * clusters), Resampler())

    assert no_flip_bound(clusters) == pytest.approx(bound, abs=1e-6)
    assert (interval.low, interval.high) == pytest.approx((-bound, bound), abs=1e-6)
    assert interval.kind == "no flip"


def test_replicates_of_three_clusters_have_the_worked_distribution():
    drawn = replicate(table_of([(-1,), (0,), (0,)]), Resampler(seed=1))

    share = [(np.abs(drawn.values + k / 3) < 1e-9).mean() for k in range(4)]
    assert share == pytest.approx([0.2963, 0.4444, 0.2222, 0.0370], abs=0.015)
    assert np.quantile(drawn.values, [0.025, 0.975]) == pytest.approx([-1, 0])


def test_the_standard_error_of_ten_equal_clusters_is_the_worked_number():
    table = table_of(TEN)

    assert table.macro == pytest.approx(-0.2)
    assert standard_error(table) == pytest.approx(0.081650, abs=1e-6)


def test_ten_clusters_get_a_wider_interval_than_the_percentile_one():
    table = table_of(TEN)
    resampler = Resampler()

    interval = difference_interval(table, resampler)

    low, high = np.quantile(replicate(table, resampler).values, [0.025, 0.975])
    assert interval.kind == "bootstrap-t"
    assert interval.low < low
    assert interval.high > high


def test_bootstrap_t_reaches_further_to_the_side_of_the_rare_large_changes():
    table = table_of([(-1, -1, -1, -1)] * 2 + [(-1, 0, 0, 0)] * 3 + [(0,) * 4] * 7)
    resampler = Resampler()

    interval = difference_interval(table, resampler)

    drawn, error = replicate(table, resampler, errors=True), standard_error(table)
    varied = drawn.errors > 0
    ratios = (drawn.values[varied] - table.macro) / drawn.errors[varied]
    low, high = np.quantile(ratios, [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx(
        (max(-1, table.macro - high * error), table.macro - low * error)
    )
    assert table.macro - interval.low > 1.5 * (interval.high - table.macro)


def test_errors_of_replicates_are_those_of_the_resampled_table():
    table = table_of_families(
        {"X": [(1, 0), (0,), (1, 1), (0, 0, -1)] * 3, "Y": [(0,), (-1, 0), (1,), (0,)] * 3}
    )
    resampler = Resampler(seed=4, replicates=5)

    drawn = replicate(table, resampler, errors=True)

    first = next(resampler.draws(table.strata, 0))[0].astype(int)
    sums, counts = np.repeat(table.sums, first, axis=0), np.repeat(table.counts, first, axis=0)
    again = type(table)(sums, counts, table.strata)
    assert drawn.values[0] == pytest.approx(again.macro)
    assert drawn.errors[0] == pytest.approx(standard_error(again))


def test_fewer_than_ten_clusters_have_no_interval():
    interval = difference_interval(table_of([(1, 0)] * 4 + [(0, 0)] * 5), Resampler())

    assert (interval.low, interval.high, interval.kind) == (None, None, "none")
    assert interval.reason == "too few clusters"


def test_thirty_clusters_get_the_percentile_interval():
    table = table_of([(-1, 0), (0, 0), (1, 0)] * 10)
    resampler = Resampler()

    interval = difference_interval(table, resampler)

    quantiles = np.quantile(replicate(table, resampler).values, [0.025, 0.975])
    assert interval.kind == "percentile"
    assert (interval.low, interval.high) == pytest.approx(tuple(quantiles))


def test_a_single_changed_cluster_of_ten_has_no_bootstrap_t():
    interval = difference_interval(table_of([(-1, 0)] + [(0, 0)] * 9), Resampler())

    assert interval.kind == "none"


@pytest.mark.parametrize("clusters", [12, 40])
def test_equal_changes_everywhere_have_zero_variance(clusters):
    interval = difference_interval(table_of([(-1, 0)] * clusters), Resampler())

    assert (interval.low, interval.high, interval.kind) == (-0.5, -0.5, "zero variance")


def test_flips_that_cancel_in_every_cluster_do_not_give_a_sure_zero():
    interval = difference_interval(table_of([(-1, 1)] * 40), Resampler())

    assert interval.high == pytest.approx(no_flip_bound(40))


def test_an_independent_cell_uses_wilson():
    interval = accuracy_interval(table_of([(1,)] * 8 + [(0,)] * 2), Resampler())

    assert (interval.low, interval.high) == pytest.approx((0.490162, 0.943318), abs=1e-6)


def test_a_clustered_cell_that_is_all_right_uses_wilson_over_clusters():
    interval = accuracy_interval(table_of([(1, 1, 1)] * 12), Resampler())

    assert (interval.low, interval.high) == wilson(12, 12)


def test_a_clustered_cell_that_is_all_wrong_uses_wilson_over_clusters():
    interval = accuracy_interval(table_of([(0, 0)] * 12), Resampler())

    assert (interval.low, interval.high) == wilson(0, 12)


def test_clustering_widens_the_interval_of_an_accuracy():
    clustered = accuracy_interval(table_of([(1,) * 8] * 20 + [(0,) * 8] * 20), Resampler())

    low, high = wilson(160, 320)
    assert clustered.high - clustered.low > 2 * (high - low)


def test_draws_do_not_depend_on_what_was_drawn_before():
    resampler = Resampler(seed=3)
    table = table_of([(1, 0), (0, 0), (1, 1)] * 12)
    other = table_of([(1, 0), (0, 1)] * 30)
    difference_interval(other, resampler)

    assert difference_interval(table, resampler) == difference_interval(table, Resampler(seed=3))


def test_draws_stay_within_a_programme():
    rows = [(f"mixed-{k}", 1) for k in range(20)] + [(f"rule-{k}", 0) for k in range(20)]
    index = index_rows([name for name, _ in rows], ["f"] * 40)
    table = index.table(np.array([value for _, value in rows]), np.ones(40, dtype=bool))

    drawn = replicate(table, Resampler())

    assert table.strata == (("mixed", 20), ("rule", 20))
    assert drawn.values.min() == drawn.values.max() == 0.5


def test_a_programme_of_one_cluster_is_not_a_stratum_of_its_own():
    index = index_rows(["mixed-1", "mixed-2", "rule-1"], ["f"] * 3)

    table = index.table(np.array([1, 0, 1]), np.ones(3, dtype=bool))

    assert table.strata == (("", 3),)


def test_a_replicate_without_a_family_is_drawn_again_and_counted():
    table = table_of_families({"X": [(1,), (0,)] * 20, "Y": [(1,)] + [()] * 39})

    drawn = replicate(table, Resampler(replicates=500))

    assert len(drawn.values) == 500
    assert drawn.redrawn / (drawn.redrawn + 500) == pytest.approx((39 / 40) ** 40, abs=0.06)


def test_families_that_hardly_ever_meet_have_no_interval():
    families = {f"f{k}": [(1, 0) if place == k else () for place in range(12)] for k in range(12)}
    families["f0"][1] = (1, 1)

    interval = accuracy_interval(table_of_families(families), Resampler(replicates=2_000))

    assert interval.reason == "families in too few clusters"


def test_families_of_one_cluster_each_do_not_pass_for_zero_variance():
    families = {f"f{k}": [(1, 0) if place == k else () for place in range(12)] for k in range(12)}

    interval = accuracy_interval(table_of_families(families), Resampler())

    assert interval.reason == "families in too few clusters"


def test_many_clusters_are_drawn_in_pieces_that_fit_in_memory():
    resampler = Resampler(replicates=30)

    pieces = list(resampler.draws((("mixed", 400_000),), 0))

    assert len(pieces) > 1
    assert sum(len(piece) for piece in pieces) == 30
    assert all((piece.sum(axis=1) == 400_000).all() for piece in pieces)


def test_a_slice_without_rows_is_refused():
    index = index_rows(["mixed-1"], ["f"])

    with pytest.raises(ValueError, match="without rows"):
        index.table(np.array([1]), np.zeros(1, dtype=bool))
