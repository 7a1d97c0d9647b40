import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.record.redaction import redact_shown
from qwen_bench.report.answers import transcript
from qwen_bench.report.charts import lines
from qwen_bench.report.charts.differences import ForestGroup, draw_forest
from qwen_bench.report.charts.svg import PAPER, SERIES, figure_to_svg, own_settings, spread
from qwen_bench.report.untrusted_text import TextSpan, clean, plain, segments
from qwen_bench.stats.results import Accuracy, Cell


def accuracy(share, low=None, high=None):
    return Accuracy(n=20, clusters=10, correct=0, accuracy=share, low=low, high=high)


def cell(difference, low, high, word=None):
    return Cell(
        n=20, clusters=10, base=0.5, candidate=0.5 + difference, difference=difference, low=low,
        high=high, p=0.5, p_adjusted=None, both_right=5, lost=5, gained=5, both_wrong=5, word=word,
        note="",
    )  # fmt: skip


def test_controls_become_pictures_and_the_rest_of_the_unprintable_a_replacement():
    assert clean("a\x1b[0m\x00\ud800\x9f\ufffe\tb\r\nc") == "a␛[0m\ufffd\ufffd\ufffd\ufffd\tb\nc"


def test_bidirectional_controls_are_spelled_out():
    assert plain("a\u202eb") == "aU+202Eb"
    assert segments("a\u202eb") == (
        TextSpan("text", "a"),
        TextSpan("chip", "U+202E"),
        TextSpan("text", "b"),
    )


def test_matches_are_pointed_out_and_impossible_spans_ignored():
    assert segments("It is Maren.", [(6, 11), (8, 9), (50, 60), (-3, 2)]) == (
        TextSpan("text", "It is "),
        TextSpan("match", "Maren"),
        TextSpan("text", "."),
    )


def test_joining_segments_gives_the_text_back():
    text = "one two\nthree"

    assert "".join(item.text for item in segments(text, [(0, 3), (4, 7)])) == text


def test_redaction_keeps_counts_and_hashes():
    value = {"max_new_tokens": 64, "tokenizer_sha256": "ab", "eos_token": "</s>", "api_key": "x"}

    assert redact_shown(value) == value | {"api_key": "[redacted]"}


def test_labels_keep_their_distance_and_stay_under_the_top():
    placed = spread([1.0, 1.0, 0.99, 0.2], 0.1)

    assert max(placed) <= 1.0
    ordered = sorted(placed)
    assert all(b - a >= 0.1 - 1e-9 for a, b in pairwise(ordered))
    assert placed[3] == 0.2


def test_the_gold_answer_is_marked_in_planted_turns_only(sample):
    dialogue = next(iter(sample.SampleSuite(langs=("en",), extra_turn="Maren waves.").dialogues()))
    asked = next(item for item in dialogue.probes if item.probe.length == 4)

    shown = transcript(asked)

    assert [(stretch.planted, len(stretch.turns)) for stretch in shown.stretches] == [
        (True, 1),
        (False, 3),
    ]
    planted = shown.stretches[0].turns[0].lines[0].segments
    assert TextSpan("match", "Maren") in planted
    assert all(
        segment.kind == "text"
        for turn in shown.stretches[1].turns
        for line in turn.lines
        for segment in line.segments
    )


def test_a_system_message_and_a_bare_question_are_shown(sample):
    dialogue = next(iter(sample.SampleSuite().dialogues()))
    blind = next(item for item in dialogue.probes if item.probe.condition == "blind")
    with_system = type(blind)(blind.probe, (Message("system", "Be brief."), *blind.messages))

    shown = transcript(with_system)

    assert shown.system == (TextSpan("text", "Be brief."),)
    assert shown.stretches == ()
    assert shown.length == 0


def test_ids_of_a_chart_carry_its_slug_and_references_follow():
    with own_settings():
        figure = lines.draw([lines.accuracy_line("m", {1: accuracy(1.0, 0.8, 1.0)})], {"1": "1"})
        svg = figure_to_svg(figure, "chart-x", title="t", description="d")
    root = ET.fromstring(str(svg))  # noqa: S314 - our own chart
    ids = {element.get("id") for element in root.iter()} - {None}
    references = {element.get("href") for element in root.iter()} - {None}

    assert all(name.startswith("chart-x") for name in ids)
    assert {reference.removeprefix("#") for reference in references} <= ids
    assert "metadata" not in str(svg)
    assert "<style" not in str(svg)


def test_hover_text_sits_in_the_mark():
    drawn = [lines.accuracy_line("m", {1: accuracy(0.75, 0.6, 0.9)})]
    with own_settings():
        svg = figure_to_svg(
            lines.draw(drawn, {"1": "1"}),
            "c",
            title="t",
            description="d",
            hints=lines.hints(drawn),
        )
    root = ET.fromstring(str(svg))  # noqa: S314 - our own chart
    mark = next(element for element in root.iter() if element.get("id") == "c-point-0-1")

    assert mark[0].text == "m, 1 turn: 75.0 % (60.0 to 90.0), n 20"


WIDE = (0.6, 0.9)


def parts_drawn(bounds, models=1):
    """What is drawn of models with these intervals along the axis, by gid; None is no interval."""
    points = {
        str(place): lines.Point(0.8, *(ends or (None, None))) for place, ends in enumerate(bounds)
    }
    ticks = {str(place): str(place) for place in range(len(bounds))}
    with own_settings():
        figure = lines.draw([lines.ModelLine("m", points, "80 %")] * models, ticks)
    (axes,) = figure.axes
    return {item.get_gid(): item for item in (*axes.get_children(), *figure.get_children())}


def test_a_band_ends_where_a_length_has_no_interval():
    found = parts_drawn([None, WIDE, WIDE, None, WIDE, WIDE])

    bands = [item for name, item in found.items() if str(name).startswith("band-")]
    across = [sorted({float(x) for x, _ in item.get_paths()[0].vertices}) for item in bands]
    assert across == [[1, 2], [4, 5]]


def test_a_lone_interval_has_no_neighbour_to_share_a_band_with():
    assert not any(str(name).startswith("band-") for name in parts_drawn([None, WIDE, None]))


@pytest.mark.parametrize("models", [1, 3])
def test_a_mark_without_an_interval_is_hollow_and_a_key_says_so(models):
    found = parts_drawn([None, WIDE], models)

    hollow, full = found["point-0-0"], found["point-0-1"]
    assert (hollow.get_markerfacecolor(), hollow.get_markeredgecolor()) == (PAPER, SERIES[0])
    assert (full.get_markerfacecolor(), full.get_markeredgecolor()) == (SERIES[0], PAPER)
    assert "hollow-key" in found


def test_without_a_hollow_mark_there_is_no_key():
    assert "hollow-key" not in parts_drawn([WIDE, WIDE])


def test_the_forest_is_symmetric_and_never_cuts_an_interval():
    groups = [ForestGroup("x", (("a", cell(-0.3, -0.62, 0.1)), ("b", cell(0.1, None, None))))]
    with own_settings():
        axes = draw_forest(groups, margin=0.05).axes[0]
    low, high = axes.get_xlim()

    assert low == -high
    assert high > 0.62


def test_drawing_leaves_the_settings_of_the_process_alone():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with own_settings():
        level = lines.Level(0.2, "x", "20.0 %")
        lines.draw([lines.accuracy_line("m", {1: accuracy(1.0)})], {"1": "1"}, levels=[level])

    assert dict(mpl.rcParams) == before


def test_the_style_sheet_and_script_stay_hand_sized():
    import qwen_bench.report

    folder = Path(qwen_bench.report.__file__).parent / "templates"
    assert len((folder / "report.js").read_text("utf-8").splitlines()) <= 150


def test_of_overlapping_matches_the_longer_one_is_pointed_out():
    assert segments("松涛厅。", [(0, 2), (0, 3)]) == (
        TextSpan("match", "松涛厅"),
        TextSpan("text", "。"),
    )
