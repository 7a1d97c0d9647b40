"""Tables as values, and that terminal, Markdown and page write the same ones."""

import re

import pytest

from qwen_bench.report.markdown import comparison_markdown
from qwen_bench.report.run_cards import unique_labels
from qwen_bench.report.tables import ABSENT, UNKNOWN, Value, run_table
from qwen_bench.report.terminal import comparison_lines, table_lines
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair


@pytest.mark.parametrize(
    ("value", "text", "detail"),
    [
        (Value(0.814, "percent", 0.76, 0.862), "81.4 %", "76.0 to 86.2"),
        (Value(-0.092, "points", -0.134, -0.052), "−9.2", "−13.4 to −5.2"),
        (Value(12.0, word="beyond 31 turns", note="interval not computed"), "beyond 31 turns",
         "interval not computed"),
        (Value(1_930_000_000, "bytes"), "1.9 GB", ""),
        (UNKNOWN, "–", ""),
    ],
)  # fmt: skip
def test_a_value_is_its_word_or_number_and_a_second_line(value, text, detail):
    assert (value.text, value.detail) == (text, detail)


def test_a_slice_that_a_run_does_not_have_says_so_once():
    table = run_table(
        "t", ("n", "share"), {1: "1 turn"}, [{1: 3}, {}], lambda n: (Value(n, "count"), Value(0.5))
    )

    (row,) = table.rows
    assert [value.text for value in row.values] == ["3", "50.0 %", "0", "no probes"]
    assert row.values[-1] is ABSENT


def test_terminal_markdown_and_page_show_the_same_row(sample, comparison_page):
    _, runs = sample.two_runs()
    comparison = compare(pair(*runs, max_error_rate=1.0), primary="generate")
    lines = comparison_lines(comparison, runs[0].manifest.suite, ())
    written = comparison_markdown([comparison], runs)
    pair_row = comparison_page.index('aria-label="By history length: lora-v3')
    shown = comparison_page[comparison_page.index('<th scope="row">4 turns</th>', pair_row) :]

    printed = next(line for line in lines if line.startswith("     4 "))
    assert re.split("  +", printed.strip()) == [
        "4", "100.0 %", "11.1 %", "-88.9", "-97.2 to -77.8", "regressed"
    ]  # fmt: skip
    assert "| 4 | 100.0 % | 11.1 % | −88.9 | −97.2 to −77.8 | regressed" in written
    assert re.findall(r">([−+\d.]+(?: %| to [−+\d.]+)?)<", shown)[1:5] == [
        "100.0 %", "11.1 %", "−88.9", "−97.2 to −77.8"
    ]  # fmt: skip


def test_tables_of_the_terminal_obey_no_markup():
    assert table_lines([("name", 0), ("n", 6)], [["[bold]x[/bold]", "1"]], left=[0]) == [
        "name               n",
        "[bold]x[/bold]     1",
    ]


def test_a_label_used_twice_is_followed_by_its_run():
    assert unique_labels(["a", "b", "a"], ["1", "2", "3"]) == ("a (1)", "b", "a (3)")
