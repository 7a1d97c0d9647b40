"""A row names the policy of its run and whether the evidence was still there."""

import pytest

from qwen_bench.chat.messages import conversation_sha256
from qwen_bench.chat.policy import Policy, keep
from qwen_bench.probes.suites import build_suite
from qwen_bench.protocol import Reply
from qwen_bench.scoring.score import score_reply


@pytest.fixture(scope="module")
def asked():
    """Probes of the main condition at eight turns."""
    return [
        item
        for dialogue in build_suite("quick").dialogues()
        for item in dialogue.probes
        if (item.probe.condition, item.probe.length) == ("main", 8)
    ]


def row(item, dropped, policy="last-turns:4", **changes):
    reply = Reply(item.probe.id, "generate", "ok", text=item.probe.gold, dropped_turns=dropped)
    return score_reply(item.probe, reply, item.messages, policy=policy, **changes)


def test_a_row_is_visible_exactly_when_every_needed_turn_was_kept(asked):
    for item in asked:
        dropped = keep(Policy("last-turns", 4), item.messages).dropped
        assert dropped == 4
        assert row(item, dropped).evidence_visible == (item.probe.needs[0] > 4)
    assert {row(item, 4).evidence_visible for item in asked} == {True, False}


def test_a_row_names_its_policy_and_hashes_the_uncut_conversation(asked):
    found = row(asked[0], 4)

    assert found.policy == "last-turns:4"
    assert found.messages_sha256 == conversation_sha256(asked[0].messages)


def test_a_policy_changes_no_score(asked):
    assert row(asked[0], 8).score == row(asked[0], 0, "full").score == 1
