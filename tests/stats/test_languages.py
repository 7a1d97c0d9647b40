"""The gap between languages, and its change."""

import pytest

from qwen_bench.stats.bootstrap import Resampler
from qwen_bench.stats.paired_comparison import language_gap


@pytest.fixture
def pairs(grid):
    """Pairs of two models from a rule for each."""

    def build(base, candidate, **changes):
        return list(zip(grid(base, **changes), grid(candidate, **changes), strict=True))

    return build


def fails_in_chinese(number, _family, length, lang):
    return int(not (lang == "zh" and length == 4 and number % 2))


def test_a_loss_in_one_language_is_a_change_of_the_gap(pairs):
    found = language_gap(pairs(lambda *_: 1, fails_in_chinese), Resampler(0, 500))

    assert found.n == 40 * 2 * 2
    assert found.base.value == 0.0
    assert found.candidate.value == found.change.value == pytest.approx(-0.25)
    assert found.change.low < -0.25 < found.change.high < 0
    assert found.candidate.note == ""


def test_a_loss_in_both_languages_leaves_the_gap(pairs):
    found = language_gap(pairs(lambda *_: 1, lambda *_: 0), Resampler(0, 500))

    assert (found.base.value, found.candidate.value, found.change.value) == (0.0, 0.0, 0.0)
    assert found.base.low == -found.base.high < 0


def test_a_gap_may_change_by_more_than_one(pairs):
    found = language_gap(
        pairs(lambda *key: int(key[3] == "en"), lambda *key: int(key[3] == "zh")), Resampler(0, 99)
    )

    assert (found.base.value, found.candidate.value) == (-1.0, 1.0)
    assert (found.change.value, found.change.low, found.change.high) == (2.0, 2.0, 2.0)


def test_a_question_asked_in_one_language_has_no_twin(pairs):
    both = pairs(lambda *_: 1, fails_in_chinese)
    part = [pair for pair in both if (pair[0].lang, pair[0].length) != ("zh", 4)]

    found = language_gap(part, Resampler(0, 99))

    assert found.n == 40 * 2
    assert found.candidate.value == 0.0


def test_one_language_has_no_gap(pairs):
    english = [pair for pair in pairs(lambda *_: 1, lambda *_: 1) if pair[0].lang == "en"]

    assert language_gap(english, Resampler()) is None


def test_few_skeletons_have_a_gap_without_an_interval(pairs):
    found = language_gap(pairs(lambda *_: 1, fails_in_chinese, clusters=6), Resampler(0, 99))

    assert found.change.value == pytest.approx(-0.25)
    assert (found.change.low, found.change.note) == (None, "too few clusters")
