"""The sizes of the suites in docs/probes.md, recomputed from the generator."""

import time
import tracemalloc
from collections import Counter, defaultdict
from functools import cache

import pytest

from qwen_bench.probes.programmes import EVERYDAY, PROGRAMMES
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite, load_suite_names

MAIN = {
    "demo": {"mixed": 108},
    "quick": {"mixed": 624, "rule": 80},
    "core": {"mixed": 8_880, "rule": 720, "everyday": 1_920},
    "full": {"mixed": 27_360, "rule": 1_760, "extended": 3_520, "everyday": 5_040, "system": 1_680},
}
OTHERS = {
    "demo": {"adjacent": 36, "blind": 36},
    "quick": {"adjacent": 320, "blind": 320},
    "core": {"adjacent": 4_120, "blind": 4_120, "concat": 288, "no-filler": 672},
    "full": {"adjacent": 12_320, "blind": 12_320, "concat": 720, "no-filler": 2_400}
    | {"brief": 2_400, "long": 2_400},
}
DIALOGUES = {"demo": 24, "quick": 112, "core": 760, "full": 2_000}


class Counted:
    """What one pass over the dialogues of a suite finds, and the seconds of CPU it takes."""

    def __init__(self, name):
        self.main, self.others, self.lengths = Counter(), Counter(), defaultdict(Counter)
        self.dialogues, self.ranked = 0, 0
        self.clusters = defaultdict(set)
        started = time.process_time()
        for dialogue in build_suite(name).dialogues():
            self.dialogues += 1
            for asked in dialogue.probes:
                self._count(asked.probe)
        self.seconds = time.process_time() - started

    def _count(self, probe):
        self.ranked += bool(probe.rank_candidates)
        if probe.condition != "main":
            self.others[probe.condition] += 1
            return
        self.main[probe.programme] += 1
        self.lengths[probe.programme][probe.length] += 1
        self.clusters[probe.family, probe.length].add(probe.cluster)


counted = cache(Counted)


@pytest.mark.parametrize("name", ["demo", "quick", "core", "full"])
def test_a_suite_has_the_specified_number_of_probes(name):
    found = counted(name)

    assert found.main == MAIN[name]
    assert found.others == OTHERS[name]
    assert found.dialogues == DIALOGUES[name]


@pytest.mark.parametrize(("name", "seconds"), [("core", 20), ("full", 120)])
def test_a_suite_is_built_in_the_specified_time(name, seconds):
    assert 0 < counted(name).seconds < seconds


def test_quick_ranks_every_probe_but_those_of_rules():
    assert counted("quick").ranked == 1_200


def test_a_family_of_core_has_70_clusters_at_the_longest_history_and_an_everyday_one_50():
    sizes = {
        family: len(found)
        for (family, length), found in counted("core").clusters.items()
        if length == 32 and family != "instruction_retention"
    }

    assert {family for family, size in sizes.items() if size == 50} == {*EVERYDAY.groups}
    assert sum(size == 70 for size in sizes.values()) == len(sizes) - 3 == 11


def test_every_programme_of_full_asks_each_of_its_groups_at_the_specified_lengths():
    rotations = {"mixed": 20, "rule": 20, "extended": 20, "everyday": 20, "system": 60}
    by_rotation = {
        name: {t: n / (4 * rotations[name]) for t, n in found.items()}
        for name, found in counted("full").lengths.items()
    }

    assert by_rotation == {
        "mixed": {1: 6, 2: 12, 4: 24, 8: 36, 16: 60, 32: 84, 64: 120},
        "rule": {1: 1, 2: 2, 4: 3, 8: 4, 16: 4, 32: 4, 64: 4},
        "extended": {4: 4, 8: 8, 16: 8, 32: 12, 64: 12},
        "everyday": {1: 3, 2: 3, 4: 6, 8: 9, 16: 12, 32: 15, 64: 15},
        "system": dict.fromkeys((1, 2, 4, 8, 16, 32, 64), 1),
    }
    assert set(by_rotation) == set(PROGRAMMES)


def test_the_built_in_suites_are_these():
    assert load_suite_names() == ("demo", "quick", "core", "full", "long")


def test_dialogues_stream_so_that_memory_stays_flat():
    stream = build_suite("core", Selection(limit=4)).dialogues()
    for _ in range(40):
        next(stream)
    tracemalloc.start()
    try:
        for _ in range(40):
            next(stream)
        early = tracemalloc.get_traced_memory()[0]
        for _ in stream:
            pass
        late, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert late - early < 2_000_000
    assert peak < 20_000_000
