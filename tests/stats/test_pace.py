"""Tokens or turns: what a run at several paces tells apart."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qwen_bench.cli.main import main
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.scoring.score import judge_text
from qwen_bench.solvers.solver_engine import find_solver
from qwen_bench.stats.bootstrap import Resampler
from qwen_bench.stats.pace import pace_differences, tokens_or_turns

from .test_perfect_memory import outcome_of

ASKED = Selection(
    lengths=(8, 32),
    conditions=("brief", "long"),
    families=("fact_recall", "pronoun"),
    langs=("en",),
    limit=4,
)


def row(item, name):
    probe = item.probe
    return replace(
        outcome_of(probe),
        score=judge_text(probe, find_solver(name)(probe, item.messages)).score,
        prompt_tokens=sum(len(message.content) for message in item.messages) // 4,
    )


@pytest.fixture(scope="module")
def items():
    suite = build_suite("full", ASKED)
    return [item for dialogue in suite.dialogues() for item in dialogue.probes]


def found(items, name):
    return pace_differences([row(item, name) for item in items], Resampler(0, 400))


def test_a_reader_of_few_turns_is_said_to_lack_turns(items):
    differences = found(items, "window-8")

    assert [(one.of, one.lost) for one in differences] == [
        ("tokens", False),
        ("tokens", False),
        ("turns", True),
    ]
    assert tokens_or_turns(differences).startswith("it is the turns")


def test_a_reader_of_few_tokens_is_said_to_lack_tokens(items):
    differences = found(items, "window-6k")

    assert [(one.of, one.lost) for one in differences] == [
        ("tokens", False),
        ("tokens", True),
        ("turns", False),
    ]
    assert tokens_or_turns(differences).startswith("it is the tokens")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("window-2k", "both more tokens and more turns cost answers"),
        ("oracle", "neither more tokens nor more turns cost answers for sure"),
    ],
)
def test_a_reader_that_lacks_both_or_neither_is_said_to(items, name, words):
    assert tokens_or_turns(found(items, name)) == words


def test_pairs_are_of_one_question_at_equal_turns_or_at_about_equal_tokens(items):
    at_8, at_32, turns = found(items, "oracle")

    for one, length in ((at_8, 8), (at_32, 32)):
        assert (one.less.pace, one.more.pace) == ("brief", "long")
        assert one.less.length == one.more.length == length
        assert one.more.tokens > 2 * one.less.tokens
    assert (turns.less.pace, turns.less.length) == ("long", 8)
    assert (turns.more.pace, turns.more.length) == ("brief", 32)
    assert 0.7 < turns.less.tokens / turns.more.tokens < 1.4
    assert at_8.n == turns.n < at_32.n


def test_the_difference_is_that_of_the_accuracies(items):
    for one in found(items, "window-2k"):
        assert one.gap.value == pytest.approx(one.more.accuracy - one.less.accuracy)


def test_one_pace_tells_nothing_and_few_dialogues_do_not_tell(items):
    short = [row(item, "oracle") for item in items if item.probe.condition == "brief"]
    few = [item for item in items if item.probe.cluster in {"mixed-0", "mixed-1", "mixed-8"}]

    assert pace_differences(short, Resampler(0, 50)) == ()
    assert tokens_or_turns(()) == ""
    assert tokens_or_turns(found(few, "window-2k")) == (
        "too few dialogues to tell tokens from turns"
    )


def test_terminal_summary_and_report_say_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--suite", "full", "--lengths", "8,32", "--family", "fact_recall", "--lang", "en"]
    words += ["--limit", "4", "--mode", "generate", "--run-id", "a", "--html", "page.html"]

    code = main(["run", "--model", "mock:window-8", *words])

    said = capsys.readouterr().out
    assert code == 0
    assert "more turns: 8 long to 32 brief" in said
    assert "it is the turns" in said
    paces = json.loads(Path("runs/a/summary.json").read_text("utf-8"))["modes"]["generate"]["paces"]
    assert [one["of"] for one in paces] == ["tokens", "tokens", "turns"]
    page = Path("page.html").read_text("utf-8")
    assert "Is it the tokens or the turns?" in page
    assert "it is the turns" in page
