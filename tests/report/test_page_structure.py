import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import html5lib
import pytest

from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair

SVG = re.compile(r"<svg\b.*?</svg>", re.DOTALL)
PAGES = ("comparison_page", "profile_page", "five_page")


@pytest.fixture(params=PAGES)
def any_page(request):
    return request.getfixturevalue(request.param)


def tree(page):
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)


def sections(page):
    return [element.get("id") for element in tree(page).iter("section")]


def test_a_comparison_has_the_sections_of_the_outline_in_order(comparison_page):
    assert sections(comparison_page) == [
        "verdict",
        "numbers",
        "curve",
        "difference",
        "where",
        "flips",
        "method",
        "manifest",
    ]


def test_a_profile_names_its_first_and_sixth_section_differently(profile_page):
    assert sections(profile_page) == [
        "profile",
        "numbers",
        "curve",
        "difference",
        "where",
        "failures",
        "method",
        "manifest",
    ]


def test_the_page_parses_strictly_as_html5(any_page):
    assert tree(any_page) is not None


def test_ids_are_unique_over_the_page(any_page):
    ids = re.findall(r'\sid="([^"]*)"', any_page)

    assert len(ids) == len(set(ids))


def test_every_fragment_link_and_label_points_to_an_id_of_the_page(any_page):
    ids = set(re.findall(r'\sid="([^"]*)"', any_page))
    targets = set(re.findall(r'href="#([^"]*)"', any_page))
    for names in re.findall(r'aria-labelledby="([^"]*)"', any_page):
        targets |= set(names.split())
    targets |= set(re.findall(r"url\(#([^)]*)\)", any_page))

    assert targets <= ids


def test_headings_start_with_one_h1_and_skip_no_level(any_page):
    levels = [int(element.tag[1]) for element in tree(any_page).iter() if is_heading(element)]

    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def is_heading(element):
    return isinstance(element.tag, str) and re.fullmatch(r"h[1-6]", element.tag)


def test_every_table_has_a_caption_and_headers_with_scope(any_page):
    tables = list(tree(any_page).iter("table"))

    assert tables
    for table in tables:
        assert table.find("caption") is not None
        assert all(header.get("scope") for header in table.iter("th"))


def test_every_chart_is_an_image_with_title_and_description_in_well_formed_xml(any_page):
    charts = SVG.findall(any_page)

    assert charts
    for text in charts:
        root = ET.fromstring(text)  # noqa: S314 - our own chart
        space = "{http://www.w3.org/2000/svg}"
        assert root.get("role") == "img"
        assert root.find(f"{space}title").text.strip()
        assert root.find(f"{space}desc").text.strip()


def test_every_figure_has_its_data_as_a_table(any_page):
    figures = list(tree(any_page).iter("figure"))

    assert figures
    assert all(next(figure.iter("table"), None) is not None for figure in figures)


def test_charts_take_their_colours_from_the_page_and_only_heat_maps_have_their_own(any_page):
    for text in SVG.findall(any_page):
        if 'id="chart-where-' in text:
            continue
        assert re.findall(r"#[0-9a-fA-F]{6}\b", text) == []


def test_charts_keep_text_as_text(comparison_page):
    chart = next(
        text for text in SVG.findall(comparison_page) if 'id="chart-retention-generate"' in text
    )

    assert ">lora-v3</text>" in chart or ">lora-v3</tspan>" in chart
    assert ">4 turns</text>" in chart or ">4 turns</tspan>" in chart


def test_nothing_in_the_page_is_loaded_from_elsewhere(any_page):
    body = any_page.replace('xmlns="http://www.w3.org/2000/svg"', "")

    assert re.findall(r"""(?:src|href|action|poster|data)=["'](?!#)""", body) == []
    assert re.findall(r"url\((?!#)", body) == []
    assert "@import" not in body
    assert "<link" not in body
    assert "http://" not in body
    assert "https://" not in body


def test_the_policy_forbids_everything_but_the_one_script(any_page):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', any_page).group(1)
    scripts = re.findall(r"<script>(.*?)</script>", any_page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()

    assert len(scripts) == 1
    assert any_page.count("<script") == 1
    assert policy == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


def test_no_element_carries_an_event_handler(any_page):
    names = {name for element in tree(any_page).iter() for name in element.attrib}

    assert not [name for name in names if str(name).startswith("on")]


def test_numbers_in_the_tables_are_those_of_the_comparison(sample, comparison_page):
    _, runs = sample.two_runs()
    comparison = compare(pair(*runs), primary="generate")
    shown = {float(value) for value in re.findall(r'data-value="([^"]*)"', comparison_page)}

    for mode in comparison.modes.values():
        for cell in (mode.overall, *mode.by_length.values(), *mode.by_family.values()):
            assert {cell.base, cell.candidate, cell.difference, float(cell.n)} <= shown


def test_the_verdict_stands_in_the_card_with_symbol_word_interval_and_sentences(comparison_page):
    card = comparison_page.split('<section id="verdict"')[1].split("</section>")[0]

    assert "▼" in card
    assert "Regressed" in card
    assert "lora-v3 answers 44.4 points fewer of the questions right than base-model" in card
    assert "memory, the rest, by −44.4 points" in card
    assert "it forgets more." in card
    assert "95 % interval" in card
    assert re.search(r"−\d+\.\d", card)


def test_both_scorers_are_shown_and_the_primary_comes_first(comparison_page):
    first = comparison_page.index('id="chart-retention-generate"')
    second = comparison_page.index('id="chart-retention-rank"')

    assert first < second


def test_a_changed_answer_shows_planted_turn_question_and_both_answers(comparison_page):
    flips = comparison_page.split('<section id="flips"')[1].split("</section>")[0]
    entry = flips.split('<details class="answer"')[1]

    assert "planted here, turn 1 of 4" in entry
    assert "3 turns hidden, 2 to 4" in entry
    assert "question, 3 turns after the evidence" in entry
    assert re.search(
        r"At the gym I ask for <mark>\w+</mark>\.|去健身房我找<mark>\w+</mark>。", entry
    )
    assert entry.count('<p class="said"') == 3  # expected, baseline, candidate


def test_controls_are_shown_by_model(comparison_page):
    method = comparison_page.split('<section id="method"')[1].split("</section>")[0]

    assert "question alone (blind)" in method
    assert "evidence directly before (adjacent)" in method


def test_several_candidates_get_a_row_each_and_are_not_ranked(five_page):
    card = five_page.split('<section id="verdict"')[1].split("</section>")[0]

    assert card.count('<th scope="row">') == 4
    assert "compared with the baseline, not with each other" in card
    assert "best" not in card.lower()


def test_each_candidate_of_several_has_its_own_word_at_a_changed_answer(five_page):
    entry = five_page.split('<details class="answer"')[1].split("</summary>")[0]

    assert (
        'data-outcome="lost: model-1|right in both: model-2|lost: model-3|right in both: model-4"'
        in entry
    )
    assert entry.count('class="pill') == 4
