"""Counters of several processes as one account."""

from qwen_bench.record.counters import Counters, total_counters

FIRST = Counters(
    requests=10, naive_tokens=900, tree_tokens=80, decoded_tokens=20, forward_tokens=100,
    peak_kv_bytes=7, peak_memory_bytes=50, rows_max=4, oom_splits=1, retries=2, seconds=2.0,
)  # fmt: skip
SECOND = Counters(
    requests=2, naive_tokens=300, forward_tokens=100, peak_kv_bytes=9, peak_memory_bytes=40,
    rows_max=3, seconds=2.0,
)  # fmt: skip


def test_one_account_is_its_own_total():
    assert total_counters([FIRST.as_dict()]) == FIRST.as_dict()


def test_counts_are_sums_peaks_maxima_and_ratios_made_of_the_sums():
    total = total_counters([FIRST.as_dict(), SECOND.as_dict()])

    assert (total["requests"], total["forward_tokens"], total["retries"]) == (12, 200, 2)
    assert (total["peak_kv_bytes"], total["peak_memory_bytes"], total["rows_max"]) == (9, 50, 4)
    assert total["sharing_ratio"] == 1200 / 200
    assert (total["tokens_per_second"], total["answers_per_second"]) == (50.0, 3.0)


def test_what_one_account_does_not_know_is_unknown_in_the_total():
    served = Counters(requests=2, naive_tokens=300, forward_tokens=None, seconds=2.0)

    total = total_counters([FIRST.as_dict(), served.as_dict()])

    assert total["forward_tokens"] is None
    assert (total["sharing_ratio"], total["tokens_per_second"]) == (None, None)
    assert (total["naive_tokens"], total["answers_per_second"]) == (1200, 3.0)


def test_counters_that_an_older_version_did_not_know_are_unknown():
    old = {"forward_tokens": 100, "naive_tokens": 900, "seconds": 1.0}

    total = total_counters([old, FIRST.as_dict()])

    assert (total["sharing_ratio"], total["peak_kv_bytes"]) == (9.0, None)


def test_an_engine_that_asked_nothing_has_no_ratios():
    total = total_counters([Counters().as_dict()])

    assert (total["sharing_ratio"], total["answers_per_second"]) == (None, None)
