"""Words of the report for effective history length, half-life and differences of R."""

import pytest

from qwen_bench.report import retention_words as words
from qwen_bench.report.charts import lines
from qwen_bench.report.charts.length_distance_grid import GridCell, GridPanel, draw_grid
from qwen_bench.report.charts.svg import own_settings
from qwen_bench.stats.decay import Decay
from qwen_bench.stats.half_life import HalfLife
from qwen_bench.stats.isotonic import Crossing
from qwen_bench.stats.paired_retention import HalfLifeRatio
from qwen_bench.stats.profile import EffectiveLength, EffectiveLengths
from qwen_bench.stats.retention import Shift

NEAR = "not measurable: accuracy at distance 0 is less than 0.2 above blind accuracy"


def decay(h=12.0, deviance=1.0):
    return Decay(
        h=h, a=0.9, g=0.1, deviance=deviance, df=2, deviance_exact=1.0, df_exact=20,
        shortest=1.0, longest=31.0,
    )  # fmt: skip


def half_life(fitted, low=None, high=None, crossing=None, note=""):
    return HalfLife(fitted, low, high, crossing, 0.0, note)


def at(place):
    return Crossing("at", place)


BEYOND = Crossing("beyond", 31.0)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (EffectiveLength("before", 1), "less than 1 turn"),
        (EffectiveLength("at", 8), "8 turns"),
        (EffectiveLength("beyond", 32), "32 turns or more"),
        (None, "not measurable"),
    ],
)
def test_a_length_is_said_in_turns(length, text):
    assert words.length_words(length) == text


def test_the_shares_of_resamples_stand_with_the_most_frequent_step_first():
    eight, one = EffectiveLength("at", 8), EffectiveLength("at", 1)
    found = EffectiveLengths(eight, one, None, {"< 1": 0.1, "8": 0.7, ">= 32": 0.2}, (1, 8, 32))

    assert words.length_value(found).detail == (
        "of resamples: 8 in 70.0 %, 32 or more in 20.0 %, under 1 in 10.0 %"
    )
    assert words.kept_words(found) == "8 turns"


def test_a_length_that_was_only_observed_says_so_everywhere():
    found = EffectiveLengths(EffectiveLength("at", 8), None, None, {"8": 1.0}, (1, 8, 32))

    assert words.kept_words(found) == "8 turns (observed, no interval)"
    assert words.length_value(found).detail == (
        "observed, no interval at some length; of resamples: 8 in 100.0 %"
    )
    assert words.strict_value(found).text == "no interval"


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (EffectiveLength("before", 1), "under 85 % at 1 turn"),
        (EffectiveLength("at", 8), "85 % up to 8 turns"),
        (EffectiveLength("beyond", 32), "85 % up to 32 turns or more"),
        (None, "85 % up to not measurable"),
    ],
)
def test_the_end_of_a_line_says_how_far_85_percent_are_kept(length, text):
    assert words.kept_label(EffectiveLengths(length, None, None, {}, ())) == text


@pytest.mark.parametrize(
    ("found", "text", "detail"),
    [
        (half_life(decay(), at(8.0), at(16.5)), "12.0 turns", "8.0 to 16.5"),
        (half_life(decay(), at(8.0), BEYOND), "12.0 turns", "8.0 to beyond 31"),
        (half_life(decay(90.0), BEYOND, BEYOND), "beyond 31 turns", "interval: beyond 31"),
        (half_life(decay()), "12.0 turns", "interval not computed"),
        (
            half_life(decay(), note="too few clusters"),
            "12.0 turns",
            "too few skeletons for an interval",
        ),
        (
            half_life(decay(deviance=60.0), at(8.0), at(16.5), at(11.0), "not exponential"),
            "not exponential",
            "fitted 12.0 turns, 8.0 to 16.5",
        ),
        (half_life(None, note=NEAR), "not measurable", ""),
        (
            half_life(None, note="not measurable: fewer than 3 distance bins"),
            "not measurable",
            "fewer than 3 distance bins",
        ),
    ],
)
def test_a_half_life_has_an_interval_or_the_reason_why_not(found, text, detail):
    value = words.half_life_value(found)

    assert (value.text, value.detail) == (text, detail)


def test_a_curve_that_is_not_exponential_is_labelled_with_its_crossing():
    found = half_life(decay(deviance=60.0), crossing=at(11.0), note="not exponential")

    assert words.half_life_words(found) == "one half: 11.0 turns"


@pytest.mark.parametrize(
    ("found", "text", "detail"),
    [
        (HalfLifeRatio(0.5, 0.3, 0.8, "shorter", ""), "0.50", "0.30 to 0.80"),
        (HalfLifeRatio(0.5, 0.3, None, "shorter", ""), "0.50", "0.30 to open"),
        (
            HalfLifeRatio(None, None, None, "shorter", "censored"),
            "shorter",
            "not both lie within the distances asked",
        ),
        (HalfLifeRatio(None, None, None, "open", "censored on a side"), "–", "censored on a side"),
    ],
)
def test_a_ratio_without_a_value_gives_the_direction_alone(found, text, detail):
    value = words.ratio_value(found)

    assert (value.text, value.detail) == (text, detail)


def test_a_shift_without_an_interval_says_why():
    value = words.shift_value(Shift(0.1, None, None, "too few clusters"))

    assert (value.text, value.detail) == ("+10.0", "too few skeletons for an interval")


def test_the_axis_of_what_is_retained_never_cuts_an_interval():
    line = lines.ModelLine("m", {"1": lines.Point(1.1, 0.9, 1.43), "2": lines.Point(-0.1)}, "")
    with own_settings():
        low, high = lines.draw([line], {"1": "1", "2": "2"}).axes[0].get_ylim()

    assert low < -0.1
    assert high > 1.43


def test_cells_of_few_probes_are_hatched_and_missing_ones_say_so():
    panel = GridPanel("m", 0, {(1, 0): GridCell(1.0, 10), (4, 0): GridCell(0.5, 9)})
    with own_settings():
        axes = draw_grid([panel], [1, 4], [(0, 0), (1, 3)]).axes[0]

    assert [patch.get_hatch() for patch in axes.patches] == [None, "////"]
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("no\nprobes") == 1  # at 4 turns, 1 to 3 before; at 1 turn there is no room


def test_differences_are_coloured_alike_in_both_directions():
    cells = {(1, 0): GridCell(-0.3, 20), (2, 0): GridCell(0.0, 20), (4, 0): GridCell(0.3, 20)}
    panel = GridPanel("difference", None, cells, difference=True)
    with own_settings():
        axes = draw_grid([panel], [1, 2, 4], [(0, 0)]).axes[0]

    loss, none, gain = (patch.get_facecolor()[:3] for patch in axes.patches)
    assert loss[0] > loss[2]  # orange
    assert gain[2] > gain[1]  # purple
    assert max(none) - min(none) < 0.02
    assert [text.get_text() for text in axes.texts[1::2]] == ["−30", "0", "+30"]
