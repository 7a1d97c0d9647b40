"""A value that was stated, or was never (abstention)."""

import re

import pytest

from qwen_bench.probes.probe import LEVELS, WORDINGS

from .instances import EVERY, named, pair

NAME = "abstention"
ROTATIONS = 16


def told_of(item) -> dict[str, str | None]:
    """Value by key, None for a key with a neutral fact, read from the text clause by clause."""
    (text,) = item.users
    clauses = text.splitlines() if "\n" in text else re.split("[,，]", text)
    found = {}
    for clause in clauses:
        keys, values = named(clause, item.words.keys), named(clause, item.words.values)
        assert len(values) <= len(keys) <= 1, clause
        found |= dict.fromkeys(keys, values[0] if values else None)
    return found


@pytest.mark.parametrize(("lang", "split"), EVERY)
@pytest.mark.parametrize("level", range(1, LEVELS + 1))
@pytest.mark.parametrize("wording", WORDINGS)
def test_the_gold_is_the_value_that_stands_with_the_key_or_to_abstain_where_none_does(
    lang, split, level, wording
):
    for rotation in range(ROTATIONS):
        for item in pair(NAME, lang, split, rotation, level=level, wording=wording):
            read = told_of(item)
            (key,) = item.question.key_words

            assert len(read) == item.family.task.levels[level - 1] + 1
            assert item.question.gold == (read[key] or item.words.abstain)
            assert item.question.gold_abstains is (read[key] is None)


@pytest.mark.parametrize(("lang", "split"), EVERY)
@pytest.mark.parametrize("wording", WORDINGS)
def test_the_question_is_of_the_key_it_needs(lang, split, wording):
    for rotation in range(ROTATIONS):
        item = pair(NAME, lang, split, rotation, level=3, wording=wording)[0]
        (key,) = item.question.key_words
        (form,) = (
            entity.say if wording == "lexical" else entity.ask
            for entity in item.words.entities
            if entity.say == key
        )

        assert form.casefold() in item.asked["value"].casefold()


@pytest.mark.parametrize(("lang", "split"), EVERY)
@pytest.mark.parametrize("level", range(1, LEVELS + 1))
def test_in_the_twin_the_asked_key_and_that_of_the_neutral_fact_change_places(lang, split, level):
    for rotation in range(ROTATIONS):
        a, b = pair(NAME, lang, split, rotation, level=level)
        (key,) = a.question.key_words
        in_a, in_b = told_of(a), told_of(b)
        (neutral_in_a,) = (one for one, value in in_a.items() if value is None)

        assert in_b[key] is None
        assert in_b[neutral_in_a] == in_a[key]
        for other in {*in_a} - {key, neutral_in_a}:
            assert in_a[other] == in_b[other]


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_with_one_value_both_variants_hold_it_and_a_neutral_fact(lang, split):
    for rotation in range(ROTATIONS):
        a, b = (told_of(item) for item in pair(NAME, lang, split, rotation, level=1))

        assert a.keys() == b.keys()
        assert {*a.values()} == {*b.values()}
        assert len([value for value in a.values() if value]) == 1


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_three_values_and_the_phrase_are_ranked_and_no_candidate_is_the_phrase(lang, split):
    for level in range(1, LEVELS + 1):
        for item in pair(NAME, lang, split, 3, level=level):
            assert item.words.abstain in item.question.rank_candidates
            assert item.words.abstain not in item.question.candidates


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_no_neutral_fact_names_a_value(lang, split):
    words = pair(NAME, lang, split, 0)[0].words

    for entity in words.entities:
        assert entity.neutral
        assert not named(entity.neutral, words.values)
