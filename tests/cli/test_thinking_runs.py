"""`run` with a model that thinks, and with answers that are drawn: rows, manifest, messages."""

import json
from pathlib import Path

import pytest

from qwen_bench.runs.journal import read_journal
from qwen_bench.runs.manifest_file import read_manifest

ASKED = (
    "--suite",
    "quick",
    "--limit",
    "1",
    "--lengths",
    "1",
    "--lang",
    "en",
    "--condition",
    "main",
)
ONE = (*ASKED, "--family", "fact_recall", "--mode", "generate", "--device", "cpu")
SHORT = ("--max-thinking-tokens", "50")
DRAWN = ("--temperature", "0.6", "--top-p", "0.95", "--top-k", "20", "--sampling-seed", "7")


@pytest.fixture
def run(call):
    """`run(folder, ...)`: one small run under a name; the call and its rows."""

    def run(folder, *words, name="one"):
        called = call("run", "--model", folder, *ONE, "--run-id", name, *words)
        journal = Path("runs", name, "results.jsonl")
        rows = read_journal(journal).outcomes if journal.exists() else ()
        return called, rows

    return run


def test_thoughts_are_cut_before_scoring_and_counted_in_the_rows(run, saying):
    called, rows = run(saying("<think>abc</think>red"), *SHORT)

    assert called.code == 0, called.err
    assert rows
    assert {(row.status, row.output, row.thought_tokens) for row in rows} == {("ok", "red", 5)}
    assert all(row.margin > 1 for row in rows)
    assert not {row.reason for row in rows} & {"no_answer", "empty"}
    assert "inside a thought" not in called.out


def test_thoughts_without_an_end_are_truncated_wrong_and_shown(run, saying, call):
    called, rows = run(saying("<think>abc</think>red"), "--max-thinking-tokens", "3")

    assert {(row.status, row.reason, row.finish_reason) for row in rows} == {
        ("truncated", "no_answer", "thinking")
    }
    assert {(row.output, row.score) for row in rows} == {("", 0)}
    counts = f"{len(rows)} truncated, 0 too long, 0 refused, 0 empty"
    assert f"{counts}, {len(rows)} ended inside a thought" in called.out
    summary = json.loads(Path("runs/one/summary.json").read_text())
    assert summary["modes"]["generate"]["reasons"] == {"no_answer": len(rows)}
    assert call("report", "one", "-o", "page.html").code == 0
    assert "ended inside a thought" in Path("page.html").read_text()


def test_a_model_that_stops_inside_its_thought_is_empty_and_shown_and_not_refused(run, saying):
    called, rows = run(saying("<think>abc"), *SHORT)

    number = len(rows)
    assert called.code == 0, called.err
    assert {(row.status, row.reason, row.score, row.error_type) for row in rows} == {
        ("empty", "no_answer", 0, None)
    }
    assert f"0 refused, {number} empty, {number} ended inside a thought" in called.out
    assert f"warning: {number} of {number} answers are empty" in called.err


def test_a_model_that_says_nothing_is_empty_in_the_table_the_page_and_the_document(
    run, saying, call
):
    called, rows = run(saying(""), "--thinking", "off", "--markdown", "one.md")

    number = len(rows)
    assert called.code == 0, called.err
    assert {(row.status, row.reason, row.output) for row in rows} == {("empty", "empty", "")}
    assert f"[{number} empty]" in called.out
    assert f"{number} empty" in Path("one.md").read_text()
    summary = json.loads(Path("runs/one/summary.json").read_text())
    assert summary["modes"]["generate"]["by_length"]["1"]["empty"] == number
    assert call("report", "one", "-o", "page.html").code == 0
    assert "the answer ended without a text; wrong" in Path("page.html").read_text()


def test_a_comparison_says_on_which_side_thoughts_did_not_end(run, saying, call):
    run(saying("<think>abc</think>red"), "--max-thinking-tokens", "3", name="cut")
    run(saying("<think>xyz</think>blue"), "--max-thinking-tokens", "3", name="other")

    called = call("compare", "cut", "other", "--fail-on", "never")

    assert called.out.count("ended inside a thought and count as wrong") == 2


def test_greedy_thoughts_are_warned_about_with_the_flags_that_draw_them(run, saying):
    folder = saying("<think>abc</think>red")
    advice = "--temperature 0.6 --top-p 0.95 --top-k 20 --sampling-seed N"

    greedy, _ = run(folder, *SHORT, name="greedy")
    drawn, _ = run(folder, *SHORT, *DRAWN, name="drawn")
    plain, _ = run(folder, *SHORT, "--thinking", "off", name="plain")

    assert advice in greedy.err
    assert any(advice in line for line in read_manifest(Path("runs/greedy")).warnings)
    assert advice not in drawn.err + plain.err


def test_ranking_a_model_that_thinks_is_warned_about(saying, call):
    called = call(
        "run", "--model", saying("red"), *ASKED, "--family", "fact_recall", "--mode", "rank",
        "--device", "cpu", *SHORT,
    )  # fmt: skip

    assert "rank scores candidates where its thought would begin" in called.err
    assert "--temperature" not in called.err


def test_the_manifest_records_what_has_an_effect_and_nothing_else(run, saying):
    folder = saying("<think>abc</think>red")
    run(folder, *SHORT, *DRAWN, name="drawn")
    run(folder, *SHORT, name="greedy")
    run(folder, "--thinking", "off", name="off")

    drawn, greedy, off = (
        read_manifest(Path("runs", name)).generation for name in ("drawn", "greedy", "off")
    )

    assert (drawn.temperature, drawn.top_p, drawn.top_k, drawn.seed) == (0.6, 0.95, 20, 7)
    assert (greedy.temperature, greedy.top_p, greedy.top_k, greedy.seed) == (0, None, None, None)
    assert (drawn.max_thinking_tokens, greedy.max_thinking_tokens) == (50, 50)
    assert off.max_thinking_tokens is None


def test_two_thinking_modes_are_named_in_a_comparison(run, saying, call):
    folder = saying("<think>abc</think>red")
    run(folder, "--thinking", "on", name="on")
    run(folder, "--thinking", "off", name="off")

    called = call("compare", "on", "off", "--fail-on", "never")

    assert called.code == 0, called.err
    assert "the sides differ in template.thinking.effective: on -> off" in called.out


def test_the_same_seed_draws_the_same_answers_again(run, checkpoint):
    words = (*DRAWN, "--temperature", "2", "--max-new-tokens", "8")

    _, first = run(checkpoint, *words, name="first")
    _, again = run(checkpoint, *words, name="again")
    _, other = run(checkpoint, *words, "--sampling-seed", "8", name="other")

    said = [[row.output for row in rows] for rows in (first, again, other)]
    assert said[0] == said[1]
    assert said[0] != said[2]
    assert len(set(said[0])) > 1


def test_two_budgets_of_thoughts_cannot_be_compared_unless_allowed(run, saying, call):
    folder = saying("<think>abc</think>red")
    run(folder, *SHORT, name="one")
    run(folder, "--max-thinking-tokens", "40", name="two")

    called = call("compare", "one", "two", "--fail-on", "never")

    assert called.code == 5
    assert "generation.max_thinking_tokens  50  ->  40" in called.err
    assert "--max-thinking-tokens 50" in called.err


def test_a_thinking_run_from_before_there_was_a_budget_is_told_apart(run, saying, call):
    folder = saying("<think>abc</think>red")
    run(folder, *SHORT, name="old")
    run(folder, *SHORT, name="new")
    path = Path("runs/old/manifest.json")
    manifest = json.loads(path.read_text())
    del manifest["generation"]["max_thinking_tokens"]
    path.write_text(json.dumps(manifest))

    called = call("compare", "old", "new", "--fail-on", "never")

    assert called.code == 5
    assert "generation.max_thinking_tokens  none  ->  50" in called.err


@pytest.fixture
def checkpoint(tmp_path):
    from qwen_bench.testing import tiny_checkpoint

    return tiny_checkpoint(tmp_path / "tiny", "qwen3")


def test_a_drawn_run_is_resumed_with_its_own_sampling(call, ask):
    ask("oracle", "--mode", "generate", *DRAWN, "--max-thinking-tokens", "99", run_id="one")
    before = read_manifest(Path("runs/one"))

    called = call("run", "--resume", "one", "--limit", "2")

    after = read_manifest(Path("runs/one"))
    assert called.code == 0, called.err
    assert after.generation == before.generation
    assert after.generation.seed == 7
    assert after.expected.rows > before.expected.rows


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("--temperature", "0.7"), "generation.temperature"),
        (("--top-p", "0.9"), "generation.top_p"),
        (("--top-k", "10"), "generation.top_k"),
        (("--sampling-seed", "8"), "generation.seed"),
        (("--max-thinking-tokens", "98"), "generation.max_thinking_tokens"),
    ],
)
def test_other_sampling_is_another_run(call, ask, words, field):
    ask("oracle", *DRAWN, "--max-thinking-tokens", "99", run_id="one")

    called = call("run", "--resume", "one", *words)

    assert called.code == 5
    (line,) = (line for line in called.err.splitlines() if "->" in line)
    assert field in line.split()


def test_a_candidate_with_other_sampling_is_told_the_flags_of_the_baseline(ask):
    ask("oracle", *DRAWN, run_id="base")

    called = ask("window-4", "--baseline", "base", "--temperature", "0.7", "--top-k", "10")

    assert called.code == 5
    (line,) = (line for line in called.err.splitlines() if "qwen-bench run --model" in line)
    for flag in ("--temperature 0.6", "--top-p 0.95", "--top-k 20", "--sampling-seed 7"):
        assert flag in line


def test_a_greedy_baseline_asks_for_greedy_again_in_flags_that_work(ask):
    ask("oracle", run_id="base")

    called = ask("window-4", "--baseline", "base", *DRAWN)
    (line,) = (line for line in called.err.splitlines() if "qwen-bench run --model" in line)
    flags = line.split("mock:window-4")[1].split()

    assert called.code == 5
    again = ask("window-4", "--baseline", "base", *flags)
    assert again.code == 0, again.err


@pytest.mark.parametrize(
    ("flag", "value"), [("--top-p", "0.9"), ("--top-k", "20"), ("--sampling-seed", "1")]
)
def test_sampling_without_a_temperature_is_refused(ask, flag, value):
    called = ask("oracle", flag, value)

    assert called.code == 2
    assert f"{flag} has no effect at temperature 0" in called.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--temperature", "warm"), "'warm' is not a number"),
        (("--temperature", "-1"), "-1 is not between 0 and 100"),
        (("--top-p", "0"), "0 is not above 0 and at most 1"),
        (("--top-p", "1.5"), "1.5 is not above 0 and at most 1"),
        (("--top-k", "-1"), "-1 is too small"),
        (("--sampling-seed", "x"), "'x' is not a number"),
        (("--max-thinking-tokens", "0"), "0 is too small"),
    ],
)
def test_values_that_cannot_be_are_refused(ask, words, message):
    called = ask("oracle", *words)

    assert called.code == 2
    assert message in called.err


def test_runs_from_before_thoughts_and_sampling_compare_with_new_greedy_ones(ask, call):
    for name, solver in (("old", "oracle"), ("new", "window-4")):
        ask(solver, run_id=name)
    path = Path("runs/old/manifest.json")
    manifest = json.loads(path.read_text())
    for name in ("temperature", "top_p", "top_k", "seed", "max_thinking_tokens"):
        manifest["generation"].pop(name, None)
    for invocation in manifest["invocations"]:
        invocation["efficiency"] = {"requests": 3, "naive_tokens": 0, "forward_tokens": 0}
    manifest["generation"]["temperature"] = 0.0
    path.write_text(json.dumps(manifest))

    compared = call("compare", "old", "new", "--fail-on", "never")
    resumed = call("run", "--resume", "old")

    assert compared.code == 0, compared.err
    assert "generation" not in compared.out
    assert resumed.code == 0, resumed.err
