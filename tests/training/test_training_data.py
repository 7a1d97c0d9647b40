"""Training conversations come from the train split alone, with answers that can be known."""

import re
from functools import cache
from itertools import chain, islice

import pytest

from qwen_bench.chat.jsonl import read_records, record_line
from qwen_bench.errors import InputError
from qwen_bench.probes.definitions import load_families
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite, make_sources
from qwen_bench.resources import data_folder
from qwen_bench.training.recipe import GenerateBlock
from qwen_bench.training.training_dialogues import generate, training_families

FAMILIES = training_families()


def make(n=40, lengths=(1, 10), langs=("en",), families=FAMILIES, **more):
    wanted = {"n": n, "lengths": lengths, "langs": langs, "families": families}
    return list(generate(GenerateBlock(**wanted, **more)))


made = cache(make)


def answers(record):
    return [
        m.content for m, trained in zip(record.messages, record.trained, strict=True) if trained
    ]


def test_the_same_seed_gives_the_same_bytes():
    first, second = ([record_line(record) for record in make(langs=("en", "zh"))] for _ in range(2))

    assert first == second
    assert first != [record_line(record) for record in make(langs=("en", "zh"), seed=1)]


def test_fewer_conversations_are_the_first_of_more():
    assert make(n=6) == made(n=12)[:6]


def test_the_data_passes_its_own_file_check(tmp_path):
    records = made(langs=("en", "zh"))
    path = tmp_path / "data.jsonl"

    path.write_text("".join(record_line(record) + "\n" for record in records), "utf-8")

    assert list(read_records(path)) == records


def test_only_memory_answers_are_trained_unless_replies_are_wanted():
    context, replies = made(n=10), make(n=10, train_replies=True)

    assert len(context) == len(replies) == 10
    assert all(any(record.trained) for record in context)
    assert all(
        trained == (message.role == "assistant")
        for record in replies
        for message, trained in zip(record.messages, record.trained, strict=True)
    )


def test_history_lengths_stay_in_the_range_and_are_mixed():
    lengths = {
        sum(m.role == "user" for m in record.messages) - len(answers(record))
        for record in make(n=80, lengths=(2, 7))
    }

    assert lengths == set(range(2, 8))


def test_every_answer_was_said_before_its_question_or_is_an_abstention():
    phrases = {
        words.abstain
        for family in load_families(data_folder("tasks")).values()
        for (_, split), words in family.words.items()
        if split == "train" and hasattr(words, "abstain")
    }
    abstained = 0
    for record in make(n=120, langs=("en", "zh")):
        for i, trained in enumerate(record.trained):
            if not trained:
                continue
            answer = record.messages[i].content
            said = [m.content for m in record.messages[: i - 1]]
            if answer in phrases:
                abstained += 1
            else:
                for item in re.split(", |、", answer):
                    assert any(item.casefold() in text.casefold() for text in said), record.id

    assert abstained > 5


def test_twins_share_questions_and_differ_in_answers():
    records = made(n=60)
    differing = 0
    for a, b in zip(records[::2], records[1::2], strict=True):
        asked = [[r.messages[i - 1].content for i, t in enumerate(r.trained) if t] for r in (a, b)]
        assert asked[0] == asked[1]
        differing += answers(a) != answers(b)

    assert differing == len(records) // 2


def test_all_families_are_asked_and_some_questions_come_on_the_way():
    records = made(n=60)
    early = sum(not all(r.trained[r.trained.index(True) :: 2]) for r in records)

    assert 0 < early < len(records)
    for family in FAMILIES:
        assert make(n=4, families=(family,))


def test_an_unknown_family_is_named_with_the_nearest():
    with pytest.raises(InputError, match="near: fact_recall"):
        make(families=("fact_recal",))


@pytest.mark.parametrize("lengths", [(0, 3), (5, 4), (1, 65)])
def test_impossible_lengths_are_refused(lengths):
    with pytest.raises(InputError, match="are not within 1 to 64 turns"):
        make(lengths=lengths)


def strings_of(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from chain.from_iterable(strings_of(item) for item in value.values())
    elif isinstance(value, list | tuple):
        yield from chain.from_iterable(strings_of(item) for item in value)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_lexicons_and_wording_of_the_splits_share_no_string(lang):
    for family in load_families(data_folder("tasks")).values():
        train, evaluation = (
            set(strings_of(family.words[lang, split].model_dump())) for split in ("train", "eval")
        )
        # Neutral Jinja glue and one-word grammar (pronouns, genders) may coincide.
        shared = {text for text in train & evaluation if len(text) > 4}
        assert not shared, family.name


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_no_sentence_of_the_training_data_occurs_in_the_suite(lang):
    records = make(n=200, langs=(lang,))
    trained = {
        m.content
        for record in records
        for m, target in zip(record.messages, record.trained, strict=True)
        if not target
    }
    suite = build_suite("core", Selection(langs=(lang,)))
    tasks = data_folder("tasks")
    sources = make_sources(tasks, load_families(tasks), suite.version, 0, "eval")
    filler = {m.content for t in sources.filler[lang].threads for turn in t for m in turn.messages}
    asked, golds = set(), set()
    for dialogue in islice(suite.dialogues(), 20):
        filler |= {m.content for turn in dialogue.turns for m in turn.messages}
        asked |= {p.probe.question_text for p in dialogue.probes}
        golds |= {p.probe.gold for p in dialogue.probes}

    assert trained
    assert asked
    assert not trained & (filler | asked)
    learned = {a for record in records for a in answers(record)}
    assert learned
    assert not learned & golds
