"""Asking an engine that answers several units at one time."""

from collections import Counter
from dataclasses import replace

import pytest

from qwen_bench.errors import EngineError
from qwen_bench.protocol import Generation, Reply, SideBySideEngine
from qwen_bench.runs.runner import ask, plan
from qwen_bench.testing import ScriptedEngine

MODES = ("generate", "rank")


class TwoAtOnce(ScriptedEngine):
    """Holds two units at a time and answers the later one first.

    Args:
        spoil: sees every batch of replies before it is given, and may change it or raise.
    """

    def __init__(self, spoil=lambda replies: replies):
        super().__init__(lambda _: "Kwame")
        self.taken = []
        self._spoil = spoil

    def answer_all(self, units):
        held = []
        for unit in units:
            self.taken.append(unit)
            held.append(unit)
            if len(held) == 2:
                yield from self._spoil(list(self.answer(held.pop())))
        for unit in held:
            yield from self._spoil(list(self.answer(unit)))


def ask_all(suite, engine, todo=None, stopped=lambda: False, written=None):
    """Whether all was asked, and the outcomes."""
    written = [] if written is None else written
    finished = ask(
        suite.dialogues(),
        engine,
        plan(suite.dialogues(), MODES).keys if todo is None else todo,
        modes=MODES,
        generation=Generation(9),
        write=written.append,
        attempts={},
        stopped=stopped,
    )
    return finished, written


def rows(outcomes):
    found = {(row.probe_id, row.mode): replace(row, seconds=0.0) for row in outcomes}
    assert len(found) == len(outcomes)
    return found


@pytest.fixture
def suite(make_suite):
    return make_suite(lengths=(1, 4), families=("fact_recall", "alias_chain"), limit=2)


def test_only_engines_with_answer_all_are_asked_so(make_engine):
    assert isinstance(TwoAtOnce(), SideBySideEngine)
    assert not isinstance(make_engine(), SideBySideEngine)


def test_the_rows_are_those_of_one_dialogue_after_the_other(suite, make_engine):
    engine = TwoAtOnce()

    finished, written = ask_all(suite, engine)

    assert finished
    assert len(engine.taken) > 4
    assert rows(written) == rows(ask_all(suite, make_engine())[1])


def test_the_longest_unit_is_given_out_first(suite):
    engine = TwoAtOnce()

    ask_all(suite, engine)

    sizes = [
        sum(len(message.content) for item in unit.requests for message in item.messages)
        for unit in engine.taken
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) > 1


def test_only_what_is_missing_is_asked_side_by_side(suite):
    engine = TwoAtOnce()
    key = min(plan(suite.dialogues(), MODES).keys)

    _, written = ask_all(suite, engine, todo={key})

    assert rows(written).keys() == {key}
    assert [len(unit.requests) for unit in engine.taken] == [1]


def test_after_a_stop_what_was_given_out_is_answered_and_nothing_else(suite):
    engine = TwoAtOnce()
    written = []

    finished, _ = ask_all(suite, engine, stopped=lambda: len(written) > 0, written=written)

    assert not finished
    assert len(engine.taken) == 2
    assert rows(written).keys() == {
        (request.id, request.mode) for unit in engine.taken for request in unit.requests
    }


def test_a_stop_when_all_is_given_out_is_no_stop(suite):
    engine = TwoAtOnce()
    total = sum(1 for _ in suite.dialogues())

    finished, written = ask_all(suite, engine, stopped=lambda: len(engine.taken) == total)

    assert finished
    assert len(rows(written)) == len(plan(suite.dialogues(), MODES).keys)


def test_a_reply_that_arrives_twice_is_recorded_once(suite):
    engine = TwoAtOnce(lambda replies: [*replies, *replies])

    _, written = ask_all(suite, engine)

    assert {row.status for row in rows(written).values()} == {"ok"}


def test_an_answer_nobody_asked_for_is_dropped(suite):
    engine = TwoAtOnce(lambda replies: [Reply("other", "rank", "ok"), *replies])

    _, written = ask_all(suite, engine)

    assert rows(written).keys() == plan(suite.dialogues(), MODES).keys


def test_requests_without_a_reply_become_errors(suite):
    engine = TwoAtOnce(lambda replies: replies[1:])

    _, written = ask_all(suite, engine)

    counted = Counter(row.error_type for row in rows(written).values())
    assert counted["NoReply"] == len(engine.taken)
    assert len(written) == len(plan(suite.dialogues(), MODES).keys)


def test_a_fault_of_the_engine_costs_the_units_under_way_only(suite):
    calls = []

    def spoil(replies):
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError("bug")
        return replies

    engine = TwoAtOnce(spoil)

    finished, written = ask_all(suite, engine)

    failed = {row.probe_id for row in written if row.status == "error"}
    under_way = [unit for unit in engine.taken if {item.id for item in unit.requests} & failed]
    assert finished
    assert {row.error_type for row in written if row.status == "error"} == {"ZeroDivisionError"}
    assert len(under_way) == 2
    assert rows(written).keys() == plan(suite.dialogues(), MODES).keys


def test_an_engine_that_always_fails_still_gives_every_request_a_row(suite):
    class Broken(ScriptedEngine):
        def answer_all(self, _):
            raise RuntimeError("never works")

    _, written = ask_all(suite, Broken({}))

    assert {row.error_type for row in written} == {"RuntimeError"}
    assert rows(written).keys() == plan(suite.dialogues(), MODES).keys


def test_an_engine_that_cannot_go_on_ends_the_run_and_keeps_what_was_answered(suite):
    calls = []

    def spoil(replies):
        calls.append(1)
        if len(calls) == 2:
            raise EngineError("all workers are gone")
        return replies

    written = []

    with pytest.raises(EngineError, match="all workers are gone"):
        ask_all(suite, TwoAtOnce(spoil), written=written)

    assert written
    assert {row.status for row in written} == {"ok"}
