"""Rows repeat the level and the wording of their probe."""

from dataclasses import replace

import pytest

from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.protocol import Reply
from qwen_bench.scoring.score import score_reply


@pytest.fixture(scope="module")
def probe():
    suite = build_suite("quick", Selection(limit=1, conditions=("main",)))
    return next(one.probe for dialogue in suite.dialogues() for one in dialogue.probes)


@pytest.mark.parametrize(("level", "wording"), [(3, "paraphrase"), (1, "")])
def test_a_row_has_the_level_and_the_wording_of_its_probe(probe, level, wording):
    asked = replace(probe, level=level, wording=wording)

    row = score_reply(asked, Reply(asked.id, "generate", "ok", text="x"), ())

    assert (row.level, row.wording) == (level, wording)


def test_a_probe_without_a_level_has_a_row_without_one(probe):
    asked = replace(probe, level=0, wording="")

    assert score_reply(asked, Reply(asked.id, "generate", "ok", text="x"), ()).level is None
