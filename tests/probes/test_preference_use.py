"""preference_use: the one of four options that a person's constraint leaves."""

import itertools
import re
from collections import Counter

import pytest

from qwen_bench.probes.probe import LANGS, LEVELS, WORDINGS

from .instances import EVERY, family, named, pair, told
from .shortcut_scores import undeclared
from .word_checks import content_words

NAME = "preference_use"
PEOPLE = {1: 1, 2: 2, 3: 4, 4: 6, 5: 8}
ROTATIONS = 12
every_level = pytest.mark.parametrize("level", PEOPLE)
every_section = pytest.mark.parametrize(("lang", "split"), EVERY)


def pairs(lang, split, level, wording="lexical"):
    for rotation in range(ROTATIONS):
        yield pair(NAME, lang, split, rotation, level=level, wording=wording, slot=rotation % 5)


def instances(lang, split, level, wording="lexical"):
    return itertools.chain.from_iterable(pairs(lang, split, level, wording))


def constraints(item):
    """What each person cannot have, in the order of the text and read off it."""
    limits = {limit.says: limit for theme in item.words.themes for limit in theme.limits}
    people, said = named(item.users[0], item.words.keys), named(item.users[0], limits)
    assert len(people) == len(said)
    return {person: limits[says] for person, says in zip(people, said, strict=True)}


def parts_of(text, item):
    """What stands in brackets behind each option of a question."""
    found = {}
    for name in item.question.rank_candidates:
        (inside,) = re.findall(rf"{name}\s?[(（](.*?)[)）]", text)
        found[name] = inside
    return found


@every_level
@every_section
@pytest.mark.parametrize("wording", WORDINGS)
def test_the_gold_is_the_only_option_without_what_the_person_cannot_have(
    lang, split, level, wording
):
    for item in instances(lang, split, level, wording):
        (person,) = item.question.key_words
        thing = getattr(constraints(item)[person], wording)
        for text in item.phrasings["option"]:
            fit = [name for name, parts in parts_of(text, item).items() if thing not in parts]
            assert fit == [item.question.gold]


@every_level
@every_section
def test_every_option_has_three_of_the_same_four_things(lang, split, level):
    for wording in WORDINGS:
        for item in instances(lang, split, level, wording):
            parts = [offer["parts"] for offer in item.question.context["offers"]]
            assert all(len(set(three)) == 3 for three in parts)
            assert {*Counter(itertools.chain(*parts)).values()} == {3}
            assert len({frozenset(three) for three in parts}) == 4


@every_section
def test_from_the_third_level_on_every_option_suits_somebody(lang, split):
    for level in (3, 4, 5):
        for item in instances(lang, split, level):
            alive = {limit.lexical for limit in constraints(item).values()}
            for offer in item.question.context["offers"]:
                assert len(alive - {*offer["parts"]}) == len(alive) - 3
            things = {part for offer in item.question.context["offers"] for part in offer["parts"]}
            assert things <= alive


@every_level
@every_section
def test_the_twin_rotates_the_people_and_offers_the_same(lang, split, level):
    for item, twin in pairs(lang, split, level):
        one, two = constraints(item), constraints(twin)
        assert len(one) == PEOPLE[level]
        assert item.asked == twin.asked
        assert item.question.rank_candidates == twin.question.rank_candidates
        if level == 1:
            assert [*one] == [*two]
            assert [*one.values()] != [*two.values()]
        else:
            assert [*one.values()] == [*two.values()]
            assert [*two] == [*one][1:] + [*one][:1]


@every_section
def test_the_question_names_no_constraint_and_the_history_no_option(lang, split):
    for level, wording in itertools.product(PEOPLE, WORDINGS):
        for item in instances(lang, split, level, wording):
            says = [limit.says for theme in item.words.themes for limit in theme.limits]
            assert not any(named(text, says) for text in item.phrasings["option"])
            assert not named("\n".join(item.users + item.replies), item.words.values)


@pytest.mark.parametrize("split", ["eval", "train"])
@pytest.mark.parametrize("lang", LANGS)
def test_a_paraphrase_shares_no_content_word_with_what_it_stands_for(lang, split):
    words = family(NAME).words[lang, split]
    for person in words.people:
        assert not content_words(person.say, lang) & content_words(person.ask, lang), person
    for theme in words.themes:
        for limit in theme.limits:
            told_in = content_words(f"{limit.says} {limit.lexical}", lang)
            assert not told_in & content_words(limit.paraphrase, lang), limit


@pytest.mark.parametrize("split", ["eval", "train"])
@pytest.mark.parametrize("lang", LANGS)
def test_a_lexical_option_repeats_a_word_of_the_constraint(lang, split):
    for theme in family(NAME).words[lang, split].themes:
        for limit in theme.limits:
            if lang == "zh":
                assert set(limit.says) & set(limit.lexical), limit
            else:
                assert limit.lexical.split()[-1] in limit.says, limit


@pytest.mark.parametrize("lang", LANGS)
def test_no_name_of_an_option_speaks_of_what_is_in_it(lang):
    for split in ("eval", "train"):
        words = family(NAME).words[lang, split]
        for theme in words.themes:
            for limit in theme.limits:
                assert not named(f"{limit.lexical} {limit.paraphrase}", words.values)
                assert not named(" ".join(words.values), [limit.lexical, limit.paraphrase])


@every_level
def test_evidence_and_lures_tell_as_many_constraints_in_the_form_of_the_level(level):
    for lang, split in [*EVERY, ("en", "lures"), ("zh", "lures")]:
        for item in instances(lang, split, level):
            words = item.family.lures[lang] if split == "lures" else item.words
            (user,), (reply,) = item.users, item.replies
            assert len(named(user, words.keys)) == PEOPLE[level]
            assert "\n" not in reply
            rows = user.split("\n")
            assert len(rows) >= PEOPLE[level] + 1 if level >= 4 else len(rows) == 1


def test_every_person_is_asked_about_equally_often_and_every_theme_told():
    for level, people in PEOPLE.items():
        places, themes = Counter(), Counter()
        for rotation, slot in itertools.product(range(12), range(12)):
            item = told(NAME, "en", "eval", "A", rotation, level=level, slot=slot)
            places[[*constraints(item)].index(item.question.key_words[0])] += 1
            themes[item.question.context["kinds"]] += 1
        assert max(places.values()) - min(places[place] for place in range(people)) <= 3
        assert max(themes.values()) - min(themes.values()) <= 3


@pytest.mark.parametrize("level", range(1, LEVELS + 1))
def test_shortcuts_score_what_is_declared(level):
    assert list(undeclared(NAME, level)) == []


@every_section
def test_whoever_counts_words_knows_the_option_where_it_is_the_only_one_and_no_more(lang, split):
    """Whose parts the history names least often: right at level 1, in one of two at level 2."""
    for level, due in {1: 1, 2: 1 / 2, 3: 1 / 4, 4: 1 / 4, 5: 1 / 4}.items():
        right = 0.0
        for item in instances(lang, split, level):
            alive = {limit.lexical for limit in constraints(item).values()}
            offers = item.question.context["offers"]
            named_parts = [len(alive & {*offer["parts"]}) for offer in offers]
            least = [
                offer["name"]
                for offer, count in zip(offers, named_parts, strict=True)
                if count == min(named_parts)
            ]
            right += (item.question.gold in least) / len(least)
        assert right / (2 * ROTATIONS) == due


@pytest.mark.parametrize("lang", LANGS)
def test_there_are_words_for_every_level_in_equal_number_in_both_languages(lang):
    words = family(NAME).words
    assert [len(set(words[lang, split].values)) for split in ("eval", "train")] == [50, 50]
    assert [len(set(words[lang, split].keys)) for split in ("eval", "train")] == [24, 22]
    lures = family(NAME).lures[lang]
    assert (len(set(lures.values)), len(set(lures.keys))) == (24, 22)
    for found in (words[lang, "eval"], words[lang, "train"], lures):
        assert all(len(theme.limits) >= PEOPLE[LEVELS] for theme in found.themes)
