"""Several addresses: every server has its own dialogues, and all work at one time."""

import itertools
import threading
import time

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.openai.address import address_of
from qwen_bench.engines.openai.openai_engine import OpenAIEngine, SeveralServers, open_servers
from qwen_bench.errors import EngineError
from qwen_bench.protocol import Request, SideBySideEngine, Unit


def unit(dialogue, questions=3):
    return Unit(
        dialogue,
        tuple(
            Request(f"{dialogue}/{number}", (Message("user", f"{dialogue} {number}?"),), "generate")
            for number in range(questions)
        ),
    )


DIALOGUES = tuple(f"dialogue {number}" for number in range(8))
FIRST = [name for name in DIALOGUES if address_of(name, 2) == 0]
SECOND = [name for name in DIALOGUES if address_of(name, 2) == 1]


@pytest.fixture
def engine(server, second):
    options = EngineOptions(
        base_url=f"{server.url},{second.url}",
        concurrency=1,
        model_args={"max_retries": 0, "timeout": 5.0},
    )
    opened = open_servers(parse_spec("openai:m"), options)
    server.heard.clear()
    second.heard.clear()
    yield opened
    opened.close()


def dialogues_of(fake):
    return [heard.body["messages"][-1]["content"].rpartition(" ")[0] for heard in fake.heard]


def test_one_address_is_asked_one_unit_at_a_time(server):
    options = EngineOptions(base_url=server.url, model_args={"max_retries": 0})
    opened = open_servers(parse_spec("openai:m"), options)

    assert type(opened) is OpenAIEngine
    assert not isinstance(opened, SideBySideEngine)
    opened.close()


def test_every_request_has_one_reply_and_every_dialogue_one_server(engine, server, second):
    assert isinstance(engine, SeveralServers)
    assert FIRST
    assert SECOND

    replies = list(engine.answer_all(iter([unit(name) for name in DIALOGUES])))

    wanted = sorted(f"{name}/{number}" for name in DIALOGUES for number in range(3))
    assert sorted(reply.id for reply in replies) == wanted
    assert {reply.status for reply in replies} == {"ok"}
    assert set(dialogues_of(server)) == set(FIRST)
    assert set(dialogues_of(second)) == set(SECOND)
    assert engine.counters().requests == len(wanted)


def test_a_server_has_one_dialogue_after_the_other(engine, server):
    list(engine.answer_all(iter([unit(name) for name in DIALOGUES])))

    seen = dialogues_of(server)
    assert len(FIRST) == 1 + sum(one != two for one, two in itertools.pairwise(seen))


def test_the_servers_work_at_one_time(engine, server, second, act, answer):
    both = threading.Barrier(2, timeout=5)

    def wait_for_the_other(_):
        both.wait()
        return act(answer())

    server.act = second.act = wait_for_the_other

    replies = list(engine.answer_all(iter([unit(FIRST[0], 1), unit(SECOND[0], 1)])))

    assert {reply.status for reply in replies} == {"ok"}


def test_the_seconds_are_those_that_passed(engine, server, second, act, answer):
    server.act = second.act = lambda _: act(answer(), wait=0.1)
    begun = time.perf_counter()

    list(engine.answer_all(iter([unit(FIRST[0]), unit(SECOND[0])])))

    passed = time.perf_counter() - begun
    assert 0.25 < engine.counters().seconds <= passed


def test_not_more_units_are_taken_than_there_is_room_for(engine):
    taken = []

    def given():
        for name in DIALOGUES:
            taken.append(name)
            yield unit(name)

    first = next(engine.answer_all(given()))

    assert first.status == "ok"
    assert len(taken) <= 5


def test_a_server_that_fails_costs_its_own_dialogues_only(engine, second, act):
    second.act = lambda _: act({"error": {"message": "broken"}}, 500)

    replies = list(engine.answer_all(iter([unit(name) for name in DIALOGUES])))

    status = {reply.id.partition("/")[0]: reply.status for reply in replies}
    assert {status[name] for name in FIRST} == {"ok"}
    assert {status[name] for name in SECOND} == {"error"}
    assert len(replies) == 3 * len(DIALOGUES)


def test_a_server_that_refuses_everybody_ends_the_run(engine, second, act):
    second.act = lambda _: act({"error": {"message": "no"}}, 401)

    with pytest.raises(EngineError):
        list(engine.answer_all(iter([unit(name) for name in DIALOGUES])))


def test_an_engine_without_units_has_nothing_to_say(engine):
    assert list(engine.answer_all(iter(()))) == []
