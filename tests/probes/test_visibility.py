from dataclasses import replace

import pytest

from qwen_bench.probes.probe import evidence_visible
from qwen_bench.probes.suites import build_suite


@pytest.fixture(scope="module")
def probe():
    return next(
        asked.probe
        for dialogue in build_suite("quick").dialogues()
        for asked in dialogue.probes
        if asked.probe.condition == "main"
    )


@pytest.mark.parametrize(
    ("needs", "dropped", "visible"),
    [
        ((3,), 0, True),
        ((3,), 2, True),
        ((3,), 3, False),
        ((2, 5), 1, True),
        ((2, 5), 2, False),
        ((0,), 64, True),
        ((0, 2), 2, False),
        ((), 9, True),
    ],
)
def test_all_needed_turns_must_have_been_kept(probe, needs, dropped, visible):
    assert evidence_visible(replace(probe, needs=needs), dropped) is visible


def test_a_blind_probe_never_shows_its_evidence(probe):
    assert not evidence_visible(replace(probe, condition="blind", needs=()), 0)
