"""A name bound to a place, among other names (fact_recall)."""

import re

import pytest

from qwen_bench.probes.probe import LEVELS, Lang

from .instances import EVERY, family, named, pair

NAME = "fact_recall"
ROTATIONS = 16


def bindings(item) -> dict[str, str]:
    """Name by place, read from the text: each clause or pasted line holds one of both."""
    (text,) = item.users
    clauses = text.splitlines() if "\n" in text else re.split("[,，]", text)
    found = {}
    for clause in clauses:
        places, names = named(clause, item.words.keys), named(clause, item.words.answers)
        assert len(places) == len(names) <= 1, clause
        found |= dict(zip(places, names, strict=True))
    return found


def asked_place(item) -> str:
    """The place a question names, or describes."""
    text = item.asked["value"]
    (place,) = (e.say for e in item.words.entities if e.say in text or e.ask in text)
    return place


def names_of(split):
    found = family(NAME)
    return (found.lures["zh"] if split == "lures" else found.words["zh", split]).answers


@pytest.mark.parametrize(("lang", "split"), EVERY)
@pytest.mark.parametrize("level", range(1, LEVELS + 1))
@pytest.mark.parametrize("wording", ["lexical", "paraphrase"])
def test_the_gold_is_the_name_that_stands_with_the_asked_place(lang: Lang, split, level, wording):
    for rotation in range(ROTATIONS):
        for item in pair(NAME, lang, split, rotation, level=level, wording=wording):
            read = bindings(item)

            assert len(read) == item.family.task.levels[level - 1]
            assert item.question.gold == read[asked_place(item)]


@pytest.mark.parametrize(("lang", "split"), EVERY)
@pytest.mark.parametrize("level", range(2, LEVELS + 1))
def test_the_twin_binds_the_same_names_to_the_same_places_in_another_way(lang, split, level):
    for rotation in range(ROTATIONS):
        a, b = (bindings(item) for item in pair(NAME, lang, split, rotation, level=level))

        assert list(a.values()) == list(b.values())
        assert a.keys() == b.keys()
        assert not a.items() & b.items()


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_with_one_binding_the_twin_states_another_name_for_the_place(lang, split):
    for rotation in range(ROTATIONS):
        a, b = pair(NAME, lang, split, rotation, level=1)

        assert bindings(a).keys() == bindings(b).keys()
        assert a.question.gold != b.question.gold


@pytest.mark.parametrize("split", ["eval", "train", "lures"])
def test_chinese_names_of_a_list_share_no_character_but_the_surname(split):
    given = [character for name in names_of(split) for character in name[1:]]

    assert len(given) == len(set(given))


@pytest.mark.parametrize("split", ["eval", "train", "lures"])
def test_chinese_names_have_three_characters_and_surnames_of_their_own(split):
    names = names_of(split)

    assert {len(name) for name in names} == {3}
    assert len({name[0] for name in names}) == len(names)
