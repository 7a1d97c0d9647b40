"""`compare` and `report` can be narrowed to a part of what the runs hold, and say so everywhere."""

import json
import re
from pathlib import Path

import pytest


@pytest.fixture
def two(call):
    for solver in ("oracle", "window-4"):
        done = call(
            "run", "--model", f"mock:{solver}", "--suite", "quick", "--limit", "1",
            "--mode", "generate", "--run-id", solver,
        )  # fmt: skip
        assert done.code == 0, done.err
    return ("oracle", "window-4")


def document(call, two, *flags):
    done = call("compare", *two, *flags, "--fail-on", "never", "--json", "-")
    assert done.code == 0, done.err
    return json.loads(done.out)["candidates"][0]


def test_only_the_rows_that_are_named_are_compared(call, two):
    found = document(
        call, two, "--family", "pronoun", "--family", "fact*", "--lengths", "4,8", "--lang", "zh"
    )

    cells = found["modes"]["generate"]
    assert set(cells["by_family"]) == {"pronoun", "fact_recall"}
    assert set(cells["by_length"]) == {"4", "8"}
    assert set(cells["by_lang"]) == {"zh"}
    assert all("/zh/" in name for name in cells["lost_ids"])


def test_narrowing_keeps_the_controls_whose_length_counts_evidence(call, two):
    found = document(call, two, "--lengths", "8")

    assert {"adjacent", "blind", "main"} <= set(found["modes"]["generate"]["by_condition"])


def test_a_narrowed_comparison_says_so_in_every_output(call, two):
    words = "narrowed to families pronoun; lengths 8; the runs hold more"

    done = call(
        "compare", *two, "--family", "pronoun", "--lengths", "8", "--fail-on", "never",
        "--html", "page.html", "--markdown", "page.md", "--json", "page.json",
    )  # fmt: skip

    assert words in done.out
    assert words in Path("page.html").read_text(encoding="utf-8")
    assert "narrowed to families" in Path("page.md").read_text(encoding="utf-8")
    assert words in json.loads(Path("page.json").read_text())["candidates"][0]["warnings"]


def test_without_flags_nothing_is_narrowed_and_nothing_said(call, two):
    assert not any("narrowed" in warning for warning in document(call, two)["warnings"])


def test_a_report_of_two_runs_can_be_narrowed(call, two):
    done = call("report", *two, "--family", "ellipsis", "-o", "page.html")

    assert done.code == 0, done.err
    page = Path("page.html").read_text(encoding="utf-8")
    assert "narrowed to families ellipsis" in page
    assert not re.search(r"alias_chain\.place", page)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--family", "pronuon"), "no family matches 'pronuon'; near: pronoun"),
        (("--lengths", "7"), "no probes at length 7; lengths are 1, 2, 4, 8"),
        (("--condition", "dense"), "no condition matches 'dense'"),
        (("--lang", "fr"), "no such language 'fr'; there are en, zh"),
    ],
)
def test_a_choice_that_no_run_has_is_refused(call, two, flags, message):
    done = call("compare", *two, *flags)

    assert done.code == 2
    assert message in done.err
