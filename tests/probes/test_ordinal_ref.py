"""ordinal_ref: the item of a rank among four that the assistant named."""

import itertools
import re
from collections import Counter

import pytest

from .instances import EVERY, named, pair, told

NAME = "ordinal_ref"
ROTATIONS = 16
PACKED, SPREAD = 1, 4


def pairs(lang, split):
    for rotation, stages in itertools.product(range(ROTATIONS), (PACKED, SPREAD)):
        yield pair(NAME, lang, split, rotation, stages=stages, slot=5)


def instances(lang, split):
    return itertools.chain.from_iterable(pairs(lang, split))


def listed(item):
    """The items in the order the assistant named them."""
    return named("\n".join(item.replies), item.question.candidates)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_gold_is_the_item_the_question_ranks(lang, split):
    wordings = set()
    for item in instances(lang, split):
        wordings.add(item.question.wording)
        assert len(listed(item)) == len(set(listed(item))) == 4
        (phrasings,) = item.phrasings.values()
        rank = -2
        if item.question.wording != "before_last":
            (rank,) = [i for i, phrase in enumerate(item.words.ranks) if phrase in phrasings[0]]
        assert item.question.gold == listed(item)[rank]
    assert wordings == {"nth", "before_last"}


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_twin_rotates_the_list(lang, split):
    for item, twin in pairs(lang, split):
        assert listed(twin) == [*listed(item)[1:], listed(item)[0]]


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_spread_form_repeats_one_request_byte_for_byte(lang, split):
    lengths = set()
    for item in instances(lang, split):
        lengths.add(len(item.turns))
        assert len(set(item.users)) == 1
    assert lengths == {PACKED, SPREAD}


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_requests_and_questions_hold_no_item_and_nothing_is_numbered(lang, split):
    number = re.compile(r"\d|第|\b(?:first|second|third|fourth|last|next|another|then)\b")
    for item in instances(lang, split):
        (phrasings,) = item.phrasings.values()
        for text in (*phrasings, *item.users):
            assert not named(text, item.words.values), text
        for text in itertools.chain(*item.turns):
            assert not number.search(text.casefold()), text


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_every_request_and_phrasing_names_the_occasion_the_words_were_for(lang, split):
    for item in instances(lang, split):
        (occasion,) = item.question.key_words
        (phrasings,) = item.phrasings.values()
        assert all(occasion.casefold() in user.casefold() for user in item.users)
        assert all(occasion in text for text in phrasings)


@pytest.mark.parametrize("variant", "AB")
def test_needed_turns_are_those_one_must_have_counted(variant):
    for rotation in range(ROTATIONS):
        packed, spread = (
            told(NAME, "en", "eval", variant, rotation, stages=stages, slot=5)
            for stages in (PACKED, SPREAD)
        )
        asked = listed(spread).index(spread.question.gold)
        from_the_start = tuple(range(asked + 1))
        from_the_end = spread.question.wording == "before_last"

        assert packed.question.needs == (0,)
        assert spread.question.needs == ((2, 3) if from_the_end else from_the_start)


def test_every_rank_is_used_equally_often_and_half_of_the_third_count_from_the_end():
    ranks, wordings = Counter(), Counter()
    for rotation in range(ROTATIONS):
        item = told(NAME, "en", "eval", "A", rotation, stages=PACKED, slot=5)
        ranks[listed(item).index(item.question.gold)] += 1
        wordings[listed(item).index(item.question.gold), item.question.wording] += 1

    assert ranks == dict.fromkeys(range(4), ROTATIONS // 4)
    assert wordings[2, "nth"] == wordings[2, "before_last"] == ROTATIONS // 8
    assert {rank for rank, wording in wordings if wording == "before_last"} == {2}


@pytest.mark.parametrize("slot", range(10))
def test_half_of_the_questions_for_the_third_item_count_from_the_end_in_every_slot(slot):
    items = [
        told(NAME, "zh", "eval", "A", rotation, stages=PACKED, slot=slot) for rotation in range(24)
    ]
    third = Counter(item.question.wording for item in items if item.factors["rank"] == "2")

    assert third == {"nth": 3, "before_last": 3}
