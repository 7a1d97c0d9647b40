"""Equality first: a ratio exists only between equal answers, and targets read nothing else."""

import json
from pathlib import Path

import pytest

from benchmarks import compare, grids
from benchmarks.plan import Alone, Pair
from benchmarks.results import agreement, alone, paired, partings
from benchmarks.targets import verdicts

ONE = Pair("peer_llama_cpp", "f32", "probes-1", 1)
GRID = grids.load("probes-1", Path("nowhere"))
ANSWERS = [[place, place + 1] for place in range(7)]
COUNTERS = {
    "forward_tokens": 110,
    "tree_tokens": 100,
    "decoded_tokens": 10,
    "padding_tokens": 0,
    "peak_kv_bytes": 1000,
    "kv_bytes_per_token": 10,
}


def sides(line, theirs=ANSWERS, pairs=5, ours_cpu=1.0):
    ours = [line(ANSWERS, cpu=ours_cpu, **COUNTERS) for _ in range(pairs)]
    return ours, [line(theirs, cpu=4.0 + place, forward_tokens=9) for place in range(pairs)]


def entry(line, **changes):
    ours, theirs = sides(line, **changes)
    return paired(ONE, GRID, ours, theirs, [0.5] * len(partings(ours[0], theirs[0])))


def held(pairs=(), unpaired=()):
    return {
        "schema": 1,
        "kind": "comparison",
        "date": "2026-01-02",
        "machine": {
            "processor": "some",
            "physical_cores": 2,
            "logical_cores": 2,
            "memory_gib": 8,
            "system": "Linux",
            "flags": ["avx2"],
        },
        "source": {"commit": "c" * 40, "clean": True},
        "state": {when: {"load_average": [0.1, 0.1, 0.1]} for when in ("start", "end")},
        "pairs": list(pairs),
        "alone": list(unpaired),
        "failed": [],
    }


def named(found, name):
    return next(item for item in verdicts(found) if item.name.startswith(name))


def test_equal_answers_give_one_ratio_for_each_pair(line):
    found = entry(line)

    assert (found["equal"], found["answers"]) == (7, 7)
    assert found["ratios"] == [4.0, 5.0, 6.0, 7.0, 8.0]


def test_a_single_unequal_token_leaves_no_ratio_and_is_listed(line):
    other = [*ANSWERS[:3], [3, 99], *ANSWERS[4:]]

    found = entry(line, theirs=other)

    assert found["equal"] == 6
    assert found["ratios"] == []
    assert found["differences"] == [{"prompt": 3, "token": 1, "gap": 0.5}]
    assert "answers differ" in compare.page(held([found]), "x.svg")


def test_an_answer_cut_short_is_unequal(line):
    shorter = [ANSWERS[0][:1], *ANSWERS[1:]]

    assert entry(line, theirs=shorter)["ratios"] == []


def test_fewer_than_five_pairs_give_no_ratio(line):
    assert entry(line, pairs=4)["ratios"] == []


def test_a_later_run_that_answers_otherwise_leaves_no_ratio(line):
    ours, theirs = sides(line)
    theirs[3] = line([[0, 0], *ANSWERS[1:]], cpu=1.0)

    found = paired(ONE, GRID, ours, theirs, [])

    assert (found["equal"], found["steady"], found["ratios"]) == (7, False, [])


def test_scores_are_equal_up_to_a_bound(line):
    near, far = line(scores=[[-1.00005], [-2.0]]), line(scores=[[-1.001], [-2.0]])
    own = line(scores=[[-1.0], [-2.0]])

    assert agreement(own, near)[0] == 2
    equal, worst = agreement(own, far)
    assert (equal, worst) == (1, pytest.approx(1e-3))


def test_our_own_times_tell_a_busy_machine(line):
    ours, theirs = sides(line)
    ours[2] = {**ours[2], "cpu_seconds": 1.3}

    assert paired(ONE, GRID, ours, theirs, [])["busy"]
    assert not entry(line)["busy"]


def test_a_ratio_below_the_target_is_called_missed(line):
    llama = {**entry(line), "grid": "G140"}
    slow = {**llama, "ratios": [2.9] * 5}

    assert named(held([llama]), "llama.cpp").met
    assert named(held([slow]), "llama.cpp").met is False
    assert "**missed**" in compare.page(held([slow]), "x.svg")


def test_what_was_not_measured_is_neither_met_nor_missed(line):
    unequal = {**entry(line), "grid": "G140", "ratios": []}

    assert {item.met for item in verdicts(held())} == {None}
    assert named(held([unequal]), "llama.cpp").met is None


def test_of_two_settings_the_faster_one_counts(line):
    slow = {**entry(line), "peer": "peer_generate", "setting": "batch", "grid": "G140"}
    fast = {
        **slow,
        "setting": "single",
        "ratios": [3.0] * 5,
        "peer_runs": [{"cpu_seconds": 3.0}] * 5,
    }

    assert named(held([slow, fast]), "generation").found == "3.00 (single)"


@pytest.mark.parametrize(("last", "met"), [(2.1, True), (2.3, False)])
def test_growth_is_judged_at_every_doubling(line, last, met):
    seconds = {32: 1.0, 64: 2.0, 128: 4.0, 256: 4.0 * last}
    found = []
    for turns, cpu in seconds.items():
        item = Alone(f"growth-{turns}")
        grid = grids.load(item.grid, Path("nowhere"))
        found.append(alone(item, grid, [line(ANSWERS, cpu=cpu, **COUNTERS)] * 5))

    assert named(held(unpaired=found), "CPU seconds for twice T_max, 96").met is met


def test_history_tokens_must_be_proportional_to_turns(line):
    def growing(extra):
        found = []
        for turns in (8, 16, 32):
            grid = grids.load(f"growth-{turns}", Path("nowhere"))
            forward = grids.tree_tokens(grid) + 10 + (extra if turns == 32 else 0)
            counters = {**COUNTERS, "forward_tokens": forward}
            found.append(alone(Alone(f"growth-{turns}"), grid, [line(ANSWERS, **counters)]))
        return held(unpaired=found)

    name = "forward tokens without"
    assert named(growing(0), name).met
    assert named(growing(0), name).found == "16 a turn"
    assert named(growing(1), name).met is False


@pytest.fixture
def results(tmp_path, line):
    """A results folder that was just written."""
    path = tmp_path / "2026-01-02-some.json"
    path.write_text(json.dumps(held([{**entry(line), "grid": "G140"}])), encoding="utf-8")
    compare.render(path, None)
    return tmp_path


def test_tables_and_pictures_that_follow_from_the_json_pass_the_check(results):
    assert compare.main(["--check", "--results", str(results)]) == 0


@pytest.mark.parametrize("ending", [".md", ".svg"])
def test_a_table_or_picture_changed_by_hand_is_found(results, ending):
    path = results / f"2026-01-02-some{ending}"
    path.write_text(path.read_text(encoding="utf-8").replace("8", "9", 1), encoding="utf-8")

    assert compare.check(results, None) == [path.name]
    assert compare.main(["--check", "--results", str(results)]) == 1


def test_the_committed_results_follow_from_their_json():
    assert compare.check(compare.RESULTS, compare.README) == []


def test_committed_results_name_no_machine_user_or_folder():
    import getpass
    import socket

    words = {f"/{name}/" for name in ("home", "root", "tmp", "Users")} | {socket.gethostname()}
    user = getpass.getuser()
    for path in compare.RESULTS.glob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert not [word for word in words if word in text]
        assert f'"{user}"' not in text
