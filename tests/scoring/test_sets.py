"""Slot F1 and per-item accuracy of lists, worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.probes.probe import Cluster, Probe, ProbeId
from qwen_bench.scoring.judge import judge_text
from qwen_bench.scoring.sets import SlotCounts, slot_counts

ITEMS = ("rope", "kettle", "tarp", "compass", "net", "lamp", "axe")
GOLD = ("rope", "compass", "tarp")
PROBE = Probe(
    id=ProbeId("mixed-0/A/en/f.q/T2/main"),
    programme="mixed",
    cluster=Cluster("mixed-0"),
    variant="A",
    lang="en",
    family="f",
    question="q",
    twin_group="g",
    condition="main",
    length=2,
    distance=0,
    distance_first=1,
    position=1.0,
    needs=(1, 2),
    question_text="?",
    gold=", ".join(GOLD),
    candidates=ITEMS,
    rank_candidates=(),
    aliases={},
    answer_kind="set",
    gold_abstains=False,
    chance=0.25,
    factors={},
    gold_items=GOLD,
)


@pytest.mark.parametrize(
    ("raw", "counts", "f1", "accuracy"),
    [
        ("rope, compass, tarp", (3, 0, 0, 4), 1.0, 1.0),
        ("1. tarp\n2. rope\n3. compass", (3, 0, 0, 4), 1.0, 1.0),
        ("rope, compass", (2, 1, 0, 4), 4 / 5, 6 / 7),
        ("rope, compass, tarp, kettle", (3, 0, 1, 3), 6 / 7, 6 / 7),
        ("rope, kettle, tarp", (2, 1, 1, 3), 2 / 3, 5 / 7),
        ("kettle, net, lamp, axe", (0, 3, 4, 0), 0.0, 0.0),
        (", ".join(ITEMS), (3, 0, 4, 0), 0.6, 3 / 7),
        ("I do not know.", (0, 3, 0, 4), 0.0, 4 / 7),
        ("", (0, 3, 0, 4), 0.0, 4 / 7),
        ("<think>rope, compass, tarp", (0, 3, 0, 4), 0.0, 4 / 7),
        ("The kettle went. Answer: rope, compass, tarp", (3, 0, 0, 4), 1.0, 1.0),
    ],
)
def test_a_list_is_compared_item_by_item(raw, counts, f1, accuracy):
    found = slot_counts(PROBE, raw)

    assert found == SlotCounts(*counts)
    assert found.f1 == pytest.approx(f1)
    assert found.item_accuracy == pytest.approx(accuracy)


@given(st.sets(st.sampled_from(ITEMS)))
def test_only_the_right_list_is_perfect_and_the_judge_agrees(listed):
    raw = ", ".join(sorted(listed))

    counts = slot_counts(PROBE, raw)

    exact = listed == set(GOLD)
    assert sum(counts) == len(ITEMS)
    assert (counts.f1 == 1.0) == (counts.item_accuracy == 1.0) == exact
    assert (judge_text(PROBE, raw).reason == "correct") == exact


def test_two_empty_lists_agree():
    assert SlotCounts(0, 0, 0, 7).f1 == 1.0
