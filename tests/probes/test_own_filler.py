"""A user's own conversations between the evidence: threads, and histories that they can fill."""

import json
from itertools import groupby, islice, pairwise

import pytest

from qwen_bench.audit.leaks import Conflicts, Leaks
from qwen_bench.audit.shape import Lengths, Nesting
from qwen_bench.audit.told import teller
from qwen_bench.cli.main import main
from qwen_bench.errors import DataError
from qwen_bench.probes.bank import Bank, Exchange, Thread, without
from qwen_bench.probes.definitions import load_families
from qwen_bench.probes.filler_lengths import check_own_filler
from qwen_bench.probes.filler_screening import load_own_filler
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Own, build_suite
from qwen_bench.resources import data_folder

from .long_chats import TURNS, conversations, write_chats

FAMILIES = load_families(data_folder("tasks"))


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    """300 long exchanges in English and 60 in Chinese, five to a conversation."""
    return write_chats(tmp_path_factory.mktemp("chats") / "mine.jsonl", en=300, zh=60)


def suite_of(chats, name="long", **selection):
    return build_suite(name, Selection(**selection), own=Own(filler=str(chats)))


def asked_in(dialogue, requests):
    """The request of each turn."""
    return [next(r for r in requests if r in turn.user) for turn in dialogue.turns]


def requests_of(lang, exchanges):
    return [[m["content"] for m in talk[::2]] for talk in conversations(lang, exchanges)]


def own_bank(*requests, resumes=()):
    exchanges = tuple(Exchange(request, ("Quite so.",)) for request in requests)
    return Bank((Thread("mine", exchanges, frozenset(resumes)),), "", "mine.jsonl", own=True)


def test_a_file_of_300_long_exchanges_is_kept_whole(chats):
    screened = load_own_filler(chats, FAMILIES, ("en", "zh"))
    sizes = [e.length("chat") for t in screened.banks["en"].threads for e in t.exchanges]

    assert screened.report() == [f"filler {chats}: 300 en, 60 zh exchanges kept, 0 refused"]
    assert (len(sizes), max(sizes)) == (300, 8000)
    assert {len(thread.exchanges) for thread in screened.banks["en"].threads} == {TURNS}


def test_a_conversation_goes_on_from_turn_to_turn_and_no_request_comes_twice(chats):
    threads = requests_of("en", 300)
    thread_of = {request: n for n, thread in enumerate(threads) for request in thread}
    suite = suite_of(chats, langs=("en",), lengths=(256,), limit=1)

    for dialogue in islice(suite.dialogues(), 0, 20, 9):
        asked = asked_in(dialogue, thread_of)
        assert len(set(asked)) == len(asked) == 256
        numbers = [thread_of[request] for request in asked]
        whole = [numbers[i : i + TURNS] for i in range(0, 250, TURNS)]
        assert all(len(set(part)) == 1 for part in whole)
        assert [turn.place for turn in dialogue.turns[:10]] == [*range(TURNS)] * 2
        for request, following in pairwise(asked):
            thread = threads[thread_of[request]]
            if thread_of[request] == thread_of[following]:
                assert thread.index(following) == thread.index(request) + 1


def test_a_history_is_the_beginning_of_every_longer_one(chats):
    one, other = (
        next(suite_of(chats, langs=("en",), lengths=lengths, limit=1).dialogues())
        for lengths in ((16,), (16, 64))
    )

    assert one.id == other.id
    assert one.turns == other.turns[:16]


def test_a_word_that_one_dialogue_bars_costs_that_dialogue_the_exchange_and_not_the_thread():
    bank = own_bank("one", "the attic", "three", "four", resumes=(0, 2, 3))

    (left,) = without(bank, ("attic",), long=True)

    assert [e.request for e in left.exchanges] == ["one", "three", "four"]


def test_what_refers_to_a_barred_exchange_goes_with_it():
    bank = own_bank("one", "the attic", "how big is it?", "four", resumes=(0, 3))

    (left,) = without(bank, ("attic",), long=True)

    assert [e.request for e in left.exchanges] == ["one", "four"]
    assert without(own_bank("the attic", "how big is it?"), ("attic",), long=True) == ()


def test_too_few_exchanges_are_an_error_that_says_how_many_there_are_and_what_fits(chats):
    with pytest.raises(
        DataError, match="of 256 takes as many exchanges; 60 in 'zh' are left"
    ) as no:
        check_own_filler(suite_of(chats))

    assert no.value.fix[:3] == (
        "--lengths 8,16,32 fit",
        "--lang en has enough",
        "or add conversations",
    )
    assert "300 en, 60 zh exchanges kept, 0 refused" in no.value.fix[3]
    assert check_own_filler(suite_of(chats, langs=("en",))) is None
    assert check_own_filler(suite_of(chats, lengths=(8, 16, 32))) is None


def test_exchanges_that_dialogues_leave_out_count_as_missing(tmp_path):
    path = tmp_path / "mine.jsonl"
    write_chats(path, en=10)
    text = path.read_text(encoding="utf-8").replace("a friend of mine", "a friend with a hamster")
    path.write_text(text, encoding="utf-8")
    suite = suite_of(path, "core", langs=("en",), families=("pronoun",), lengths=(4, 9))

    with pytest.raises(
        DataError, match="of 9 takes as many exchanges; 10 in 'en' are left, 8 in the"
    ) as no:
        check_own_filler(suite)

    assert no.value.fix[:2] == ("--lengths 4 fit", "or add conversations")


def test_a_file_without_any_usable_exchange_says_so(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"messages": next(conversations("zh", 5))}), encoding="utf-8")

    with pytest.raises(DataError, match="of 1 takes as many exchanges; 0 in 'en' are left") as no:
        check_own_filler(suite_of(path, "quick", langs=("en",), lengths=(1,)))

    assert no.value.fix[0] == "add conversations"


def test_conditions_at_another_pace_are_not_asked_with_answers_of_one_length(chats):
    assert {"brief", "long"} <= set(build_suite("full").conditions)
    own = suite_of(chats, "full", langs=("en",))
    assert own.conditions == ("main", "adjacent", "blind", "concat", "no-filler")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_audits_of_texts_pass_on_suite_long_with_it(chats, lang):
    suite = suite_of(chats, langs=(lang,), lengths=(8, 32), limit=1)
    families = suite.sources.families
    checks = (Leaks(teller(suite)), Conflicts(families, "eval"), Lengths(), Nesting())
    by_cluster = groupby(suite.dialogues(), key=lambda dialogue: dialogue.cluster)

    for rendering in (list(dialogues) for _, dialogues in by_cluster):
        for check in checks:
            check.see(rendering)

    assert [line.status for line in (check.line() for check in checks)] == ["ok"] * 4


def test_suite_long_is_asked_with_it_alone(chats, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    long = ("--suite", "long", "--limit", "1", "--filler", str(chats))

    assert main(["run", "-q", *long, "--lengths", "8,16", "--model", "mock:oracle"]) == 0
    assert "0 errors, 0 truncated, 0 too long, 0 refused, 0 empty" in capsys.readouterr().out
    assert main(["probes", "list", *long]) == 1
    assert (
        "error  a history length of 256 takes as many exchanges; 60 in" in capsys.readouterr().err
    )
