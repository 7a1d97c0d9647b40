"""One conversation at three paces: the same remarks and requests, answered at another length."""

from collections import defaultdict
from dataclasses import replace
from itertools import islice

import pytest

from qwen_bench.chat.token_estimate import text_tokens
from qwen_bench.probes.bank import (
    PACES,
    Bank,
    Exchange,
    Requested,
    Thread,
    with_long_answers,
    within_tokens,
    without,
)
from qwen_bench.probes.seeded_draws import Stream
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite


def thread(topic, *lengths):
    """A thread whose exchanges have so many answers each."""
    return Thread(
        topic,
        tuple(
            Exchange(f"{topic} {i}?", ("One.", "One.\n\nTwo.", "One.\n\nTwo.\n\nThree.")[:count])
            for i, count in enumerate(lengths)
        ),
    )


BANK = Bank((thread("tea", 3, 2), thread("cats", 2), thread("sql", 3)), "0" * 64, "bank/en")


def first(suite, count=6):
    return list(islice(suite.dialogues(), count))


def at(suite, pace):
    return replace(suite, sources=replace(suite.sources, pace=pace))


@pytest.fixture(scope="module")
def told():
    """Dialogues of core at each pace."""
    core = build_suite("core", Selection(limit=1, conditions=("main",)))
    return {pace: first(at(core, pace)) for pace in PACES}


def test_every_pace_asks_the_same_and_differs_in_answers_alone(told):
    for same in zip(*told.values(), strict=True):
        assert len({dialogue.id for dialogue in same}) == 1
        for turns in zip(*(dialogue.turns for dialogue in same), strict=True):
            assert len({(turn.user, turn.group, turn.place) for turn in turns}) == 1
        for probes in zip(*(dialogue.probes for dialogue in same), strict=True):
            assert len({(a.probe.id, a.probe.gold, a.probe.needs) for a in probes}) == 1


def test_a_longer_pace_begins_with_the_shorter_one_in_every_turn(told):
    longer = defaultdict(int)
    for brief, chat, long in zip(*told.values(), strict=True):
        for one, two, three in zip(brief.turns, chat.turns, long.turns, strict=True):
            assert two.assistant.startswith(one.assistant)
            assert three.assistant.startswith(two.assistant)
            longer["chat"] += len(two.assistant) > len(one.assistant)
            longer["long"] += len(three.assistant) > len(two.assistant)

    assert longer["chat"] == sum(len(dialogue.turns) for dialogue in told["brief"])
    assert longer["long"] > longer["chat"] / 4


def test_an_exchange_without_a_long_answer_has_its_chat_answer_instead():
    assert thread("cats", 2).exchanges[0].answer("long") == "One.\n\nTwo."
    assert thread("tea", 3).exchanges[0].answer("long") == "One.\n\nTwo.\n\nThree."


def test_a_word_that_only_a_long_answer_holds_costs_that_answer_and_no_thread():
    left = without(BANK, ("three",), long=True)

    assert [t.topic for t in left] == ["tea", "cats", "sql"]
    assert {e.answer("long") for t in left for e in t.exchanges} == {"One.\n\nTwo."}


@pytest.mark.parametrize("long", [True, False])
def test_a_word_of_a_shorter_answer_costs_the_thread_at_every_pace(long):
    tea = BANK.threads[0]._replace(
        exchanges=(Exchange("Tea?", ("Pour.", "Pour.\n\nSteep.")), *BANK.threads[0].exchanges)
    )
    bank = replace(BANK, threads=(tea, *BANK.threads[1:]), sha256="1" * 64)

    assert [t.topic for t in without(bank, ("steep",), long=long)] == ["cats", "sql"]


class TestPreference:
    def test_threads_without_long_answers_are_left_out_where_others_fill_the_turns(self):
        assert [t.topic for t in with_long_answers(BANK.threads, 3)] == ["tea", "sql"]

    def test_all_stay_where_all_are_needed(self):
        assert with_long_answers(BANK.threads, 4) == BANK.threads

    def test_what_stays_keeps_its_order_and_fills_the_turns(self):
        threads = tuple(thread(f"t{i}", *[2 + i % 2] * (1 + i % 3)) for i in range(20))
        for turns in range(1, 39):
            left = with_long_answers(threads, turns)
            assert sum(len(t.exchanges) for t in left) >= turns
            assert [t for t in threads if t in left] == list(left)


class TestWithinTokens:
    def asked(self, count=40):
        long = Exchange("How?", ("Yes.", "Yes. It is.", "Yes. It is. " + "So and so. " * 40))
        return [Requested(long._replace(request=f"How {i}?"), 0) for i in range(count)]

    def test_long_answers_beyond_end_at_pace_chat_anywhere_in_the_dialogue(self):
        kept = within_tokens(self.asked(), Stream("x"), 2_000)

        shortened = [i for i, of in enumerate(kept) if len(of.exchange.answers) == 2]
        assert 10 < len(shortened) < 30
        assert shortened[0] < 10
        assert shortened[-1] > 30
        said = sum(text_tokens(of.exchange.request + of.exchange.answers[-1]) for of in kept)
        assert 1_900 < said < 2_010

    def test_what_fits_stays_as_it_is(self):
        assert within_tokens(self.asked(), Stream("x"), 10_000) == self.asked()

    def test_requests_and_their_order_stay(self):
        kept = within_tokens(self.asked(), Stream("x"), 100)

        assert [of.exchange.request for of in kept] == [f"How {i}?" for i in range(40)]
        assert {len(of.exchange.answers) for of in kept} == {2}
