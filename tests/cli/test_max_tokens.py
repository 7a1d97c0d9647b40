"""`--max-tokens` narrows a suite to the history lengths that fit, and says what it left out."""

import json
from pathlib import Path

import pytest

from qwen_bench.app.fitting import Counter, Room, fitted
from qwen_bench.app.python import NOBODY
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.protocol import Generation

ONE = ("--suite", "core", "--limit", "1", "--lang", "en", "--mode", "generate")
SAID = (
    "--max-tokens 3000: histories of 1, 2 and 4 turns fit, those of 8, 16 and 32 are left out: "
    "976 of 1,228 probes (counted with characters, about as many as a tokenizer like Qwen's gives)"
)


def manifest(name):
    return json.loads(Path("runs", name, "manifest.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("suite", "selection"),
    [
        ("quick", Selection(langs=("zh",))),
        ("demo", Selection()),
        ("full", Selection(limit=1, levels=(1, 3), lengths=(4, 8))),
        ("core", Selection(limit=1, families=("pronoun", "instruction*"))),
    ],
)
def test_probes_are_counted_without_being_written(suite, selection):
    built = build_suite(suite, selection)

    assert built.count() == sum(len(dialogue.probes) for dialogue in built.dialogues())


def test_a_run_asks_the_lengths_that_fit_and_records_what_they_were_narrowed_to(call):
    done = call("run", "--model", "mock:oracle", *ONE, "--max-tokens", "3000", "--run-id", "a")

    assert done.code == 0, done.err
    assert SAID in done.err
    suite = manifest("a")["suite"]
    assert suite["lengths"] == [1, 2, 4]
    assert suite["max_tokens"] == 3000


def test_a_run_that_goes_on_keeps_its_lengths_and_a_larger_number_widens_it(call):
    model = ("--model", "mock:oracle")
    call("run", *model, *ONE, "--max-tokens", "2500", "--run-id", "a")

    same = call("run", *model, "--resume", "runs/a")
    wider = call("run", *model, "--resume", "runs/a", "--max-tokens", "5000")

    assert same.code == wider.code == 0, same.err + wider.err
    assert "fit" not in same.err
    assert manifest("a")["suite"]["lengths"] == [1, 2, 4, 8]
    assert manifest("a")["suite"]["max_tokens"] == 5000


@pytest.mark.parametrize(
    "words", [("run", "--model", "mock:oracle", "--dry-run"), ("plan",), ("probes", "list")]
)
def test_whatever_chooses_a_suite_says_it(call, words):
    narrowed = (word for word in ONE if words[0] != "probes" or word not in {"--mode", "generate"})
    done = call(*words, *narrowed, "--max-tokens", "3000")

    assert done.code == 0, done.err
    assert SAID in done.err


def test_check_asks_both_models_the_same_lengths(call):
    done = call(
        "check", "--model", "mock:window-2", "--baseline", "mock:oracle", *ONE,
        "--family", "fact_recall", "--max-tokens", "2500", "--fail-on", "never",
    )  # fmt: skip

    assert done.code == 0, done.err
    assert [manifest(path.name)["suite"]["lengths"] for path in Path("runs").iterdir()] == [
        [1, 2, 4],
        [1, 2, 4],
    ]


def test_the_answer_has_to_fit_too(call):
    done = call("run", "--model", "mock:oracle", *ONE, "--max-tokens", "2500", "--dry-run",
                "--max-new-tokens", "2400")  # fmt: skip

    assert done.code == 2
    assert "no history length of suite core fits" in done.err


def test_lengths_that_all_fit_are_all_asked(call):
    done = call("run", "--model", "mock:oracle", *ONE, "--max-tokens", "100000", "--dry-run")

    assert "histories of 1, 2, 4, 8, 16 and 32 turns fit (counted" in done.err


def test_a_policy_that_counts_tokens_needs_a_tokenizer(call):
    done = call("plan", *ONE, "--max-tokens", "2500", "--policy", "last-tokens:500")

    assert done.code == 2
    assert "--max-tokens with the history policy last-tokens:500 needs a tokenizer" in done.err


@pytest.mark.parametrize("most", [1_400, 2_600, 5_200, 9_000])
def test_every_prompt_of_the_lengths_that_stay_fits_and_of_the_others_one_does_not(most):
    chosen = Selection(langs=("en", "zh"), limit=1, families=("fact_recall", "update_latest"))
    whole = build_suite("core", chosen)
    dense = {"en": 4, "zh": 1.5}

    def size(messages):
        text = "".join(message.content for message in messages)
        return round(len(text) / dense["zh" if "。" in text else "en"])

    def needed(asked):
        return size(asked.messages) + 64

    room = Room(most, ("generate",), Generation(64))
    suite = fitted(whole, chosen, room, [Counter("t", size, len)], NOBODY)

    longest = dict.fromkeys(whole.lengths, 0)
    for dialogue in whole.dialogues():
        for asked in dialogue.probes:
            if asked.probe.condition not in {"adjacent", "blind"}:
                length = asked.probe.length
                longest[length] = max(longest[length], needed(asked))
    assert suite.lengths == tuple(t for t, tokens in longest.items() if tokens <= most)
