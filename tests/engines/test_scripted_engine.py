"""The scripted engine keeps the protocol, so that tests of everything above it may rely on it."""

from qwen_bench.chat.messages import Message
from qwen_bench.protocol import Reply, Request, Unit
from qwen_bench.testing import ScriptedEngine

ASKED = (Message("user", "?"),)
UNIT = Unit(
    "d",
    (
        Request("a", ASKED, "generate"),
        Request("a", ASKED, "rank", ("x", "y")),
        Request("b", ASKED, "generate"),
    ),
)


def test_it_answers_from_a_table_in_both_modes():
    engine = ScriptedEngine({"a": "y"})

    first, second, third = engine.answer(UNIT)

    assert (first.text, third.text) == ("y", "")
    assert max(second.scores, key=lambda score: score.logprob).candidate == "y"
    assert engine.counters().requests == 3


def test_a_function_may_give_a_whole_reply():
    failed = Reply("a", "generate", "error", reason="timeout")

    engine = ScriptedEngine(lambda request: failed if request.id == "a" else "ok")

    assert [reply.status for reply in engine.answer(UNIT)] == ["error", "error", "ok"]


def test_it_remembers_what_it_was_asked_and_that_it_was_closed():
    engine = ScriptedEngine({})

    list(engine.answer(UNIT))
    engine.close()

    assert engine.asked == list(UNIT.requests)
    assert engine.closed
