"""Histories of up to 256 turns and 128,000 tokens: readable axes and cells, a curve over tokens."""

import re
from dataclasses import replace
from itertools import combinations

import html5lib
import pytest

from qwen_bench.report.charts import length_distance_grid, lines
from qwen_bench.report.charts.svg import own_settings
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.summary import summarise

LONG = (64, 128, 256)
ALL = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SLACK = 0.85  # a reader's font may be wider


def section(page, name):
    return page.split(f'<section id="{name}"')[1].split("</section>")[0]


def made(sample, lengths, *, models=2, clusters=30, tokens=lambda probe: 502 * probe.length):
    """Runs over these lengths that lose more the longer the history is."""
    suite = sample.SampleSuite(lengths=lengths, clusters=clusters, langs=("en",))
    runs = []
    for number in range(models):

        def wrong(probe, number=number):
            place = int(probe.cluster.removeprefix("mixed-"))
            return probe.condition == "main" and place % 9 < number * probe.length // 64

        run = sample.run(f"model-{number}", suite, wrong=wrong, modes=("generate",), tokens=tokens)
        runs.append(replace(run, outcomes=[nearer(row) for row in run.outcomes]))
    return runs


def nearer(row):
    """Evidence at another distance for every skeleton, so that every bin of distance has rows."""
    if row.condition != "main":
        return row
    number = int(row.cluster.removeprefix("mixed-"))
    return replace(row, distance=min(row.length - 1, (0, *ALL[1:])[number % 9]))


@pytest.fixture(scope="module")
def long(sample):
    return made(sample, LONG)


@pytest.fixture(scope="module")
def long_page(sample, long):
    page = sample.page(long, None)
    html5lib.HTMLParser(strict=True).parse(page)
    return page


@pytest.fixture
def _figures(monkeypatch):
    """Charts as figures instead of SVG."""
    for module in (lines, length_distance_grid):
        monkeypatch.setattr(module, "make_chart", lambda draw, *_args, **_words: draw())


def laid_out(figure):
    """Panels of a figure, every text in its place."""
    figure.draw_without_rendering()
    return figure.axes


def box(text):
    """What a text covers."""
    return text.get_window_extent()


def apart(boxes, slack=SLACK):
    """Whether texts side by side leave room for a wider font."""
    return all(
        min(one.y1, two.y1) <= max(one.y0, two.y0)
        or abs(one.x0 + one.x1 - two.x0 - two.x1) / 2 * slack >= (one.width + two.width) / 2
        for one, two in combinations(boxes, 2)
    )


@pytest.mark.usefixtures("_figures")
@pytest.mark.parametrize("lengths", [LONG, (4, 8, 16, 32, 64, 128, 256), ALL])
def test_labels_of_lengths_and_tokens_do_not_run_into_each_other(sample, lengths):
    runs = made(sample, lengths, models=1)
    summaries = [summarise(runs[0].outcomes)["generate"]]

    with own_settings():
        for draw in (lines.accuracy_chart, lines.tokens_chart):
            labels = laid_out(draw("generate", ["m"], summaries))[0].get_xticklabels()
            assert len(labels) >= len(lengths) - 1
            assert apart([box(label) for label in labels])


@pytest.mark.usefixtures("_figures")
@pytest.mark.parametrize(("lengths", "models"), [(LONG, 2), (ALL, 1), (ALL, 2), (ALL, 4)])
def test_every_number_of_the_heat_map_fits_its_cell_and_every_word_the_picture(
    sample, lengths, models
):
    runs = made(sample, lengths, models=models)
    rows = [run.outcomes for run in runs]
    labels = [run.label for run in runs]

    with own_settings():
        grid = length_distance_grid.grid_section("generate", "x", labels, rows)
        panels = laid_out(grid.chart)
        assert len(panels) == {1: 1, 2: 3, 4: 4}[models]
        for axes in panels:
            whole = axes.get_tightbbox()
            assert axes.figure.bbox.x0 <= whole.x0 < whole.x1 <= axes.figure.bbox.x1
            ticks = axes.get_xticklabels()
            assert [tick.get_text() for tick in ticks] == [str(length) for length in lengths]
            assert apart([box(tick) for tick in ticks])
            room = axes.get_window_extent().width / len(lengths)
            inside = [text for text in axes.texts if text.get_position()[1] < axes.get_ylim()[1]]
            assert len(inside) > len(lengths)
            assert max(box(text).width for text in inside) <= room


def test_the_heat_map_names_distances_up_to_255_turns(long_page):
    where = section(long_page, "where")

    assert "history of 256 turns, 128–255 turns before" in where
    assert 'id="chart-where-generate-cell-2-256-128"' in where
    assert re.search(r">128–255</(?:text|tspan)>", where)


def test_accuracy_over_tokens_stands_under_accuracy_over_turns_with_a_line_a_model(long_page):
    curve = section(long_page, "curve")

    turns, tokens = (f'id="chart-{name}-generate"' for name in ("retention", "tokens"))
    assert curve.index(turns) < curve.index(tokens)
    for number in (0, 1):
        for most in (32_768, 65_536, 131_072):
            assert f'id="chart-tokens-generate-point-{number}-{most}"' in curve
    assert "model-1, 64k to 128k tokens: 50.0 % (" in curve
    assert "model-1: 86.7 % at 16k to 32k tokens, 50.0 % at 64k to 128k tokens." in curve
    assert "Left out" not in curve


def test_the_table_behind_the_curve_has_every_figure_of_the_summary(long, long_page):
    table = (
        section(long_page, "curve")
        .split("<caption>Accuracy by prompt tokens")[1]
        .split("</table>")[0]
    )
    shown = {float(value) for value in re.findall(r'data-value="([^"]*)"', table)}

    for run in long:
        bins = summarise(run.outcomes)["generate"].by_tokens
        assert list(bins) == [32_768, 65_536, 131_072]
        assert {cell.accuracy for cell in bins.values()} <= shown
        assert {float(cell.n) for cell in bins.values()} <= shown
    assert '<th scope="row">64k to 128k</th>' in table


def test_the_difference_by_tokens_is_that_of_compare_json(long, long_page):
    cells = compare(pair(*long), primary="generate").modes["generate"].by_tokens
    table = (
        section(long_page, "difference")
        .split("<caption>By prompt tokens: ")[1]
        .split("</table>")[0]
    )
    shown = {float(value) for value in re.findall(r'data-value="([^"]*)"', table)}

    assert len(cells) == 3
    for cell in cells.values():
        assert {cell.base, cell.candidate, cell.difference, float(cell.n)} <= shown


def test_each_model_has_the_tokens_of_its_own_tokenizer_or_says_that_it_has_none(sample, long):
    other, server = (
        made(sample, LONG, tokens=count)[1]
        for count in (lambda probe: 99 * probe.length, uncounted)
    )
    summaries = [summarise(run.outcomes)["generate"] for run in (long[0], other, server)]

    chart = lines.tokens_chart("generate", ["base", "other", "server"], summaries)

    places = re.findall(r'id="chart-tokens-generate-point-(\d-\d+)"', chart.svg)
    assert set(places) == {
        *("0-32768", "0-65536", "0-131072"),
        *("1-8192", "1-16384", "1-32768"),
    }
    assert chart.finding.endswith("server: its prompts were not counted.")


def uncounted(_):
    return None


@pytest.mark.parametrize(
    ("counts", "shown"), [({}, False), ({8: 400}, False), ({8: 400, 16: 900}, True)]
)
def test_prompts_that_were_not_counted_are_named_and_one_bin_is_no_curve(sample, counts, shown):
    runs = made(
        sample, (1, 8, 16), models=1, clusters=12, tokens=lambda probe: counts.get(probe.length)
    )

    curve = section(sample.page(runs, None), "curve")

    assert ("chart-tokens" in curve) == shown
    assert ("Left out: 24 probes whose prompt was not counted." in curve) == shown
