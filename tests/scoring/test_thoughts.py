"""Replies of models that think: only what follows the thought is scored."""

import pytest

from qwen_bench.probes.suites import build_suite
from qwen_bench.protocol import Reply
from qwen_bench.scoring.score import score_reply


@pytest.fixture(scope="module")
def asked():
    """One probe by kind: a fact, and a rule about the form of the reply."""
    items = [item for dialogue in build_suite("quick").dialogues() for item in dialogue.probes]
    return {
        "fact": next(item for item in items if item.probe.family == "fact_recall"),
        "rule": next(item for item in items if item.probe.rule is not None),
    }


def row(item, status="ok", **reply):
    return score_reply(item.probe, Reply(item.probe.id, "generate", status, **reply), item.messages)


@pytest.mark.parametrize("kind", ["fact", "rule"])
@pytest.mark.parametrize("status", ["ok", "truncated"])
def test_a_reply_that_never_left_its_thought_has_no_answer(asked, kind, status):
    found = row(asked[kind], status, reason="thinking", text="", thought_tokens=9)

    assert (found.score, found.reason, found.output) == (0, "no_answer", "")
    assert (found.status, found.thought_tokens) == ({"ok": "empty"}.get(status, status), 9)


def test_an_empty_answer_after_a_finished_thought_is_empty_and_not_unanswered(asked):
    found = row(asked["fact"], text="", thought_tokens=9)

    assert (found.status, found.score, found.reason) == ("empty", 0, "empty")


@pytest.mark.parametrize("kind", ["fact", "rule"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (None, "empty"),
        (" \n", "empty"),
        ("<think>Hm.</think>\n", "empty"),
        ("<|im_end|>", "empty"),
        ("<think>Hm.", "no_answer"),
    ],
)
def test_an_answer_that_ended_without_a_word_is_empty_whichever_engine_gave_it(
    asked, kind, text, reason
):
    found = row(asked[kind], text=text)

    assert (found.status, found.score, found.reason) == ("empty", 0, reason)
    assert (found.output, found.unread) == (text or "", False)


def test_a_word_is_enough_to_be_an_answer(asked):
    assert row(asked["fact"], text="No").status == "ok"
    assert row(asked["fact"], text=None, status="error").status == "error"


def test_the_answer_behind_a_thought_decides_whatever_the_thought_named(asked):
    probe = asked["fact"].probe
    other = next(name for name in probe.candidates if name != probe.gold)

    right = row(asked["fact"], text=f"<think>{other}?</think>{probe.gold}")
    wrong = row(asked["fact"], text=f"{probe.gold}!</think>{other}")

    assert (right.score, wrong.score) == (1, 0)
    assert wrong.reason == "wrong_candidate"


def test_an_answer_cut_after_its_thought_is_scored_by_its_text(asked):
    probe = asked["fact"].probe

    found = row(asked["fact"], "truncated", reason="length", text=probe.gold, thought_tokens=9)

    assert (found.status, found.score) == ("truncated", 1)
