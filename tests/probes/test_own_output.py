"""own_output: the title of one of the versions that the assistant drafted."""

import itertools
import re
from collections import Counter

import pytest

from qwen_bench.probes.probe import LANGS, LEVELS, WORDINGS

from .instances import EVERY, family, named, pair, told
from .shortcut_scores import undeclared
from .word_checks import content_words

NAME = "own_output"
VERSIONS = {1: 2, 2: 3, 3: 4, 4: 6, 5: 8}
ROTATIONS = 12
COUNTED = {
    "en": [rf"\b{word}\b" for word in ("two", "three", "four", "six", "eight")],
    "zh": [f"{word}[版稿]" for word in "两三四六八"],
}
PLACES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
NUMERALS = "一二三四五六七八"
every_level = pytest.mark.parametrize("level", VERSIONS)
every_section = pytest.mark.parametrize(("lang", "split"), EVERY)


def pairs(lang, split, level, wording="lexical"):
    for rotation in range(ROTATIONS):
        yield pair(NAME, lang, split, rotation, level=level, wording=wording, slot=rotation % 5)


def instances(lang, split, level, wording="lexical"):
    return itertools.chain.from_iterable(pairs(lang, split, level, wording))


def versions(item, words=None):
    """Title, look and emblem of each version in the order of the reply, read off it."""
    words, reply = words or item.words, item.replies[0]
    columns = [
        named(reply, words.values),
        named(reply, [look.say for look in words.looks]),
        named(reply, [emblem.say for emblem in words.emblems]),
    ]
    return list(zip(*columns, strict=True))


def asked_place(text):
    """Place that a lexical question asks for, from 0, read off its words."""
    if found := re.search(f"第([{NUMERALS}])[版稿]", text):
        return NUMERALS.index(found[1])
    if found := re.search(rf"\bnumber ({'|'.join(NUMBERS)})\b", text):
        return NUMBERS.index(found[1])
    (place,) = re.findall(rf"\b({'|'.join(PLACES)}) (?:version|draft)\b", text)
    return PLACES.index(place)


@every_level
@every_section
def test_the_gold_is_the_title_of_the_version_at_the_place(lang, split, level):
    for item in instances(lang, split, level):
        drafted = versions(item)
        assert len(drafted) == len({title for title, _, _ in drafted}) == VERSIONS[level]
        for text in item.phrasings["title"]:
            assert drafted[asked_place(text)][0] == item.question.gold


@every_level
@every_section
def test_a_paraphrase_means_the_version_by_a_trait_that_no_other_has(lang, split, level):
    for item in instances(lang, split, level, "paraphrase"):
        traits = {trait.ask: trait.say for trait in (*item.words.looks, *item.words.emblems)}
        for text in item.phrasings["title"]:
            (mark,) = [ask for ask in traits if ask in text]
            having = [title for title, *both in versions(item) if traits[mark] in both]
            assert having == [item.question.gold]


@every_level
@every_section
def test_the_twin_rotates_the_titles_and_leaves_the_traits(lang, split, level):
    for wording in WORDINGS:
        for item, twin in pairs(lang, split, level, wording):
            one, two = (list(zip(*versions(i), strict=True)) for i in (item, twin))
            assert list(two[0]) == [*one[0][1:], one[0][0]]
            assert one[1:] == two[1:]
            assert item.users == twin.users
            assert item.asked == twin.asked
            assert item.question.rank_candidates == twin.question.rank_candidates


@every_level
def test_the_reply_gives_as_many_versions_as_are_wanted_and_pastes_them_from_level_four(level):
    for lang, split in [*EVERY, ("en", "lures"), ("zh", "lures")]:
        for item in instances(lang, split, level):
            words = item.family.lures[lang] if split == "lures" else item.words
            (user,), (reply,) = item.users, item.replies
            assert re.search(COUNTED[lang][level - 1], user)
            assert len(versions(item, words)) == VERSIONS[level]
            assert "\n" not in user
            assert (len(reply.split("\n")) >= VERSIONS[level] + 2) is (level >= 4)
            assert ("\n" in reply) is (level >= 4)


@every_section
def test_four_candidates_are_ranked_both_golds_among_them_and_foils_only_for_few_versions(
    lang, split
):
    for level, count in VERSIONS.items():
        for item, twin in pairs(lang, split, level):
            ranked, titles = item.question.rank_candidates, {t for t, _, _ in versions(item)}
            assert len(set(ranked)) == 4
            assert {item.question.gold, twin.question.gold} < set(ranked)
            assert len(set(ranked) - titles) == max(4 - count, 0)
            assert set(item.question.candidates) == {*ranked, *titles}


@every_section
def test_requests_and_questions_hold_no_title_and_no_version_is_numbered(lang, split):
    number = re.compile(r"\d|第|\b(?:first|second|third|fourth|last|next|then|number)\b")
    for level, wording in itertools.product(VERSIONS, WORDINGS):
        for item in instances(lang, split, level, wording):
            for text in (*item.phrasings["title"], *item.users):
                assert not named(text, item.words.values), text
            listed = item.replies[0].split("\n")[1:]
            assert not number.search("\n".join(listed).casefold())


@pytest.mark.parametrize("split", ["eval", "train"])
@pytest.mark.parametrize("lang", LANGS)
def test_a_paraphrase_shares_no_content_word_with_what_it_stands_for(lang, split):
    words = family(NAME).words[lang, split]
    for one in (*words.tasks, *words.looks, *words.emblems):
        assert not content_words(one.say, lang) & content_words(one.ask, lang), one


def test_every_version_and_both_traits_are_asked_equally_often():
    for level, count in VERSIONS.items():
        places, traits = Counter(), Counter()
        for rotation, slot in itertools.product(range(12), range(12)):
            item = told(NAME, "en", "eval", "A", rotation, level=level, slot=slot)
            titles = [title for title, _, _ in versions(item)]
            places[titles.index(item.question.gold)] += 1
            traits[item.factors["trait"]] += 1
        assert max(places.values()) - min(places[place] for place in range(count)) <= 3
        assert traits["0"] == traits["1"]


@pytest.mark.parametrize("level", range(1, LEVELS + 1))
def test_shortcuts_score_what_is_declared(level):
    assert list(undeclared(NAME, level)) == []


@pytest.mark.parametrize("lang", LANGS)
def test_there_are_words_for_every_level_in_equal_number_in_both_languages(lang):
    words = family(NAME).words
    assert [len(set(words[lang, split].values)) for split in ("eval", "train")] == [50, 50]
    assert [len(set(words[lang, split].keys)) for split in ("eval", "train")] == [24, 22]
    lures = family(NAME).lures[lang]
    assert (len(set(lures.values)), len(set(lures.keys))) == (28, 22)
    for found in (words[lang, "eval"], words[lang, "train"], lures):
        assert min(len(found.looks), len(found.emblems)) >= VERSIONS[LEVELS]
