"""Training conversations come from the train split alone, with answers that can be known."""

import re
from functools import cache
from itertools import chain, islice

import pytest

from qwen_bench.chat.jsonl import read_records, record_line
from qwen_bench.errors import InputError
from qwen_bench.probes.definitions import load_families
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.resources import data_folder
from qwen_bench.training.recipe import GenerateBlock
from qwen_bench.training.training_dialogues import generate, training_families

FAMILIES = training_families()
ORDINALS = {"first", "second", "third", "fourth"}


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


@pytest.mark.parametrize("levels", [(), (0, 1), (2, 6), (3, 1), (2, 2)])
def test_levels_that_are_not_increasing_numbers_of_1_to_5_are_refused(levels):
    with pytest.raises(InputError, match="not increasing numbers of 1 to 5") as caught:
        make(levels=levels)

    assert caught.value.fix == ("write them like levels: [1, 2, 3]",)


def test_a_higher_level_tells_more_between_the_questions():
    def told(level):
        """Characters of what the user says in the one turn before each conversation's questions."""
        records = make(n=40, lengths=(1, 1), families=("fact_recall",), levels=(level,))
        return sum(len(record.messages[0].content) for record in records)

    sizes = [told(level) for level in (1, 2, 3, 4, 5)]
    assert sizes == sorted(set(sizes))


def strings_of(value):
    """All texts in words of a family, but wrong answers to questions of common knowledge."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        told = (item for key, item in value.items() if key != "others")
        yield from chain.from_iterable(map(strings_of, told))
    elif isinstance(value, list | tuple):
        yield from chain.from_iterable(strings_of(item) for item in value)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_lexicons_and_wording_of_the_splits_share_no_string(lang):
    for family in load_families(data_folder("tasks")).values():
        train, evaluation = (
            set(strings_of(family.words[lang, split].model_dump())) for split in ("train", "eval")
        )
        # Neutral Jinja glue and one-word grammar (pronouns, genders, ordinals) may coincide.
        shared = {text for text in train & evaluation if len(text) > 4} - ORDINALS
        assert not shared, family.name


def sentences_of(text):
    """Its sentences and lines, but those that anybody writes: short ones, and rules of tables."""
    parts = re.split(r"(?<=[.!?。！？])\s*|\n+", text)
    return {part.strip() for part in parts if len(part.strip()) > 6 and re.search(r"\w", part)}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_no_sentence_of_the_training_data_occurs_in_the_suite(lang):
    records = make(n=200, langs=(lang,), levels=(1, 2, 3, 4, 5))
    trained = [
        m.content
        for record in records
        for m, target in zip(record.messages, record.trained, strict=True)
        if not target
    ]
    suite = build_suite("core", Selection(langs=(lang,)))
    exchanges = (e for t in suite.sources.banks[lang].threads for e in t.exchanges)
    told = [text for e in exchanges for text in (e.request, *e.answers)]
    golds = set()
    for dialogue in islice(suite.dialogues(), 30):
        told += [m.content for turn in dialogue.turns for m in turn.messages]
        told += [p.probe.question_text for p in dialogue.probes]
        golds |= {p.probe.gold for p in dialogue.probes}
    learned, asked = (set(chain.from_iterable(map(sentences_of, x))) for x in (trained, told))

    assert len(learned) > 1000
    assert len(asked) > 1000
    assert not learned & asked
    answered = {a for record in records for a in answers(record)}
    assert answered
    assert not answered & golds
