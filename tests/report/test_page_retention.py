"""What is kept, where it is lost, and what decides nothing, on the page."""

import re
from dataclasses import replace

import html5lib
import pytest

from qwen_bench.report.page import build_report
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.profile import profile
from qwen_bench.stats.summary import summarise


def check(page):
    html5lib.HTMLParser(strict=True).parse(page)
    return " ".join(page.split())


def section(page, name):
    return page.split(f'<section id="{name}"')[1].split("</section>")[0]


def shown(page):
    return {float(value) for value in re.findall(r'data-value="([^"]*)"', page)}


def fading(probe):
    """Wrong for more skeletons the longer the history is."""
    number = int(probe.cluster.removeprefix("mixed-"))
    return probe.condition == "main" and number % 9 < probe.length // 2


@pytest.fixture(scope="module")
def spread_suite(sample):
    """Lengths with distances in every bin up to 8-15."""
    return sample.SampleSuite(lengths=(1, 2, 4, 8, 16), clusters=36)


@pytest.fixture(scope="module")
def fading_runs(sample, spread_suite):
    """A baseline that keeps all, and one that forgets more and more."""
    runs = [
        sample.run("base-model", spread_suite, modes=("generate",)),
        sample.run("lora-v3", spread_suite, wrong=fading, modes=("generate",)),
    ]
    return [replace(run, outcomes=[nearer(row) for row in run.outcomes]) for run in runs]


def nearer(row):
    """Evidence at another distance for every skeleton, so that the distance slice has bins."""
    if row.condition != "main":
        return row
    number = int(row.cluster.removeprefix("mixed-"))
    return replace(row, distance=min(row.length - 1, (0, 2, 5, 12)[number // 4 % 4]))


@pytest.fixture(scope="module")
def fading_page(sample, fading_runs, spread_suite):
    """The page of both."""
    return check(sample.page(fading_runs, spread_suite))


def test_both_curves_of_what_is_kept_stand_under_accuracy_with_their_threshold(fading_page):
    curve = section(fading_page, "curve")

    assert curve.index('id="chart-retention-generate"') < curve.index('id="chart-kept-generate"')
    for mark in ("series-0", "series-1", "drop-1"):
        assert f'id="chart-kept-generate-{mark}"' in curve
    assert re.search(r">85 %</(?:text|tspan)>", curve)


def test_every_r_of_the_page_is_that_of_the_comparison(fading_runs, fading_page):
    kept = compare(pair(*fading_runs), primary="generate").modes["generate"].retention["all"]

    for side in (kept.base, kept.candidate):
        points = [*side.by_length.values(), *side.by_distance.values()]
        assert all(point.value is not None for point in points)
        assert {point.value for point in points} <= shown(fading_page)
        assert {side.blind, side.adjacent, side.recency.value} <= shown(fading_page)
    changes = [*kept.by_length.values(), *kept.by_distance.values()]
    assert {change.value for change in changes} <= shown(fading_page)


def test_effective_length_and_half_life_stand_in_the_key_figures_as_well(fading_page):
    for name in ("numbers", "curve"):
        part = section(fading_page, name)
        assert ">effective history length<" in part
        assert ">16 turns or more<" in part
        assert ">half-life<" in part
        assert ">half-life, candidate over baseline<" in part


def test_without_replicates_of_the_fit_the_page_says_that_there_is_no_interval(fading_page):
    assert "interval not computed" in section(fading_page, "curve")


def test_with_replicates_the_half_life_has_its_interval(fading_runs):
    comparison = compare(pair(*fading_runs), primary="generate", fits=50)
    summaries = [summarise(run.outcomes) for run in fading_runs]

    page = check(build_report(fading_runs, summaries, [comparison], None, chances={}, loads={}))

    assert "interval not computed" not in page


def test_each_language_has_its_own_figures(fading_page):
    curve = section(fading_page, "curve")

    for lang in ("en", "zh"):
        assert f"<caption>What is kept, {lang}, written answers (generate)</caption>" in curve


def test_a_model_that_cannot_do_the_task_has_reasons_instead_of_a_ratio(sample):
    suite = sample.SampleSuite()
    runs = [sample.run("base-model", suite), sample.run("broken", suite, wrong=lambda _: True)]

    curve = section(check(sample.page(runs, suite)), "curve")

    assert "broken: not measurable. It answers 0.0 % with the evidence directly before" in curve
    assert "broken: R is measurable in the baseline only." in curve
    assert 'id="chart-kept-generate-point-0-4"' in curve
    assert 'id="chart-kept-generate-point-1-4"' not in curve


def test_without_any_measurable_model_there_is_no_picture_of_it(sample):
    suite = sample.SampleSuite()
    runs = [sample.run(name, suite, wrong=lambda _: True) for name in ("a", "b")]

    page = check(sample.page(runs, suite))

    assert "chart-kept-" not in page
    assert "chart-distance-" not in page
    assert "not measurable" in section(page, "numbers")


def test_without_controls_the_page_says_what_was_not_asked(sample):
    suite = sample.SampleSuite(conditions=("main",))

    page = check(sample.page([sample.run("a", suite)], suite))

    assert "a: not measurable. The evidence directly before the question and" in page


def test_a_profile_shows_the_same_of_one_side(sample, fading_runs, spread_suite):
    run = fading_runs[1]
    found = profile(run.outcomes, mode="generate")

    page = check(sample.page([run], spread_suite))

    assert {point.value for point in found.by_length.values()} <= shown(page)
    assert {point.value for point in found.by_distance.values()} <= shown(page)
    assert "score without distance up to 2 turns (effective history length)" in page
    assert "candidate over baseline" not in page
    assert found.history.ehl.turns == 2


def test_the_grid_holds_both_models_and_their_difference(fading_runs, fading_page):
    where = section(fading_page, "where")
    rows = [
        [row for row in run.outcomes if row.condition == "main" and row.length == 16]
        for run in fading_runs
    ]
    far = [[row.value for row in side if row.distance == 12] for side in rows]
    shares = [sum(values) / len(values) for values in far]

    for panel in range(3):
        assert f'id="chart-where-generate-cell-{panel}-16-8"' in where
    assert {shares[1], shares[1] - shares[0]} <= shown(where)


def test_a_length_without_a_distance_says_that_nothing_was_asked(fading_page):
    grid = section(fading_page, "where").split("<svg")[1].split("</svg>")[0]

    assert "cell-0-8-8" not in grid
    assert "cell-0-1-0" in grid


def test_effect_sizes_are_shown_and_marked_as_deciding_nothing(fading_runs, fading_page):
    effects = compare(pair(*fading_runs), primary="generate").verdict.effects
    part = section(fading_page, "difference")

    assert "Sizes of the change, they decide nothing" in part
    assert {effects.flip_rate, effects.odds_ratio, effects.cohens_g} <= shown(part)


def test_the_gap_between_languages_and_what_could_be_seen_stand_by_the_difference(
    fading_runs, fading_page
):
    mode = compare(pair(*fading_runs), primary="generate").modes["generate"]
    part = section(fading_page, "difference")

    assert f"Chinese minus English over {mode.languages.n} questions asked in both" in part
    assert {mode.languages.change.value, mode.achieved.detectable} <= shown(part)


def test_families_that_need_no_history_are_marked(sample):
    suite = sample.SampleSuite()
    run = sample.run("a", suite)
    rows = [
        replace(row, score=1) if row.condition == "blind" and row.family == "pronoun" else row
        for row in run.outcomes
    ]

    part = section(check(sample.page([replace(run, outcomes=rows)], suite)), "method")

    assert 'pronoun <span class="tag">guessable</span>' in part
    assert 'fact_recall <span class="tag">guessable</span>' not in part
    assert "more than 10 points above chance" in part


def test_rules_and_abstention_have_their_own_tables(sample):
    suite = sample.SampleSuite()
    run = sample.run("a", suite, wrong=sample.forgets_long, modes=("generate",))
    names = {"fact_recall": "abstention", "pronoun": "instruction_retention"}
    rows = [
        replace(row, family=names[row.family], variant="AB"[int(row.cluster[6:]) % 2])
        for row in run.outcomes
    ]

    curve = section(check(sample.page([replace(run, outcomes=rows)], suite)), "curve")

    survival = curve.split("never broken so far, instruction_retention")[1].split("</table>")[0]
    assert re.findall(r">(\d+\.\d %)<", survival) == ["100.0 %", "16.7 %"]
    assert "balanced accuracy" in curve
    assert "abstains although it was said" in curve


def test_pages_without_rules_or_abstention_leave_their_tables_out(fading_page):
    assert "How long a rule holds" not in fading_page
    assert "balanced accuracy" not in fading_page


def test_five_runs_have_a_panel_of_differences_for_every_candidate(five_page):
    where = section(five_page, "where")

    for panel in range(5):
        assert f'id="chart-where-generate-cell-{panel}-1-0"' in where
    assert "difference of model-4" in where
