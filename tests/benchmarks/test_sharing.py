"""The sharing ratio of a suite comes from the run's own counters."""

import json

from benchmarks import compare, sharing


def test_a_small_part_of_the_suite_gives_exact_counters(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    sharing.tiny_folder(tmp_path / "tiny")

    found = sharing.run_suite(
        tmp_path / "tiny",
        [
            "--suite",
            "core",
            "--condition",
            "main",
            "--limit",
            "1",
            "--lengths",
            "4",
            "--lang",
            "zh",
        ],
    )

    assert found["forward_tokens"] == found["tree_tokens"] + found["decoded_tokens"]
    assert found["decoded_tokens"] == found["requests"] * (sharing.ANSWER_TOKENS - 1)
    assert found["sharing_ratio"] == found["naive_tokens"] / found["forward_tokens"]


def test_the_committed_ratio_of_the_whole_suite_reaches_its_target():
    files = [
        held
        for path in compare.RESULTS.glob("*-sharing-core.json")
        if (held := json.loads(path.read_text(encoding="utf-8")))["kind"] == "sharing"
    ]

    assert files
    for held in files:
        counters = held["counters"]
        assert held["command"] == "qwen-bench run --suite core --condition main --max-new-tokens 20"
        assert counters["sharing_ratio"] == counters["naive_tokens"] / counters["forward_tokens"]
        assert counters["sharing_ratio"] >= sharing.LEAST
