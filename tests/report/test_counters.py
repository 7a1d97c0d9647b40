"""What runs cost, as the report shows it."""

from qwen_bench.record.counters import Counters
from qwen_bench.record.outcome import Run
from qwen_bench.report.run_tables import counters_table
from qwen_bench.testing import make_manifest

FULL = Counters(
    requests=600, naive_tokens=2_400_000, tree_tokens=300_000, decoded_tokens=11_900,
    forward_tokens=311_900, peak_kv_bytes=38_200_000, peak_memory_bytes=1_930_000_000,
    seconds=131.0,
).as_dict()  # fmt: skip


def shown(*runs):
    """Texts of each row; a run is a list of counters, one a process."""
    table = counters_table([working(*run) for run in runs])
    return {row.name: [value.text for value in row.values] for row in table.rows} if table else {}


def working(*counters):
    """A run of processes with these counters; None for a process that was killed."""
    done = [{"started": "", "efficiency": counted} for counted in counters]
    return Run("r", make_manifest(invocations=done), ())


def test_tokens_memory_and_speed_have_a_row_each_in_words():
    assert shown([FULL]) == {
        "answering time": ["2 min 11 s"],
        "tokens through the model": ["311,900"],
        "tokens without sharing": ["2,400,000"],
        "sharing ratio": ["7.7 ×"],
        "tokens generated": ["11,900"],
        "memory for keys and values": ["38.2 MB"],
        "memory in all": ["1.9 GB"],
        "tokens a second": ["2,381"],
        "answers a second": ["4.6"],
    }


def test_every_row_says_what_it_means():
    assert all(row.help for row in counters_table([working(FULL)]).rows)


def test_what_went_wrong_has_a_row_only_where_it_happened():
    rows = shown([FULL], [FULL | {"recomputed_tokens": 12, "oom_splits": 2, "retries": 3}])

    assert rows["tokens computed again"] == ["0", "12"]
    assert rows["memory ran out"] == ["0", "2"]
    assert rows["sent again"] == ["0", "3"]
    assert "padding" not in rows


def test_what_a_server_does_not_tell_is_a_dash():
    served = FULL | {"forward_tokens": None, "sharing_ratio": None, "peak_kv_bytes": None}

    rows = shown([FULL], [served])

    assert rows["tokens through the model"] == ["311,900", "–"]
    assert rows["sharing ratio"] == ["7.7 ×", "–"]
    assert rows["memory for keys and values"] == ["38.2 MB", "–"]


def test_processes_of_a_run_add_up():
    rows = shown([FULL, FULL | {"peak_kv_bytes": 50_000_000}])

    assert rows["tokens through the model"] == ["623,800"]
    assert rows["memory for keys and values"] == ["50.0 MB"]
    assert rows["sharing ratio"] == ["7.7 ×"]


def test_a_killed_process_is_named_beside_the_time():
    (time, *_) = counters_table([working(FULL, None)]).rows

    assert time.values[0].detail == "without killed invocations"


def test_runs_that_know_no_counters_have_no_such_table():
    assert shown([None], []) == {}
