"""In what order a dialogue goes out, how much of it at a time, and what it is said to cost."""

import random
import threading
import time
from dataclasses import replace

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.engines.openai.address import address_of, read_addresses
from qwen_bench.engines.openai.server_request import in_tree_order, prepare, tree_tokens
from qwen_bench.errors import InputError
from qwen_bench.protocol import Request, Unit


def talk(length, question):
    """A history of so many turns that all others of the unit begin with, and a question."""
    turns = (
        message
        for turn in range(length)
        for message in (Message("user", f"Number {turn} is red."), Message("assistant", "Yes."))
    )
    return (*turns, Message("user", question))


QUESTIONS = ("Which locker is mine?", "What is the name of my cat?", "Which day is it?")


def unit(lengths=(1, 2, 4), *, dialogue="d"):
    """Prompts in an order that is bad for a cache: every question at all lengths, then the next."""
    requests = [
        Request(f"{question} {length}", talk(length, question), "generate", max_new_tokens=3)
        for question in QUESTIONS
        for length in lengths
    ]
    return Unit(dialogue, tuple(requests))


@pytest.fixture
def cold(tiny):
    """The tiny server, its slot emptied of what the survey left in it."""
    model, _, folder = tiny

    def empty():
        model.slot = []
        model.computed = 0

    return model, folder, empty


class TestOneSlot:
    """One slot that keeps the last prompt, as llama.cpp with one slot does."""

    def test_in_tree_order_every_distinct_token_is_computed_once(self, cold, open_engine):
        model, folder, empty = cold
        engine = open_engine(model_args={"tokenizer": folder})
        empty()

        replies = list(engine.answer(unit()))

        counters = engine.counters()
        assert model.computed == counters.tree_tokens
        assert counters.forward_tokens == counters.tree_tokens + counters.decoded_tokens
        assert counters.naive_tokens == sum(r.prompt_tokens + r.output_tokens - 1 for r in replies)
        assert counters.sharing_ratio > 2.5
        assert sum(r.prompt_tokens - r.cached_tokens for r in replies) == counters.tree_tokens

    def test_without_a_tokenizer_the_order_of_messages_is_nearly_as_good(self, cold, open_engine):
        model, folder, empty = cold
        with_one = open_engine(model_args={"tokenizer": folder})
        without = open_engine()
        costs = []
        for engine in (with_one, without):
            empty()
            list(engine.answer(unit()))
            costs.append(model.computed)

        assert costs[0] <= costs[1] <= 1.1 * costs[0]
        assert without.counters().tree_tokens == 0

    def test_the_order_of_the_unit_would_cost_more(self, cold, open_engine):
        model, folder, empty = cold
        engine = open_engine(model_args={"tokenizer": folder})
        (server,) = engine._servers
        empty()

        for request in unit().requests:
            server.ask(prepare(request, engine._options.policy, "default", engine._local))

        assert model.computed > 1.5 * tree_tokens(
            [prepare(r, engine._options.policy, "default", engine._local) for r in unit().requests]
        )

    def test_the_order_of_the_unit_does_not_matter(self, cold, open_engine):
        model, folder, empty = cold
        engine = open_engine(model_args={"tokenizer": folder})
        found = []
        for seed in range(3):
            requests = list(unit().requests)
            random.Random(seed).shuffle(requests)  # noqa: S311 - no secret
            empty()
            replies = list(engine.answer(Unit("d", tuple(requests))))
            found.append((model.computed, [(r.id, r.text) for r in replies]))

        assert found[0] == found[1] == found[2]

    def test_it_is_asked_one_by_one_whatever_the_concurrency(self, cold, open_engine, in_flight):
        _, folder, _ = cold
        engine = open_engine(model_args={"tokenizer": folder}, concurrency=8)

        assert in_flight(engine) == 1


@pytest.fixture
def in_flight(server):
    """Most requests that the server had at one time while a unit was answered."""

    def most(engine):
        act, lock, now, seen = server.act, threading.Lock(), [0], [0]

        def watched(heard):
            with lock:
                now[0] += 1
                seen[0] = max(seen[0], now[0])
            time.sleep(0.05)
            try:
                return act(heard)
            finally:
                with lock:
                    now[0] -= 1

        server.act = watched
        list(engine.answer(unit()))
        return seen[0]

    return most


@pytest.mark.parametrize("concurrency", [1, 3])
def test_so_many_requests_are_in_flight_as_were_asked_for(concurrency, open_engine, in_flight):
    assert in_flight(open_engine(concurrency=concurrency)) == concurrency


def test_not_more_than_llama_cpp_has_slots_and_several_are_warned_of(
    server, open_engine, in_flight, act
):
    usual = server.usual
    server.act = lambda heard: act({"total_slots": 2}) if heard.path == "/props" else usual(heard)
    engine = open_engine(concurrency=8)

    assert any("has 2 slots, which share nothing" in line for line in engine.identity().warnings)
    assert in_flight(engine) == 2


def test_side_by_side_or_one_by_one_the_replies_are_equal_and_in_tree_order(open_engine):
    replies = [
        [
            replace(reply, seconds=0.0)
            for reply in open_engine(concurrency=concurrency).answer(unit())
        ]
        for concurrency in (1, 4)
    ]

    assert replies[0] == replies[1]
    assert [reply.id for reply in replies[0]] != [request.id for request in unit().requests]


class TestPriming:
    """A server that shares one cache among requests reads the longest prompt before the others."""

    @pytest.fixture
    def cached(self, server, act, answer):
        server.chat = lambda _: act(answer(cached=4))

    @pytest.mark.usefixtures("cached")
    def test_the_longest_prompt_goes_first_with_one_token(self, server, open_engine):
        engine = open_engine(concurrency=4)
        server.heard.clear()

        replies = list(engine.answer(unit()))

        first, *rest = server.asked()
        assert first["max_tokens"] == 1
        sizes = [sum(len(m["content"]) for m in body["messages"]) for body in (first, *rest)]
        assert sizes[0] == max(sizes)
        assert len(rest) == len(replies) == 9
        assert {body["max_tokens"] for body in rest} == {3}

    @pytest.mark.usefixtures("cached")
    def test_not_when_requests_go_one_by_one(self, server, open_engine):
        engine = open_engine(concurrency=1)
        server.heard.clear()

        list(engine.answer(unit()))

        assert {body["max_tokens"] for body in server.asked()} == {3}

    def test_not_on_a_server_without_a_cache(self, server, open_engine):
        engine = open_engine(concurrency=4)
        server.heard.clear()

        list(engine.answer(unit()))

        assert {body["max_tokens"] for body in server.asked()} == {3}

    def test_its_tokens_are_counted(self, server, open_engine, act, answer):
        server.chat = lambda _: act(answer(prompt=100, output=1, cached=90))
        engine = open_engine(concurrency=4)

        list(engine.answer(unit()))

        assert engine.counters().forward_tokens == 10 * 10
        assert engine.counters().naive_tokens == 9 * 100


def test_a_server_that_does_not_tell_cached_tokens_has_no_forward_tokens(open_engine):
    engine = open_engine()

    list(engine.answer(unit()))

    counters = engine.counters().as_dict()
    assert counters["forward_tokens"] is None
    assert counters["sharing_ratio"] is None
    assert counters["naive_tokens"] > 0
    assert counters["requests"] == 9


def test_equal_prompts_stand_side_by_side(open_engine):
    requests = unit().requests
    doubled = (*requests, *(replace(request, id=f"again {request.id}") for request in requests))
    options = open_engine()._options

    ordered = in_tree_order([prepare(r, options.policy, "default", None) for r in doubled])

    pairs = zip(ordered[::2], ordered[1::2], strict=True)
    assert all(first.messages == second.messages for first, second in pairs)


class TestSeveralServers:
    def test_a_dialogue_keeps_its_server_and_all_servers_get_some(
        self, server, second, open_engine
    ):
        engine = open_engine(url=f"{server.url},{second.url}/")
        names = [f"dialogue-{number}" for number in range(12)]
        where = []
        for _ in range(2):
            for name in names:
                server.heard.clear()
                second.heard.clear()
                list(engine.answer(unit(dialogue=name)))
                assert bool(server.heard) != bool(second.heard)
                where.append(bool(second.heard))

        assert where[:12] == where[12:]
        assert 2 < sum(where[:12]) < 10

    def test_servers_of_other_models_are_refused(self, server, second, open_engine):
        second.models = {"data": [{"id": "other"}]}

        with pytest.raises(InputError, match="do not serve the same models"):
            open_engine(url=f"{server.url},{second.url}")


def test_the_server_of_a_dialogue_never_changes():
    assert [address_of(f"d{number}", 3) for number in range(8)] == [
        address_of(f"d{number}", 3) for number in range(8)
    ]


def test_an_address_is_shown_without_credentials():
    (address,) = read_addresses("https://me:secret@host.example:8000/api/v1/")

    assert address.url == "https://me:secret@host.example:8000/api/v1"
    assert address.shown == "https://host.example:8000/api/v1"
    assert address.host == "host.example:8000"
