"""A value of a document that was pasted whole (document_recall)."""

import itertools
import statistics
from collections import Counter

import pytest

from qwen_bench.probes.probe import LANGS, LEVELS

from .instances import EVERY, family, named, pair, told
from .word_checks import content_words

NAME = "document_recall"
ROTATIONS = 16
SECTIONS = ("eval", "train", "lures")
EACH = list(itertools.product(LANGS, SECTIONS))
each_level = pytest.mark.parametrize("level", range(1, LEVELS + 1))
# Tokens of Qwen's tokenizer, of the mean document, by level.
TOKENS = ((140, 210), (190, 260), (330, 440), (640, 800), (1200, 1550))


def words_of(lang, split):
    found = family(NAME)
    return found.lures[lang] if split == "lures" else found.words[lang, split]


def bindings(item) -> dict[str, str]:
    """Value by thing: both are told in one order, in every clause and so in the whole text."""
    (text,) = item.users
    words = words_of(item.lang, item.split)
    return dict(zip(named(text, words.keys), named(text, words.answers), strict=True))


def asked_thing(item) -> str:
    """The thing a question names, or describes."""
    text = item.asked["value"]
    things = [t for d in item.words.documents for s in d.sections for t in s.things]
    (thing,) = {thing.say for thing in things if thing.say in text or thing.ask in text}
    return thing


def texts_without_values(document):
    """What a document may say beside the clauses that bind a value."""
    yield from (document.doc, document.which, *document.whys, *document.titles, *document.openings)
    for section in document.sections:
        yield from (section.heading, *section.clauses)


def documents(lang, split, level, *, slots=range(4)):
    return [
        told(NAME, lang, split, "A", rotation, level=level, slot=slot)
        for rotation in range(ROTATIONS)
        for slot in slots
    ]


@pytest.mark.parametrize(("lang", "split"), EVERY)
@each_level
@pytest.mark.parametrize("wording", ["lexical", "paraphrase"])
def test_the_gold_is_the_value_that_the_document_binds_to_the_asked_thing(
    lang, split, level, wording
):
    for rotation in range(ROTATIONS):
        for item in pair(NAME, lang, split, rotation, level=level, wording=wording):
            read = bindings(item)

            assert len(read) == item.family.task.levels[level - 1]
            assert item.question.gold == read[asked_thing(item)]


@pytest.mark.parametrize(("lang", "split"), EVERY)
@pytest.mark.parametrize("level", range(2, LEVELS + 1))
def test_in_the_twin_two_things_of_a_clause_change_places_and_no_value_does(lang, split, level):
    for rotation in range(ROTATIONS):
        a, b = (bindings(item) for item in pair(NAME, lang, split, rotation, level=level))
        things, others = list(a), list(b)

        assert list(a.values()) == list(b.values())
        assert others == [things[number ^ 1] for number in range(len(things))]


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_with_a_single_value_the_twin_states_another_one(lang, split):
    for rotation in range(ROTATIONS):
        a, b = (bindings(item) for item in pair(NAME, lang, split, rotation, level=1))

        assert a.keys() == b.keys()
        assert {*a.values()}.isdisjoint(b.values())


@pytest.mark.parametrize(("lang", "split"), EACH)
def test_nothing_else_in_a_document_names_a_value_or_a_thing(lang, split):
    known = [words_of(lang, section) for section in SECTIONS]
    values = [value for words in known for value in words.answers]
    things = [thing.removeprefix("the ") for words in known for thing in words.keys]
    for document in words_of(lang, split).documents:
        for text in texts_without_values(document):
            assert not named(text, values), text
            assert not named(text, things), text


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_a_paraphrase_and_the_name_of_its_document_share_no_content_word_with_the_thing(
    lang, split
):
    for document in words_of(lang, split).documents:
        for section in document.sections:
            for thing in section.things:
                asked = content_words(f"{thing.ask} {document.which} {document.doc}", lang)
                assert thing.ask
                assert not content_words(thing.say, lang) & asked, thing.say


@pytest.mark.parametrize(("lang", "split"), EACH)
def test_four_kinds_of_document_have_clauses_enough_to_grow_without_repetition(lang, split):
    kinds = words_of(lang, split).documents
    clauses = [[c for section in kind.sections for c in section.clauses] for kind in kinds]

    assert len(kinds) == 4
    assert all(len(found) >= 24 for found in clauses)
    assert max(Counter(itertools.chain(*clauses)).values()) == 1
    for item in documents(lang, split, LEVELS):
        lines = [line for line in item.users[0].split("\n") if line]
        assert len({*lines}) == len(lines)


@pytest.mark.parametrize("lang", LANGS)
def test_a_question_names_a_document_that_nothing_else_is_called(lang):
    names = [kind.doc for split in SECTIONS for kind in words_of(lang, split).documents]

    assert len({*names}) == len(names)
    for split, wording in itertools.product(("eval", "train"), ("lexical", "paraphrase")):
        for rotation in range(ROTATIONS):
            item = told(NAME, lang, split, "A", rotation, wording=wording)
            for text in item.phrasings["value"]:
                found = [name for name in names if name.casefold() in text.casefold()]
                assert found == [item.question.context["doc"]]


@pytest.mark.parametrize("lang", LANGS)
@each_level
def test_lures_are_documents_as_long_as_evidence_of_their_level(lang, level):
    lengths = {
        split: statistics.mean(len(item.users[0]) for item in documents(lang, split, level))
        for split in ("eval", "lures")
    }

    assert abs(lengths["eval"] - lengths["lures"]) <= 0.05 * lengths["eval"]


@pytest.mark.parametrize(("lang", "split"), EACH)
def test_every_kind_of_document_comes_in_every_layout(lang, split):
    seen = {
        (item.factors["document"], item.factors["evidence template"])
        for item in documents(lang, split, 1, slots=range(16))
    }

    assert len(seen) == 16


@pytest.mark.parametrize("lang", LANGS)
@each_level
def test_the_asked_value_stands_anywhere_in_the_document(lang, level):
    places = Counter()
    for item in documents(lang, "eval", level, slots=range(10)):
        values = list(bindings(item).values())
        places[values.index(item.question.gold)] += 1

    count = family(NAME).task.levels[level - 1]
    assert {*places} == {*range(count)}
    assert max(places.values()) - min(places.values()) <= 10


@pytest.mark.parametrize("lang", LANGS)
@each_level
def test_a_document_has_the_tokens_that_the_readme_says(lang, level, qwen_tokenizer):
    least, most = TOKENS[level - 1]
    counts = [
        len(qwen_tokenizer.encode(item.users[0], add_special_tokens=False).ids)
        for split in ("eval", "lures")
        for item in documents(lang, split, level)
    ]

    assert least <= statistics.mean(counts) <= most
    assert max(counts) <= 1800
