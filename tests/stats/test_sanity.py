"""Warnings about families that need no history."""

import pytest

from qwen_bench.stats.sanity import guessable_warnings


@pytest.fixture
def blind(outcome):
    """Blind rows of one family, some of them right."""

    def build(right, asked=20, **changes):
        return [
            outcome(int(k < right), question=f"q{k}", condition="blind", **changes)
            for k in range(asked)
        ]

    return build


@pytest.mark.parametrize(("right", "named"), [(7, False), (8, True)])
def test_a_family_is_guessable_more_than_ten_points_above_its_chance(blind, right, named):
    texts = guessable_warnings("m", blind(right), {"fact_recall": 0.25})

    assert bool(texts) is named


def test_the_warning_names_model_family_share_and_chance(blind):
    rows = blind(20) + blind(10, family="pronoun") + blind(19, family="ellipsis")

    texts = guessable_warnings("m", rows, {"fact_recall": 0.5, "pronoun": 0.5, "ellipsis": 0.25})

    (text,) = texts
    assert text == (
        "m: guessable, blind accuracy far above chance: ellipsis (95 % of 20, chance 25 %), "
        "fact_recall (100 % of 20, chance 50 %)"
    )


def test_ranked_rows_of_an_undeclared_family_know_their_chance(blind):
    four = ((-1.0, None, 1),) * 4

    assert guessable_warnings("m", blind(8, logprobs=four), {})
    assert not guessable_warnings("m", blind(7, logprobs=four), {})
    assert not guessable_warnings("m", blind(20), {})


def test_rows_with_the_history_do_not_count(outcome):
    assert not guessable_warnings("m", [outcome(1)], {"fact_recall": 0.0})
