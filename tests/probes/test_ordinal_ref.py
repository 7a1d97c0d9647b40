"""ordinal_ref: the item of a rank in a list that the assistant gave."""

import itertools
import re
from collections import Counter

import pytest

from .instances import EVERY, LANGS, family, named, pair, told

NAME = "ordinal_ref"
LENGTHS = {1: 2, 2: 4, 3: 6, 4: 9, 5: 12}
WORDINGS = ("lexical", "paraphrase")
COUNTED = {
    "en": [rf"\b{word}\b" for word in ("two", "four", "six", "nine", "twelve")],
    "zh": [f"(?<!十){word}[个种样]" for word in ("两", "四", "六", "九", "十二")],
}
PLACES = ("first", "second", "third", "fourth", "fifth", "sixth")
NUMERALS = "一二三四五六"
# Words that every question may share with every occasion.
GRAMMAR = {"the", "of", "a", "to", "in", "is", "i", "at", "my", "for", "on", "with", "by", "and"}


def pairs(lang, split, level, wording="lexical"):
    for rotation in range(12):
        yield pair(NAME, lang, split, rotation, level=level, wording=wording, slot=5)


def instances(lang, split, level, wording="lexical"):
    return itertools.chain.from_iterable(pairs(lang, split, level, wording))


def listed(item):
    """The items in the order the assistant named them."""
    return named(item.replies[0], item.question.candidates)


def asked_place(text, length):
    """Place that a question asks for, from 0, read off its words."""
    if found := re.search("(倒数)?第([一二三四五六])", text):
        number, behind = NUMERALS.index(found[2]), bool(found[1])
    elif re.search(r"最后一[个种]|\blast (?:word|idea)", text):
        number, behind = int("but one" in text), True
    else:
        (found,) = re.finditer(rf"\b({'|'.join(PLACES)}) (?:word|idea)( from the end)?\b", text)
        number, behind = PLACES.index(found[1]), bool(found[2])
    return length - 1 - number if behind else number


@pytest.mark.parametrize("level", LENGTHS)
@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_gold_is_the_item_the_question_ranks(lang, split, level):
    for wording in WORDINGS:
        for item in instances(lang, split, level, wording):
            items = listed(item)
            assert len(items) == len(set(items)) == LENGTHS[level]
            for phrasing in item.phrasings["rank"]:
                assert items[asked_place(phrasing, len(items))] == item.question.gold


@pytest.mark.parametrize("level", LENGTHS)
def test_a_rank_of_the_first_half_counts_from_the_start_and_the_others_from_the_end(level):
    for lang, split in EVERY:
        for item in instances(lang, split, level):
            place = listed(item).index(item.question.gold)
            from_end = re.search("from the end|last|最后|倒数", item.asked["rank"]) is not None
            assert from_end == (place > LENGTHS[level] - 1 - place)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_twin_rotates_the_list(lang, split):
    for level in LENGTHS:
        for item, twin in pairs(lang, split, level):
            assert listed(twin) == [*listed(item)[1:], listed(item)[0]]
            assert item.users == twin.users
            assert item.asked == twin.asked
            assert item.question.rank_candidates == twin.question.rank_candidates


@pytest.mark.parametrize(("lang", "split"), [*EVERY, ("en", "lures"), ("zh", "lures")])
def test_the_reply_lists_as_many_items_as_the_request_wants_and_pastes_them_from_level_four(
    lang, split
):
    for level, length in LENGTHS.items():
        for item in instances(lang, split, level):
            (user,), (reply,) = item.users, item.replies
            assert re.search(COUNTED[lang][level - 1], user)
            assert len(named(reply, item.question.candidates)) == length
            lines = reply.split("\n")
            assert "\n" not in user
            assert len(lines) == (length + 2 if level >= 4 else 1)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_four_candidates_are_ranked_both_golds_among_them_and_foils_only_for_a_list_of_two(
    lang, split
):
    for level, length in LENGTHS.items():
        for item, twin in pairs(lang, split, level):
            ranked = item.question.rank_candidates
            assert len(set(ranked)) == 4
            assert {item.question.gold, twin.question.gold} < set(ranked)
            assert len(set(ranked) - set(listed(item))) == max(4 - length, 0)
            assert set(item.question.candidates) == {*ranked, *listed(item)}


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_requests_and_questions_hold_no_item_and_nothing_is_numbered(lang, split):
    number = re.compile(r"\d|第|\b(?:first|second|third|fourth|last|next|then|finally)\b")
    for level in LENGTHS:
        for item in instances(lang, split, level):
            for text in (*item.phrasings["rank"], *item.users):
                assert not named(text, item.words.values), text
            for text in (*item.users, "\n".join(item.replies[0].split("\n")[1:])):
                assert not number.search(text.casefold()), text


def test_the_lexical_question_names_the_occasion_as_the_request_does():
    for lang, split in EVERY:
        for item in instances(lang, split, 3):
            (occasion,) = item.question.key_words
            assert occasion.casefold() in item.users[0].casefold()
            assert all(occasion in text for text in item.phrasings["rank"])


@pytest.mark.parametrize("split", ["eval", "train"])
def test_a_paraphrase_shares_no_content_word_with_the_occasion(split):
    for game in family(NAME).words["en", split].games:
        say, ask = (set(re.findall("[a-z]+", text.casefold())) for text in (game.say, game.ask))
        assert say & ask <= GRAMMAR, game
    for game in family(NAME).words["zh", split].games:
        assert not set(game.say) & set(game.ask), game


def test_every_rank_is_asked_equally_often():
    for level, length in LENGTHS.items():
        places = Counter()
        for rotation, slot in itertools.product(range(12), range(12)):
            item = told(NAME, "en", "eval", "A", rotation, level=level, slot=slot)
            places[listed(item).index(item.question.gold)] += 1
        assert max(places.values()) - min(places[place] for place in range(length)) <= 2


@pytest.mark.parametrize("lang", LANGS)
def test_there_are_words_for_every_level_in_equal_number_in_both_languages(lang):
    words = family(NAME).words
    for split in ("eval", "train"):
        assert len(set(words[lang, split].values)) == 50
        assert len(set(words[lang, split].keys)) == 22
    lures = family(NAME).lures[lang]
    assert len(set(lures.values)) == 28
    assert len(set(lures.keys)) == 22
