"""The last lines of a run: what went through the model, memory, speed."""

import re
from pathlib import Path

from qwen_bench.record.counters import Counters
from qwen_bench.report.terminal import efficiency_lines
from qwen_bench.runs.manifest_file import read_manifest

KNOWN = Counters(
    requests=600, naive_tokens=2_400_000, tree_tokens=300_000, decoded_tokens=11_900,
    forward_tokens=311_900, peak_kv_bytes=38_200_000, peak_memory_bytes=1_930_000_000,
    seconds=20.0,
)  # fmt: skip


def test_a_run_is_told_in_two_lines():
    assert efficiency_lines("lora", KNOWN.as_dict()) == [
        "lora  tokens  0.31 M forward for 2.40 M naive · sharing 7.7 x · 11,900 decoded",
        "lora  work    peak 1.9 GB · K/V 38.2 MB · 15,595 tokens/s · 30 answers/s",
    ]


def test_what_went_wrong_on_the_way_is_named():
    counters = KNOWN.as_dict() | {
        "padding_tokens": 5,
        "recomputed_tokens": 20_000,
        "oom_splits": 1,
        "retries": 3,
    }

    tokens, work = efficiency_lines("lora", counters)

    assert tokens.endswith("· 5 padding · 20,000 recomputed")
    assert work.endswith("· out of memory once, then less at once · sent again 3 times")


def test_what_a_server_does_not_tell_is_unknown_and_not_zero():
    served = Counters(requests=10, naive_tokens=50_000, forward_tokens=None, seconds=4.0)

    lines = efficiency_lines("served", served.as_dict())

    assert lines == [
        "served  tokens  unknown forward for 50,000 naive",
        "served  work    2.5 answers/s",
    ]


def test_solvers_have_no_such_lines():
    assert efficiency_lines("oracle", Counters(requests=9, seconds=1.0).as_dict()) == []
    assert efficiency_lines("oracle", None) == []


def test_a_real_run_ends_with_its_counters(call, tmp_path):
    from qwen_bench.testing import tiny_checkpoint

    folder = tiny_checkpoint(tmp_path / "tiny")
    called = call(
        "run", "--model", folder, "--suite", "quick", "--limit", "1", "--lengths", "1,2",
        "--lang", "en", "--family", "fact_recall", "--max-new-tokens", "4", "--run-id", "one",
    )  # fmt: skip

    assert called.code == 0, called.err
    ending = [line for line in called.err.splitlines() if re.match(r"tiny  (tokens|work) ", line)]
    assert len(ending) == 2
    assert re.search(r"forward for \S+( M)? naive · sharing [\d.]+ x · [\d,]+ decoded$", ending[0])
    assert re.search(r"peak .* · K/V .* · .* tokens/s · .* answers/s$", ending[1])
    counters = read_manifest(Path("runs/one")).invocations[0].efficiency
    assert counters["forward_tokens"] == (
        counters["tree_tokens"]
        + counters["decoded_tokens"]
        + counters["padding_tokens"]
        + counters["recomputed_tokens"]
    )


def test_a_resumed_run_adds_up_its_processes(call, tmp_path):
    from qwen_bench.runs.store import total_efficiency
    from qwen_bench.testing import tiny_checkpoint

    words = ("--suite", "quick", "--lang", "en", "--lengths", "1", "--family", "fact_recall")
    folder = tiny_checkpoint(tmp_path / "tiny")
    call("run", "--model", folder, *words, "--limit", "1", "--run-id", "one")
    call("run", "--resume", "runs/one", "--limit", "2")

    invocations = read_manifest(Path("runs/one")).invocations
    one, two = (item.efficiency for item in invocations)
    total = total_efficiency(invocations)

    assert total["forward_tokens"] == one["forward_tokens"] + two["forward_tokens"]
    assert total["peak_kv_bytes"] == max(one["peak_kv_bytes"], two["peak_kv_bytes"])
    assert total["sharing_ratio"] == total["naive_tokens"] / total["forward_tokens"]
    assert total["invocations_without_counters"] == 0
