"""What families that ask for the value of a key have in common: level, form, wording, rank, words.

Readings of their own golds are in the test file of each.
"""

import itertools
import re

import pytest

from qwen_bench.probes.definitions import read_yaml
from qwen_bench.probes.probe import LANGS, LEVELS, WORDINGS

from .instances import EVERY, TASKS, family, mentions, named, pair, told
from .word_checks import content_words, list_lengths

NAMES = ["fact_recall", "abstention", "assistant_recall"]
ROTATIONS = 16
SPLITS = ("eval", "train", "lures")
LONGEST = {"en": 1100, "zh": 420}

each_family = pytest.mark.parametrize("name", NAMES)
each_level = pytest.mark.parametrize("level", range(1, LEVELS + 1))


def words_of(name, lang, split):
    found = family(name)
    return found.lures[lang] if split == "lures" else found.words[lang, split]


@each_family
@each_level
@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_twins_ask_the_same_of_the_same_candidates_and_have_other_golds(name, level, lang, split):
    for rotation in range(ROTATIONS):
        a, b = pair(name, lang, split, rotation, level=level)

        assert a.asked == b.asked
        assert a.question.rank_candidates == b.question.rank_candidates
        assert a.question.gold != b.question.gold
        assert {a.question.gold, b.question.gold} <= set(a.question.rank_candidates)


@each_family
@each_level
@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_four_different_strings_are_ranked_foils_only_where_the_history_has_too_few(
    name, level, lang, split
):
    for rotation in range(ROTATIONS):
        item = told(name, lang, split, "A", rotation, level=level)
        ranked = set(item.question.rank_candidates)
        stated = set(named(" ".join((*item.users, *item.replies)), item.words.answers))
        values = ranked - {item.question.abstain_phrase}

        assert len(item.question.rank_candidates) == len(ranked) == 4
        assert len(values & stated) >= min(len(stated), len(values) - 1)
        assert stated | values <= set(item.question.candidates)


@each_family
@each_level
@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("split", SPLITS)
def test_the_two_highest_levels_are_pasted_and_the_others_told_in_one_line(
    name, level, lang, split
):
    for rotation in range(ROTATIONS):
        for item in pair(name, lang, split, rotation, level=level):
            (user,) = item.users

            assert ("\n" in user) is (level >= 4)
            assert len(user) <= LONGEST[lang]


@each_family
@pytest.mark.parametrize("split", SPLITS)
def test_the_lowest_level_is_one_short_remark(name, split):
    for rotation in range(ROTATIONS):
        (user,) = told(name, "en", split, "A", rotation, level=1).users

        assert 8 <= len(user.split()) <= 27, user


@each_family
@each_level
@pytest.mark.parametrize("lang", LANGS)
def test_a_lure_has_as_many_values_as_evidence_of_its_level_and_about_its_length(name, level, lang):
    sizes = {}
    for split in ("eval", "lures"):
        items = [told(name, lang, split, "A", r, level=level) for r in range(ROTATIONS)]
        texts = [f"{item.users[0]} {item.replies[0]}" for item in items]
        values = words_of(name, lang, split).answers
        assert all(len(named(text, values)) == len(named(texts[0], values)) for text in texts)
        sizes[split] = len(named(texts[0], values)), sum(map(len, texts)) / len(texts)

    assert sizes["lures"][0] == sizes["eval"][0]
    assert 0.85 <= sizes["lures"][1] / sizes["eval"][1] <= 1.15


@each_family
@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_lexical_question_names_the_key_and_the_paraphrase_shares_no_content_word(
    name, lang, split
):
    words = words_of(name, lang, split)

    for entity in words.entities:
        assert entity.ask
        assert not content_words(entity.say, lang) & content_words(entity.ask, lang), entity
    assert len({entity.ask for entity in words.entities}) == len(words.entities)
    for rotation in range(ROTATIONS):
        (key,) = told(name, lang, split, "A", rotation).question.key_words
        for text in told(name, lang, split, "A", rotation).phrasings.values():
            assert all(mentions(one, [key]) for one in text)
        for text in told(name, lang, split, "A", rotation, wording="paraphrase").phrasings.values():
            assert not any(mentions(one, words.keys) for one in text)


@each_family
@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("split", SPLITS)
def test_lists_are_long_enough_and_hold_nothing_twice(name, lang, split):
    words = words_of(name, lang, split)
    enough = 24 if split == "lures" else 48

    assert len(set(words.answers)) == len(words.answers) >= enough
    assert len(set(words.keys)) == len(words.keys) >= 20
    for templates in (words.evidence, words.pasted):
        assert len(templates) >= 4
        assert all(len(set(one.assistant)) >= 3 for one in templates)


@each_family
def test_both_languages_have_lists_of_equal_length(name):
    en, zh = (read_yaml(TASKS / name / f"{lang}.yaml") for lang in LANGS)
    for split in SPLITS:
        assert dict(list_lengths(en[split])) == dict(list_lengths(zh[split]))


@each_family
def test_the_examples_of_the_readme_are_what_the_words_give(name):
    told_texts = {
        text
        for lang, level, wording, rotation, variant in itertools.product(
            LANGS, (1, LEVELS), WORDINGS, range(4), "AB"
        )
        for item in [told(name, lang, "eval", variant, rotation, level=level, wording=wording)]
        for text in (*item.users, *item.replies, *item.asked.values())
    }
    readme = (TASKS / name / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```text\n(.*?)\n```", readme, flags=re.DOTALL)

    assert len(blocks) == 4
    for block in blocks:
        spoken = re.split(
            r"(?m)^(?:[AB]\n|…\n|(?:User|Assistant|Question): |(?:用户|助手|问题)：|gold .*)", block
        )
        assert {one.strip() for one in spoken if one.strip()} <= told_texts
