"""What a window forgets is recovered: in turns at every pace, or in tokens at every pace.

A reader of the last N turns has one effective length in turns, however long the replies are; a
reader of the last N tokens keeps fewer turns of longer replies, and about as many tokens.
"""

from collections import defaultdict
from dataclasses import replace
from statistics import mean

import pytest

from qwen_bench.chat.token_estimate import prompt_tokens
from qwen_bench.probes.bank import PACES
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.scoring.score import judge_text
from qwen_bench.solvers.solver_engine import find_solver
from qwen_bench.stats.profile import effective_length


@pytest.fixture(scope="module")
def asked():
    """Main probes of one rotation of core by pace."""
    suite = build_suite("core", Selection(limit=1, langs=("en",), conditions=("main",)))
    return {
        pace: [
            item
            for dialogue in replace(suite, sources=replace(suite.sources, pace=pace)).dialogues()
            if dialogue.variant == "A" and dialogue.cluster.startswith("mixed")
            for item in dialogue.probes
            if item.probe.answer_kind != "yesno"
        ]
        for pace in PACES
    }


def right(name, item):
    return judge_text(item.probe, find_solver(name)(item.probe, item.messages)).score


def curve(name, probes):
    """Accuracy and mean prompt tokens by history length."""
    scores, tokens = defaultdict(list), defaultdict(list)
    for item in probes:
        if not item.probe.gold_abstains:
            scores[item.probe.length].append(right(name, item))
            tokens[item.probe.length].append(prompt_tokens(item.messages))
    lengths = sorted(scores)
    found = effective_length(lengths, [mean(scores[t]) for t in lengths])
    return found, {t: mean(tokens[t]) for t in lengths}


@pytest.mark.parametrize("turns", [2, 4, 8])
def test_a_window_of_turns_has_one_effective_length_in_turns_at_every_pace(asked, turns):
    found = {pace: curve(f"window-{turns}", probes)[0] for pace, probes in asked.items()}

    assert {(of.state, of.turns) for of in found.values()} == {("at", turns)}


@pytest.mark.parametrize("thousands", [1, 2, 3])
def test_a_window_of_tokens_has_about_one_effective_length_in_tokens_at_every_pace(
    asked, thousands
):
    kept = {}
    for pace, probes in asked.items():
        found, tokens = curve(f"window-{thousands}k", probes)
        lengths = sorted(tokens)
        longer = lengths[lengths.index(found.turns) + 1]
        kept[pace] = found.turns
        # History lengths double, so the window lies between the one kept and the next.
        assert 0.5 * tokens[found.turns] < 1_000 * thousands < 1.2 * tokens[longer]

    assert kept["brief"] > kept["chat"] > kept["long"]


@pytest.mark.parametrize("pace", PACES)
def test_an_answer_of_a_window_of_tokens_is_right_where_they_reach_the_evidence(asked, pace):
    for item in asked[pace]:
        since = item.messages[-2 * item.probe.distance_first - 3 :]
        assert item.probe.needs[0] == item.probe.length - item.probe.distance_first
        reached = prompt_tokens(since) <= 2_000
        assert right("window-2k", item) >= reached
        if not item.probe.gold_abstains:
            assert right("window-2k", item) == reached
