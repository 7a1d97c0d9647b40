"""Remarks and requests: what a turn is made of, and lures that look like evidence."""

from collections import Counter
from itertools import islice, pairwise

import pytest

from qwen_bench.probes.bank import Exchange, Requested, load_bank, requests, without
from qwen_bench.probes.probe import LANGS
from qwen_bench.probes.programmes import MIXED
from qwen_bench.probes.remarks import ASIDES, Remark, lures, manner_of, turn_of
from qwen_bench.probes.seeded_draws import Stream
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.resources import data_folder
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.scoring.normalise import normalise

TASKS = data_folder("tasks")
REMARK = Remark("The gym has Margot.", "Noted.")
ASKED = Exchange("Can I freeze it?", ("Yes.", "Yes.\n\nFor a month."))


def turns(remark, exchange, place, lang="en"):
    return {
        turn_of(remark, Requested(exchange, place), "brief", manner_of(Stream("t", i), lang), lang)
        for i in range(60)
    }


class TestTurn:
    def test_a_request_that_goes_on_with_its_thread_stands_before_the_remark(self):
        for user, _ in turns(REMARK, ASKED, 1):
            assert user.startswith("Can I freeze it?")
            assert user.endswith("The gym has Margot.")
            assert any(aside in user for aside in ASIDES["en"])

    def test_a_request_that_opens_a_thread_stands_before_or_behind_it(self):
        firsts = Counter(user.startswith(ASKED.request) for user, _ in turns(REMARK, ASKED, 0))

        assert set(firsts) == {True, False}

    def test_the_reply_speaks_to_the_remark_and_goes_on_to_the_request(self):
        assert {reply for _, reply in turns(REMARK, ASKED, 0)} == {"Noted. Yes.", "Noted.\n\nYes."}

    def test_a_turn_may_hold_a_request_alone(self):
        assert turns(None, ASKED, 0) == {("Can I freeze it?", "Yes.")}

    @pytest.mark.parametrize(
        ("request_text", "answer"), [("no full stop", "Yes."), ("A table:\n1 2", "Yes.")]
    )
    def test_what_does_not_end_a_sentence_is_a_paragraph(self, request_text, answer):
        for user, _ in turns(REMARK, Exchange(request_text, (answer,)), 1):
            assert user.startswith(f"{request_text}\n\n")

    @pytest.mark.parametrize("answer", ["| a | b |", "- one", "1. one", "# Title", "```sql"])
    def test_an_answer_that_begins_with_markup_stands_apart(self, answer):
        replies = {reply for _, reply in turns(REMARK, Exchange("How?", (answer,)), 0)}
        assert replies == {f"Noted.\n\n{answer}"}

    def test_chinese_sentences_follow_each_other_without_a_blank(self):
        remark = Remark("健身房找顾维舟。", "记下了。")
        for user, reply in turns(remark, Exchange("茶怎么存？", ("放阴凉处。",)), 1, "zh"):
            assert " " not in user + reply
            assert reply in {"记下了。放阴凉处。", "记下了。\n\n放阴凉处。"}


class TestBank:
    def test_a_thread_goes_on_from_turn_to_turn_and_nothing_comes_twice(self):
        bank = load_bank(TASKS, "en", "eval")
        found = requests(bank, bank.threads, Stream("x"), 100)

        assert len({asked.exchange.request for asked in found}) == 100
        for one, two in pairwise(found):
            assert two.place in {0, one.place + 1}

    def test_a_shorter_history_is_a_prefix_of_a_longer_one(self):
        bank = load_bank(TASKS, "zh", "eval")
        long = requests(bank, bank.threads, Stream("x"), 64)

        assert requests(bank, bank.threads, Stream("x"), 8) == long[:8]

    def test_the_topics_of_one_life_come_first(self):
        bank = load_bank(TASKS, "en", "eval")
        found = [asked.exchange.request for asked in requests(bank, bank.threads, Stream("y"), 40)]
        topic = {e.request: thread.topic for thread in bank.threads for e in thread.exchanges}

        assert {topic[request] for request in found} <= max(
            (set(p) for p in bank.personas), key=lambda p: len(p & {topic[r] for r in found})
        )

    def test_threads_that_hold_a_word_are_left_out_whatever_its_case_or_plural(self):
        bank = load_bank(TASKS, "en", "eval")
        left = without(bank, ("Table",), long=True)

        assert 0 < len(left) < len(bank.threads)
        for thread in left:
            for exchange in thread.exchanges:
                words = f"{exchange.request} {exchange.answers[-1]}".lower().split()
                assert not {"table", "tables", "table."} & set(words)

    @pytest.mark.parametrize("lang", LANGS)
    def test_personas_name_topics_of_the_bank(self, lang):
        bank = load_bank(TASKS, lang, "eval")

        topics = {thread.topic for thread in bank.threads}
        assert {topic for persona in bank.personas for topic in persona} == topics

    @pytest.mark.parametrize("lang", LANGS)
    def test_a_longer_pace_begins_with_the_shorter_one(self, lang):
        for thread in load_bank(TASKS, lang, "eval").threads:
            for exchange in thread.exchanges:
                assert exchange.answer("chat").startswith(exchange.answer("brief"))
                assert len(exchange.answer("chat")) > len(exchange.answer("brief"))


@pytest.fixture(scope="module")
def suite():
    return build_suite("core", Selection(limit=2))


class TestLures:
    def test_both_variants_have_the_same_ones(self, suite):
        of_a = {d.id: d for d in suite.dialogues() if d.variant == "A"}
        for dialogue in suite.dialogues():
            twin = of_a[dialogue.id.replace("/B/", "/A/")]
            for one, two in zip(dialogue.turns, twin.turns, strict=True):
                assert one.group is not None or one.user == two.user

    @pytest.mark.parametrize("lang", LANGS)
    def test_none_names_a_candidate_of_the_dialogue(self, suite, lang):
        for dialogue in suite.dialogues():
            if dialogue.lang != lang or dialogue.variant != "A":
                continue
            text = normalise("\n".join(t.user for t in dialogue.turns if not t.group)).text
            for asked in dialogue.probes:
                if asked.probe.answer_kind not in {"rule", "yesno"}:
                    assert not find_mentions(text, asked.probe.candidates, {}), asked.probe.id

    def test_every_family_and_level_comes_equally_often(self, suite):
        first = list(islice(lures(suite.sources, MIXED, 0, "en"), 400))

        assert len({lure.said for lure in first}) > 300
        assert all(lure.group is None for lure in first)

    def test_most_turns_without_evidence_hold_one(self, suite):
        bank = {
            lang: {e.request for t in load_bank(TASKS, lang, "eval").threads for e in t.exchanges}
            for lang in LANGS
        }
        plain = Counter(
            turn.user in bank[dialogue.lang]
            for dialogue in suite.dialogues()
            if dialogue.cluster.startswith("mixed")
            for turn in dialogue.turns
            if turn.group is None
        )

        assert 0.04 < plain[True] / plain.total() < 0.14
