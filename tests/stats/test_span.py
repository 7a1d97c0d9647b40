"""How much is kept at once: the highest level of which half of the ability is left."""

import pytest

from qwen_bench.record.formats import NO_INTERVAL
from qwen_bench.report.retention_words import (
    longest_span,
    span_bounds,
    span_value,
    span_words,
)
from qwen_bench.stats.bootstrap import Resampler
from qwen_bench.stats.clusters import make_rows
from qwen_bench.stats.profile import profile
from qwen_bench.stats.span import Span, spans
from qwen_bench.stats.summary import summarise


@pytest.fixture
def rows(outcome):
    """Rows in which every level is asked in every cluster; `value` decides every score."""

    def build(value, *, clusters=40, lengths=(1, 8), levels=(1, 2, 3, 4, 5)):
        asked = [("blind", 0), ("adjacent", 1), *(("main", length) for length in lengths)]
        return [
            outcome(
                int(value(condition, level, length, number)),
                cluster=f"mixed-{number:03d}",
                question=f"q{level}",
                length=length,
                distance=None if condition == "blind" else length - 1,
                condition=condition,
                level=level or None,
            )
            for number in range(clusters)
            for level in levels
            for condition, length in asked
        ]

    return build


def keeps(highest):
    """Right next to the evidence; behind a history up to a level that depends on its length."""

    def value(condition, level, length, _number):
        return condition == "adjacent" or (condition == "main" and level <= highest[length])

    return value


def found(data, **options):
    return spans(make_rows(data), Resampler(0, 200), **options)


def test_the_span_is_the_highest_level_that_is_kept_at_each_length(rows):
    kept = found(rows(keeps({1: 5, 8: 2})))

    assert {length: (one.level, one.highest) for length, one in kept.items()} == {
        1: (5, 5),
        8: (2, 5),
    }
    assert (kept[8].low, kept[8].high, kept[8].note) == (2, 2, "")


def test_a_level_above_one_that_is_lost_does_not_count(rows):
    def gap(condition, level, *_):
        return condition == "adjacent" or (condition == "main" and level != 2)

    assert found(rows(gap))[8].level == 1


def test_exactly_half_is_kept_and_less_is_not(rows):
    def half(share):
        return lambda condition, _level, _length, number: (
            condition == "adjacent" or (condition == "main" and number < share)
        )

    assert found(rows(half(20)))[8].level == 5
    assert found(rows(half(19)))[8].level == 0


def test_guesses_are_taken_out(rows):
    """Right in half of the questions, but a third of them without any history."""

    def value(condition, _level, _length, number):
        return number % 3 == 0 if condition == "blind" else condition == "adjacent" or number % 2

    assert found(rows(value))[8].level == 0


def test_a_level_that_the_model_cannot_do_at_all_is_not_kept_and_said_to_be_that(rows):
    def value(condition, level, *_):
        return condition != "blind" and level < 4

    one = found(rows(value))[8]

    assert (one.level, one.note) == (3, "level 4 is not measurable")


def test_the_interval_tells_how_sure_the_step_is(rows):
    def value(condition, level, _length, number):
        return condition == "adjacent" or (
            condition == "main" and (level < 3 or (level == 3 and number % 2))
        )

    one = found(rows(value))[8]

    assert one.level == 3
    assert (one.low, one.high) == (2, 3)


def test_few_clusters_have_a_span_and_no_interval(rows):
    one = found(rows(keeps({1: 5, 8: 2}), clusters=9))[8]

    assert (one.level, one.low, one.high, one.note) == (2, None, None, "too few clusters")


def test_levels_that_a_suite_does_not_ask_are_left_out(rows):
    one = found(rows(keeps({1: 5, 8: 2}), levels=(2, 4)))[8]

    assert (one.level, one.highest) == (2, 4)


def test_suites_without_levels_have_no_span(rows):
    data = rows(keeps({1: 5, 8: 2}), levels=(0,))

    assert found(data) == {}
    summary = summarise(data)["generate"]
    assert (summary.by_level, summary.spans) == ({}, {})


def test_summary_and_profile_of_a_run_have_the_same_spans(rows):
    data = rows(keeps({1: 4, 8: 1}))

    summary = summarise(data)["generate"]

    assert summary.spans == profile(data, mode="generate", fits=1).spans
    assert [cell.accuracy for cell in summary.by_level.values()] == [1, 0.5, 0.5, 0.5, 0]


def test_spans_are_said_for_the_longest_history_of_each():
    said = span_words(
        {
            1: Span(5, 5, 4, 5),
            2: Span(4, 5, 3, 5),
            4: Span(4, 5, 3, 4),
            32: Span(2, 5, 1, 3),
            64: Span(0, 5, None, None),
        }
    )

    assert said == (
        "level 5 or more over 1 turn, level 4 over 4 turns, level 2 over 32 turns, "
        "no level over 64 turns"
    )


def test_the_interval_of_a_span_is_said_or_missing():
    assert span_bounds(Span(2, 5, 1, 3)) == "1 to 3"
    assert span_bounds(Span(2, 5, None, None)) == NO_INTERVAL
    assert span_value(Span(2, 5, 1, 3)).note == "levels 1 to 3"
    assert span_value(Span(2, 5, None, None, "too few clusters")).note == (
        "no interval; too few clusters"
    )


def test_the_key_figure_is_the_span_at_the_longest_history():
    value = longest_span({1: Span(5, 5, 4, 5), 8: Span(2, 5, 1, 3)})

    assert (value.text, value.note) == ("level 2", "over 8 turns; levels 1 to 3")
    assert longest_span({}).text == "–"
