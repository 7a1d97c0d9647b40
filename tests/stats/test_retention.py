"""Guess-corrected accuracy: worked numbers, the mix of families, intervals and paired changes."""

import numpy as np
import pytest

from qwen_bench.stats.bootstrap import Resampler
from qwen_bench.stats.clusters import (
    distance_bin,
    distance_slices,
    length_slices,
    load_slices,
    make_rows,
    paired_rows,
)
from qwen_bench.stats.paired_retention import shifts
from qwen_bench.stats.retention import (
    control_rates,
    curve,
    guess_corrected,
    guessable,
    position_indices,
)

BASE = (0.92, 0.91, 0.88, 0.86, 0.80, 0.62)
CANDIDATE = (0.90, 0.88, 0.84, 0.74, 0.80, 0.40)


@pytest.fixture
def resampler():
    return Resampler(0, 500)


@pytest.fixture
def rows(outcome):
    """Rows of some clusters; `value(condition, family, length, cluster)` decides every score."""

    def build(value, *, clusters=40, families=("fact_recall",), lengths=(1, 4), skip=()):
        asked = [("blind", 0, None), ("adjacent", 1, 0)] + [("main", t, t - 1) for t in lengths]
        return [
            outcome(
                int(value(condition, family, length, number)),
                cluster=f"mixed-{number:03d}",
                family=family,
                length=length,
                distance=distance,
                condition=condition,
            )
            for number in range(clusters)
            for family in families
            for condition, length, distance in asked
            if condition != "main" or (family, length) not in skip
        ]

    return build


def half_right(condition, _family, length, number):
    """Right next to the evidence, wrong without it; behind four turns right in every second."""
    if condition != "main":
        return condition == "adjacent"
    return length == 1 or number % 2 == 0


@pytest.mark.parametrize(
    ("accuracies", "blind", "adjacent", "known"),
    [
        (BASE, 0.05, 0.92, (1, 0.9885, 0.9540, 0.9310, 0.8621, 0.6552)),
        (CANDIDATE, 0.06, 0.90, (1, 0.9762, 0.9286, 0.8095, 0.8810, 0.4048)),
    ],
)
def test_retention_gives_the_worked_numbers(accuracies, blind, adjacent, known):
    found = [guess_corrected(accuracy, blind, adjacent) for accuracy in accuracies]

    assert found == pytest.approx(known, abs=5e-5)


def test_a_model_that_cannot_do_the_task_is_not_measurable():
    assert guess_corrected(0.25, 0.12, 0.30) is None
    assert guess_corrected(0.25, 0.1, 0.3) == pytest.approx(0.75)


def test_accuracy_below_guessing_is_negative_and_above_the_base_more_than_one():
    assert guess_corrected(0.1, 0.25, 0.75) == pytest.approx(-0.3)
    assert guess_corrected(0.8, 0.25, 0.75) == pytest.approx(1.1)


def test_a_family_is_guessable_ten_points_above_its_chance():
    assert not guessable(0.35, 0.25)
    assert guessable(0.36, 0.25)


def test_retention_is_read_from_the_rows(rows, resampler):
    found = make_rows(rows(half_right))

    points = curve(found, length_slices(found), resampler).points

    assert control_rates(found) == (0.0, 1.0)
    assert [(point.n, point.clusters, point.value) for point in points.values()] == [
        (40, 40, 1.0),
        (40, 40, 0.5),
    ]
    assert (points[1].low, points[1].high, points[1].note) == (1.0, 1.0, "zero variance")
    assert 0.3 < points[4].low < 0.5 < points[4].high < 0.7


def test_a_model_that_loses_nothing_keeps_all_whatever_the_mix_of_families(rows, resampler):
    """The hard family is not asked at one turn; plain pooling would give R = 4/3 there."""

    def value(condition, family, _length, number):
        if condition == "blind":
            return False
        return family == "fact_recall" or number % 2 == 0

    families = ("fact_recall", "update_latest")
    found = make_rows(rows(value, families=families, skip={("update_latest", 1)}))

    points = curve(found, length_slices(found), resampler).points

    assert control_rates(found) == pytest.approx((0, 5 / 6))
    assert [point.value for point in points.values()] == pytest.approx([1, 1])
    assert [point.adjacent for point in points.values()] == [1.0, 0.75]


def test_the_interval_is_that_of_the_whole_ratio(rows, resampler):
    generator = np.random.default_rng(5)

    def value(condition, _family, _length, _number):
        return generator.random() < {"main": 0.6, "adjacent": 0.9, "blind": 0.2}[condition]

    data = rows(value, lengths=(4,))
    found = make_rows(data)

    drawn = curve(found, length_slices(found), resampler).replicates[:, 0]

    # The same draws by hand: accuracy, g and acc0 from the same clusters.
    clusters = sorted({row.cluster for row in data})
    table = {(row.cluster, row.condition): row.value for row in data}
    times = next(iter(resampler.draws(found.strata, 0)))
    main, adjacent, blind = (
        times @ np.array([table[cluster, name] for cluster in clusters]) / len(clusters)
        for name in ("main", "adjacent", "blind")
    )
    assert drawn == pytest.approx((main - blind) / (adjacent - blind))


def test_without_control_rows_nothing_is_measurable(rows, resampler):
    found = make_rows(row for row in rows(half_right) if row.condition != "blind")

    points = curve(found, length_slices(found), resampler).points

    assert (points[4].value, points[4].low, points[4].accuracy) == (None, None, 0.5)
    assert points[4].note == "not measurable: no adjacent or blind rows"


def test_a_family_without_controls_is_not_measured_by_the_controls_of_another(rows, resampler):
    data = rows(half_right, families=("fact_recall", "pronoun"))
    found = make_rows(row for row in data if row.condition == "main" or row.family == "fact_recall")

    points = curve(found, length_slices(found), resampler).points

    assert points[4].note == "not measurable: no adjacent or blind rows"


def test_inability_at_distance_zero_says_so(rows, resampler):
    found = make_rows(
        rows(lambda condition, *_: condition == "main" or (_[2] % 10 == 0 and condition != "blind"))
    )

    point = curve(found, length_slices(found), resampler).points[4]

    assert (point.value, point.low, point.adjacent) == (None, None, 0.1)
    assert "less than 0.2 above" in point.note


def test_few_clusters_have_no_interval(rows, resampler):
    found = make_rows(rows(half_right, clusters=8))

    point = curve(found, length_slices(found), resampler).points[4]

    assert (point.value, point.low, point.note) == (0.5, None, "too few clusters")


def test_unstable_replicates_forbid_an_interval(rows, resampler):
    found = make_rows(
        rows(
            lambda condition, *rest: rest[2] < 3 if condition == "adjacent" else False, clusters=12
        )
    )

    point = curve(found, length_slices(found), resampler).points[4]

    assert (point.value, point.low, point.high) == (0.0, None, None)
    assert point.note.startswith("unstable")


def test_a_row_without_a_score_stays_in_the_denominator(rows, outcome, resampler):
    data = rows(half_right, lengths=(1,))
    failed = [
        outcome(None, cluster=f"mixed-{i:03d}", question="x", length=1, distance=0)
        for i in range(40)
    ]
    found = make_rows([*data, *failed])

    point = curve(found, length_slices(found), resampler).points[1]

    assert (point.n, point.accuracy) == (80, 0.5)


def test_the_order_of_the_rows_does_not_matter(rows):
    data = rows(half_right, families=("fact_recall", "pronoun"))
    shuffled = [data[i] for i in np.random.default_rng(3).permutation(len(data))]
    one, two = make_rows(data), make_rows(shuffled)

    first = curve(one, length_slices(one), Resampler(1, 200))
    second = curve(two, length_slices(two), Resampler(1, 200))

    assert first.points == second.points


def test_distances_fall_into_bins_that_double():
    found = [distance_bin(d) for d in (0, 1, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64)]

    assert found == [
        (0, 0), (1, 3), (1, 3), (4, 7), (4, 7), (8, 15), (8, 15),
        (16, 31), (16, 31), (32, 63), (32, 63), (64, 127),
    ]  # fmt: skip


def test_distance_is_read_at_the_largest_length_and_load_near_the_evidence(outcome):
    found = make_rows(
        outcome(1, length=length, distance=distance, question=f"q{distance}")
        for length, distances in ((4, (0, 2, 3)), (16, (0, 2, 5, 9)))
        for distance in distances
    )

    assert {name: mask.sum() for name, mask in distance_slices(found).items()} == {
        (0, 0): 1, (1, 3): 1, (4, 7): 1, (8, 15): 1,
    }  # fmt: skip
    assert {length: mask.sum() for length, mask in load_slices(found).items()} == {4: 2, 16: 2}


def test_families_stated_only_early_do_not_mix_into_distance(outcome):
    found = make_rows(
        [
            *(outcome(1, length=16, distance=d, question=f"q{d}") for d in (0, 2, 5, 9)),
            *(
                outcome(1, length=16, distance=d, family="instruction_retention", question=f"q{d}")
                for d in (12, 14)
            ),
        ]
    )

    assert sum(int(mask.sum()) for mask in distance_slices(found).values()) == 4


def test_position_indices_compare_the_ends_with_the_middle(outcome, resampler):
    """R is 1 in the nearest bin, 0.5 in the middle ones and 0.75 in the farthest."""
    quarters = {0: 4, 2: 1, 5: 3, 9: 3}
    data = [
        outcome(
            int(condition == "adjacent" or (condition == "main" and i % 4 < quarters[d])),
            cluster=f"mixed-{i:03d}",
            length=16 if condition == "main" else 0,
            distance=d,
            condition=condition,
            question=f"q{d}",
        )
        for i in range(40)
        for d in quarters
        for condition in ("main", "adjacent", "blind")
    ]

    recency, primacy = position_indices(make_rows(data), resampler)

    assert (recency.value, primacy.value) == pytest.approx((0.5, 0.25))
    assert recency.low < 0.5 < recency.high


def test_two_bins_have_no_position_indices(rows, resampler):
    recency, _ = position_indices(make_rows(rows(half_right)), resampler)

    assert (recency.value, recency.note) == (None, "not measurable: fewer than 3 distance bins")


@pytest.fixture
def paired(rows):
    def build(one, two, **changes):
        left, right = rows(one, **changes), rows(two, **changes)
        return paired_rows(list(zip(left, right, strict=True)))

    return build


def change_by_length(base, candidate, resampler):
    """R of the candidate minus R of the baseline at each history length."""
    curves = [curve(rows, length_slices(base), resampler) for rows in (base, candidate)]
    return shifts(*curves)


def test_a_model_against_itself_changes_nothing(paired, resampler):
    base, candidate = paired(half_right, half_right)

    shift = change_by_length(base, candidate, resampler)[4]

    assert (shift.value, shift.low, shift.high) == (0.0, 0.0, 0.0)


def test_a_change_of_retention_has_the_interval_of_the_pairs(paired, resampler):
    def better(condition, family, length, number):
        return half_right(condition, family, length, number) or (
            condition == "main" and number % 4 == 1
        )

    base, candidate = paired(half_right, better)

    shift = change_by_length(base, candidate, resampler)[4]

    widths = [
        point.high - point.low
        for point in (
            curve(side, length_slices(side), resampler).points[4] for side in (base, candidate)
        )
    ]
    assert shift.value == pytest.approx(0.25)
    assert 0.05 < shift.low < shift.value < shift.high < 0.45
    assert shift.high - shift.low < 0.8 * float(np.hypot(*widths))


@pytest.mark.parametrize(
    ("swap", "note"),
    [(False, "measurable in the baseline only"), (True, "measurable in the candidate only")],
)
def test_a_model_that_alone_can_do_the_task_is_said_in_words(paired, resampler, swap, note):
    base, candidate = paired(half_right, lambda *_: False)
    if swap:
        base, candidate = candidate, base

    shift = change_by_length(base, candidate, resampler)[4]

    assert (shift.value, shift.note) == (None, note)


def test_ability_in_neither_model_is_not_measurable(paired, resampler):
    base, candidate = paired(lambda *_: False, lambda *_: False)

    shift = change_by_length(base, candidate, resampler)[4]

    assert shift.note.startswith("not measurable")


def test_rows_without_the_main_condition_are_refused(rows):
    with pytest.raises(ValueError, match="main condition"):
        make_rows(row for row in rows(half_right) if row.condition == "blind")
