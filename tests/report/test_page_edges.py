from dataclasses import replace

import html5lib
import pytest

from qwen_bench.errors import InputError
from qwen_bench.report.page import build_report
from qwen_bench.testing import change_run, make_manifest


def check(page):
    html5lib.HTMLParser(strict=True).parse(page)
    return page


def test_identical_runs_have_no_changed_answer(sample):
    suite = sample.SampleSuite()
    page = check(sample.page([sample.run("a", suite), sample.run("b", suite)], suite))

    assert "No answer changed between right and wrong." in page


def test_a_profile_without_a_wrong_answer_says_so(sample):
    suite = sample.SampleSuite()
    page = check(sample.page([sample.run("a", suite)], suite))

    assert "Every probe of the main condition is answered right." in page


def test_all_wrong_in_both_runs_makes_a_page(sample):
    suite = sample.SampleSuite()
    runs = [sample.run(name, suite, wrong=lambda _: True) for name in ("a", "b")]

    assert "No answer changed" in check(sample.page(runs, suite))


def test_one_history_length_makes_a_page(sample):
    suite = sample.SampleSuite(lengths=(4,))
    runs = [sample.run("a", suite), sample.run("b", suite, wrong=sample.forgets_long)]

    assert "4 turns" in check(sample.page(runs, suite))


def test_few_clusters_give_hollow_marks_and_no_interval(sample):
    suite = sample.SampleSuite(clusters=3, langs=("en",))
    runs = [sample.run("a", suite), sample.run("b", suite, wrong=lambda p: p.cluster == "mixed-1")]

    page = check(sample.page(runs, suite))

    assert "no interval" in page
    assert "Inconclusive" in page


def test_one_scorer_only_makes_a_page_without_tags(sample):
    suite = sample.SampleSuite()
    runs = [
        sample.run("a", suite, modes=("generate",)),
        sample.run("b", suite, wrong=sample.forgets_long, modes=("generate",)),
    ]

    page = check(sample.page(runs, suite))

    assert "chart-retention-rank" not in page
    assert ">secondary</span>" not in page


def test_without_the_suite_the_page_says_why_the_history_is_absent(sample):
    suite = sample.SampleSuite()
    runs = [sample.run("a", suite), sample.run("b", suite, wrong=sample.forgets_long)]

    page = check(sample.page(runs, None))

    assert "not installed, so conversations are not shown" in page
    assert "planted here" not in page
    assert page.count('<details class="answer"') == 40


def test_another_version_of_the_suite_is_not_used(sample):
    suite = sample.SampleSuite()
    runs = [sample.run("a", suite), sample.run("b", suite, wrong=sample.forgets_long)]

    page = check(sample.page(runs, replace(suite, sha256="00" * 32, built=[])))

    assert "sha256 differs" in page
    assert "planted here" not in page


def test_a_conversation_that_is_not_the_one_asked_is_left_out(sample):
    suite = sample.SampleSuite()
    runs = [sample.run("a", suite), sample.run("b", suite, wrong=sample.forgets_long)]
    changed = replace(suite, extra_turn="Something else was said.", built=[])

    page = check(sample.page(runs, changed))

    assert "The conversation of 40 probes cannot be rebuilt as it was asked" in page


def test_failures_keep_their_own_words_and_stay_in_the_denominator(sample):
    suite = sample.SampleSuite(langs=("en",))
    base = sample.run("a", suite)
    candidate = sample.run("b", suite)
    rows = list(candidate.outcomes)
    main = [i for i, row in enumerate(rows) if row.condition == "main" and row.mode == "generate"]
    missing = {"output": None, "score": None, "matched": None}
    rows[main[0]] = replace(rows[main[0]], status="too_long", reason="local", **missing)
    rows[main[1]] = replace(
        rows[main[1]], status="error", reason=None, error_message="CUDA <oom>", **missing
    )
    rows[main[2]] = replace(rows[main[2]], status="refused", score=0)
    rows[main[3]] = replace(rows[main[3]], status="truncated")
    rows[main[4]] = replace(
        rows[main[4]],
        status="empty",
        output="",
        score=0,
        matched=None,
        reason="no_answer",
        error_type="ReasoningOnly",
        error_message="the server sent <reasoning> alone",
    )

    page = check(sample.page([base, replace(candidate, outcomes=rows)], suite))

    flips = page.split('<section id="flips"')[1].split("</section>")[0]
    assert "too long for the context window" in flips
    assert "error: CUDA &lt;oom&gt;" in flips
    assert "refused" in flips
    assert "no answer after thinking: the server sent &lt;reasoning&gt; alone" in flips
    assert flips.count('<details class="answer"') == 4
    assert "Truncated, refused, empty, too long and error, by history length" in page
    assert '<th scope="col">empty, candidate</th>' in page


def test_more_changes_than_the_page_can_hold_stay_as_rows(sample, monkeypatch):
    monkeypatch.setattr("qwen_bench.report.answers.CONVERSATION_BUDGET", 2_000)
    suite = sample.SampleSuite()
    runs = [sample.run("a", suite), sample.run("b", suite, wrong=sample.forgets_long)]

    page = check(sample.page(runs, suite))

    full = page.count('<details class="answer"')
    rest = page.split('<table class="rows">')[1].split("</table>")[0].count("<tr>") - 1
    assert 0 < full < 40
    assert full + rest == 40
    assert "qwen-bench probes show ID" in page


def test_an_unfinished_run_is_named_in_the_card(sample):
    suite = sample.SampleSuite()
    run = change_run(sample.run("a", suite), status="interrupted")

    page = check(sample.page([run], suite))

    assert "This run is interrupted, not finished" in page.split('<section id="numbers"')[0]


def test_two_runs_of_one_label_are_told_apart_by_run_id(sample):
    suite = sample.SampleSuite()
    first = sample.run("same", suite)
    second = change_run(sample.run("same", suite), run_id="another-run")

    page = check(sample.page([first, second], suite))

    assert "same (another-run)" in page


def test_a_manifest_with_almost_nothing_in_it_makes_a_page(sample):
    suite = sample.SampleSuite()
    run = sample.run("a", suite)
    bare = replace(run, manifest=make_manifest(template={}, engine={"name": "hf"}))

    assert check(sample.page([bare], None))


def test_a_run_of_controls_only_makes_a_page(sample):
    suite = sample.SampleSuite(conditions=("adjacent", "blind"))

    page = check(sample.page([sample.run("a", suite)], suite))

    assert "No probe of the main condition was asked." in page


def test_a_run_without_rows_makes_a_page(sample):
    suite = sample.SampleSuite()
    empty = replace(sample.run("a", suite), outcomes=[])

    page = check(sample.page([empty], suite))

    assert "This run has no answers yet." in page


@pytest.mark.parametrize("number", [0, 6])
def test_no_run_and_six_runs_are_refused(sample, number):
    suite = sample.SampleSuite()
    runs = [sample.run(f"m{n}", suite) for n in range(number)]

    with pytest.raises(InputError, match=f"1 to 5 runs, not {number}"):
        build_report(runs, [{}] * number, [], suite, chances={}, loads={})
