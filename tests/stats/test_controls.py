"""Which control stands for which probe, and how often."""

import numpy as np
import pytest

from qwen_bench.stats.controls import match_controls


@pytest.fixture
def rows(outcome):
    """Rows in order; each (condition, changes)."""

    def build(*asked):
        lengths = {"adjacent": 1, "blind": 0}
        return [
            outcome(
                1, condition=kind, length=changes.pop("length", lengths.get(kind, 4)), **changes
            )
            for kind, changes in asked
        ]

    return build


def weights(rows, chosen=None, condition=0):
    found = match_controls(rows)[condition]
    mask = [row.condition == "main" for row in rows] if chosen is None else chosen
    return found.weights(np.array(mask)).tolist()


def test_a_probe_is_held_against_the_control_of_its_own_question(rows):
    data = rows(
        ("main", {"question": "a"}),
        ("main", {"question": "b"}),
        ("adjacent", {"question": "b"}),
        ("adjacent", {"question": "a"}),
    )

    assert weights(data, [True, False, False, False]) == [0, 0, 0, 1]
    assert match_controls(data)[0].own.tolist() == [3, 2, -1, -1]


@pytest.mark.parametrize(
    "other",
    [{"cluster": "mixed-1"}, {"variant": "B"}, {"lang": "zh"}, {"family": "pronoun"}],
)
def test_a_control_of_another_cluster_variant_language_or_family_is_not_its_own(rows, other):
    assert match_controls(rows(("main", {}), ("adjacent", other)))[0].own.tolist() == [-1, -1]


def test_a_question_asked_at_several_lengths_counts_its_control_as_often(rows):
    data = rows(("main", {"length": 4}), ("main", {"length": 8}), ("adjacent", {}))

    assert weights(data) == [0, 0, 2]


def test_a_probe_without_a_control_of_its_own_is_held_against_its_stratum(rows):
    """Family, level, wording and language are the same; the third control has another level."""
    data = rows(
        ("main", {"question": "a", "level": 1}),
        ("adjacent", {"question": "b", "level": 1}),
        ("adjacent", {"question": "c", "level": 1}),
        ("adjacent", {"question": "d", "level": 2}),
    )

    assert weights(data) == [0, 0.5, 0.5, 0]


def test_without_a_control_in_its_stratum_it_is_held_against_its_family(rows):
    data = rows(
        ("main", {"question": "a", "level": 3}),
        ("adjacent", {"question": "b", "level": 1}),
        ("adjacent", {"question": "c", "level": 2}),
        ("adjacent", {"question": "d", "family": "pronoun"}),
    )

    assert weights(data) == [0, 0.5, 0.5, 0]


def test_no_family_stands_in_for_another(rows):
    data = rows(("main", {}), ("adjacent", {"family": "pronoun"}))
    found = match_controls(data)[0]

    assert not found.cover(np.array([True, False]))
    assert weights(data) == [0, 0]


def test_adjacent_and_blind_controls_do_not_mix(rows):
    data = rows(("main", {}), ("blind", {}), ("adjacent", {}))

    assert weights(data, condition=0) == [0, 0, 1]
    assert weights(data, condition=1) == [0, 1, 0]


def test_the_weights_of_a_slice_sum_to_its_probes(rows):
    generator = np.random.default_rng(0)
    kinds = generator.choice(["main", "adjacent"], size=200)
    data = rows(
        *(
            (
                str(kind),
                {
                    "question": str(number % 70),
                    "level": 1 + number % 3,
                    "family": ("fact_recall", "pronoun")[number % 2],
                },
            )
            for number, kind in enumerate(kinds)
        )
    )
    mask = np.array([row.condition == "main" for row in data]) & (generator.random(200) < 0.5)

    assert sum(weights(data, mask)) == pytest.approx(mask.sum())


def test_other_conditions_than_main_are_held_against_nothing(rows):
    found = match_controls(rows(("concat", {}), ("adjacent", {})))[0]

    assert not found.cover(np.array([True, False]))
