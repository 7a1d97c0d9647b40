"""Ability, memory, levels and spans in every output."""

import re
from xml.etree import ElementTree as ET

import html5lib
import pytest

from qwen_bench.report.junit import junit_xml
from qwen_bench.report.markdown import comparison_markdown, profile_markdown
from qwen_bench.report.run_tables import level_loads
from qwen_bench.report.terminal import comparison_lines, profile_lines
from qwen_bench.stats.compare_document import compare_document
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.sentences import sentences
from qwen_bench.stats.summary import summarise


@pytest.fixture(scope="module")
def suite(sample):
    return sample.SampleSuite(clusters=80, levels=2)


@pytest.fixture(scope="module")
def runs(sample, suite):
    """A baseline that remembers, a candidate that forgets at four turns."""
    return [
        sample.run("base-model", suite, modes=("generate",)),
        sample.run("lora-v3", suite, wrong=sample.forgets_long, modes=("generate",)),
    ]


@pytest.fixture(scope="module")
def comparison(runs):
    return compare(pair(*runs), primary="generate")


@pytest.fixture(scope="module")
def page(sample, runs, suite):
    text = sample.page(runs, suite)
    html5lib.HTMLParser(strict=True).parse(text)
    return " ".join(text.split())


def numbers(value):
    """Every number of a tree of JSON values."""
    if isinstance(value, dict):
        return {number for item in value.values() for number in numbers(item)}
    if isinstance(value, list):
        return {number for item in value for number in numbers(item)}
    return {float(value)} if isinstance(value, int | float) else set()


def test_the_terminal_has_ability_and_memory_by_length_and_level_and_in_all(comparison, runs):
    lines = comparison_lines(comparison, runs[0].manifest.suite, sentences(comparison))

    start = next(place for place, line in enumerate(lines) if line.startswith(" points"))
    rows = lines[start + 1 : start + 6]
    assert [line[:9].strip() for line in rows] == ["1 turn", "4 turns", "level 1", "level 2", "all"]
    memory = comparison.verdict.parts.memory
    assert f"{100 * memory.value:+.1f}" in rows[-1]
    assert f"{100 * memory.low:+.1f} to {100 * memory.high:+.1f}" in rows[-1]


def test_the_terminal_has_rows_by_level_and_the_span_of_both_sides(comparison, runs):
    text = "\n".join(comparison_lines(comparison, runs[0].manifest.suite, ()))

    assert re.search(r"^ level +base +candidate +difference", text, re.MULTILINE)
    assert " span: highest level at which half of the ability is kept" in text
    assert re.search(r"^ +4 +level 2 or more +2 to 2 +no level +0 to 0$", text, re.MULTILINE)


def test_the_terminal_of_one_run_has_its_levels_and_span(runs):
    text = "\n".join(profile_lines("a", runs[0].manifest.suite, summarise(runs[0].outcomes)))

    assert re.search(r"^ level +accuracy", text, re.MULTILINE)
    assert re.search(r"^ +4 +level 2 or more +2 to 2$", text, re.MULTILINE)


def test_markdown_has_the_same_tables(comparison, runs):
    text = comparison_markdown([comparison], runs)

    assert "### Ability and memory" in text
    assert re.search(r"^\| level 2 \|", text, re.MULTILINE)
    assert "### By level" in text
    assert "base at level 2 or more over 4 turns; candidate at level 2 or more over 1 turn" in text


def test_markdown_of_one_run_has_its_levels_and_span(runs):
    text = profile_markdown(runs[:1], [summarise(runs[0].outcomes)])

    assert "| level | accuracy |" in text
    assert "Half of the ability is kept at level 2 or more over 4 turns" in text


def test_junit_carries_the_parts_wherever_it_carries_a_difference(comparison, runs):
    root = ET.fromstring(junit_xml([comparison], runs, fail_on="never"))  # noqa: S314 - ours

    said = {case.get("name"): case.findtext("system-out") for case in root.iter("testcase")}
    assert "memory −" in said["family pronoun"]
    assert said["verdict"].count("ability ") >= 5
    assert "level 2:" in said["verdict"]


def test_the_page_has_parts_levels_and_spans(page):
    for caption in ("history", "level", "family", "language", "distance at the longest history"):
        assert f"<caption>Ability and memory by {caption}, points: lora-v3 against" in page
    assert "<caption>By level: lora-v3 minus baseline" in page
    assert "<caption>R by level, written answers (generate)" in page
    assert "<caption>Span by history length, written answers (generate)" in page
    assert '>level 2 or more<span class="detail">over 4 turns; levels 2 to 2<' in page
    assert "<dt>memory</dt>" in page


def test_every_part_on_the_page_is_that_of_compare_json(page, comparison):
    known = numbers(compare_document([comparison], 3))
    tables = page.split("<caption>Ability and memory by ")[1:]

    shown = {
        float(number)
        for table in tables
        for number in re.findall(r'data-value="([^"]*)"', table.split("</table>")[0])
    }
    assert len(shown) > 5
    assert shown <= known


def test_runs_without_levels_have_no_table_of_them(comparison_page):
    assert "By level" not in comparison_page
    assert ">span<" not in comparison_page


def test_a_run_without_adjacent_probes_has_no_parts_and_says_so(sample):
    suite = sample.SampleSuite(clusters=36, conditions=("main",))
    runs = [
        sample.run("base-model", suite, modes=("generate",)),
        sample.run("lora-v3", suite, wrong=sample.forgets_long, modes=("generate",)),
    ]
    found = compare(pair(*runs), primary="generate")

    text = "\n".join(comparison_lines(found, runs[0].manifest.suite, sentences(found)))

    assert "What of the difference is ability and what is memory is not known" in text
    assert not re.search(r"^ points", text, re.MULTILINE)
    assert "Ability and memory by history" not in sample.page(runs, suite)


def test_the_page_says_what_the_levels_of_each_family_count(page):
    listed = re.findall(r"<li><code>(\w+)</code>: ([^<]+)</li>", page)

    assert ("fact_recall", "1, 2 names") in listed


def test_only_known_families_and_asked_levels_are_listed():
    loads = {"fact_recall": ("names", (1, 2, 4, 8, 16))}

    assert level_loads(["fact_recall", "mine"], [2, 4], loads) == (("fact_recall", "2, 8 names"),)
    assert level_loads(["fact_recall"], [], loads) == ()
