"""A page of a run under a history policy tells what was cut from what was forgotten."""

from dataclasses import replace

import html5lib
import pytest

from qwen_bench.testing import change_run

SENTENCE = "History policy last-turns:2: the evidence was still in the prompt of"


@pytest.fixture
def under_policy():
    """A run whose evidence, in the first turn, is visible up to a history of two turns."""

    def change(run):
        rows = [
            replace(
                row,
                policy="last-turns:2",
                evidence_visible=row.condition != "blind" and row.length <= 2,
                score=row.score if row.length <= 2 else 0,
            )
            for row in run.outcomes
        ]
        return change_run(replace(run, outcomes=rows), suite__policy="last-turns:2")

    return change


def check(page):
    html5lib.HTMLParser(strict=True).parse(page)
    return " ".join(page.split())


def test_a_profile_says_how_much_was_cut(sample, under_policy):
    suite = sample.SampleSuite(lengths=(1, 4))

    page = check(sample.page([under_policy(sample.run("a", suite))], suite))

    assert f"{SENTENCE} 50.0 % of the probes, and of these 100.0 % were answered right." in page
    assert "accuracy given visible" in page
    assert "50.0 % + 0.0 % after the cut" in page
    assert "the history policy had cut the evidence" in page


def test_a_profile_with_everything_cut_claims_no_accuracy(sample, under_policy):
    suite = sample.SampleSuite(lengths=(4,))

    page = check(sample.page([under_policy(sample.run("a", suite))], suite))

    assert f"{SENTENCE} 0.0 % of the probes. The rest was cut" in page


def test_a_comparison_has_both_sides_in_the_key_figures(sample, under_policy):
    suite = sample.SampleSuite(lengths=(1, 4))
    runs = [under_policy(sample.run(name, suite)) for name in ("a", "b")]

    page = check(sample.page(runs, suite))

    assert page.count("evidence visible") == page.count("accuracy given visible") == 2
    assert page.count("50.0 % + 0.0 % after the cut") == 4


@pytest.mark.parametrize("word", ["evidence visible", "given visible", "had cut the evidence"])
def test_a_page_of_full_histories_speaks_of_no_cut(profile_page, word):
    assert word not in profile_page
