"""Who proposed an item: the user, the assistant, or somebody the user quoted (section 4.14)."""

import itertools
import re
from collections import Counter

import pytest

from .instances import EVERY, family, mentions, named, pair, told

NAME = "speaker_attribution"
LEVELS = range(1, 6)
SPEAKERS = (2, 3, 4, 6, 8)
ROTATIONS = range(12)
SECTIONS = [*EVERY, ("en", "lures"), ("zh", "lures")]
SMALL_WORDS = {"", "a", "the", "of", "on", "in", "with", "for", "to", "that", "and", "by", "up"}


def pairs(lang, split, level, **form):
    return [pair(NAME, lang, split, r, level=level, slot=1, **form) for r in ROTATIONS]


def instances(lang, split, level, **form):
    return [item for both in pairs(lang, split, level, **form) for item in both]


def words_of(lang, split):
    return family(NAME).lures[lang] if split == "lures" else family(NAME).words[lang, split]


def labels_of(item):
    return item.words.labels.user, item.words.labels.assistant


def speakers_as_read(item):
    """Who proposes what, from the text alone: in the reply the assistant, else the name beside it.

    A line, or a piece of a sentence, with an item and without a name is the user's own.
    """
    words = item.words
    ((user, reply),) = item.turns
    said = {named(reply, words.keys)[0]: labels_of(item)[1]}
    parts = re.split(r"[\n,;；，]|、|\. ", user)
    for part in parts:
        for proposed in named(part, words.keys):
            said[proposed] = (named(part, words.people) or [labels_of(item)[0]])[0]
    return said


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("lang", "split"), SECTIONS)
class TestEvidence:
    def test_every_speaker_proposes_one_item_in_the_turn(self, lang, split, level):
        words = words_of(lang, split)
        for item in instances(lang, split, level):
            (user,) = item.users
            n = SPEAKERS[level - 1]
            assert len(named(user, words.keys)) == len(set(named(user, words.keys))) == n - 1
            assert len(named(user, words.people)) == len(set(named(user, words.people))) == n - 2

    def test_the_reply_holds_the_proposal_of_the_assistant_and_nobody_elses(
        self, lang, split, level
    ):
        words = words_of(lang, split)
        for item in instances(lang, split, level):
            ((user, reply),) = item.turns
            assert len(named(reply, words.keys)) == 1
            assert not set(named(reply, words.keys)) & set(named(user, words.keys))
            assert not named(reply, words.people)

    def test_no_turn_names_the_two_sides_of_the_chat_as_the_answer_does(self, lang, split, level):
        labels = words_of(lang, "eval").labels
        for item in instances(lang, split, level):
            assert not named(item.users[0], (labels.user, labels.assistant))

    def test_the_two_highest_levels_are_pasted_and_the_others_told(self, lang, split, level):
        for item in instances(lang, split, level):
            assert ("\n" in item.users[0]) == (level >= 4)

    def test_evidence_is_as_short_as_its_level_allows(self, lang, split, level):
        for item in instances(lang, split, level):
            (user,) = item.users
            if level == 1:
                assert len(user) <= (130 if lang == "en" else 45)
            assert len(user) <= (1100 if lang == "en" else 420)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestGold:
    def test_the_gold_is_who_the_text_gives_the_item_to(self, lang, split, level):
        for item in instances(lang, split, level):
            assert speakers_as_read(item)[item.question.key_words[0]] == item.question.gold

    def test_the_twin_gives_the_item_to_another_speaker_and_asks_the_same(self, lang, split, level):
        for a, b in pairs(lang, split, level):
            assert a.question.gold != b.question.gold
            assert a.asked == b.asked
            assert a.question.rank_candidates == b.question.rank_candidates
            assert a.question.candidates == b.question.candidates

    def test_twins_tell_the_same_items_and_people_in_about_as_many_characters(
        self, lang, split, level
    ):
        for a, b in pairs(lang, split, level):
            ones, others = ("\n".join(item.turns[0]) for item in (a, b))
            for found in (a.words.keys, a.words.people):
                assert sorted(named(ones, found)) == sorted(named(others, found))
            assert abs(len(ones) - len(others)) <= 1

    def test_four_candidates_are_ranked_both_sides_and_two_people(self, lang, split, level):
        for item in instances(lang, split, level):
            ranked = item.question.rank_candidates
            assert len(set(ranked)) == 4
            assert set(labels_of(item)) <= set(ranked)
            assert item.question.gold in ranked
            listed = [name for name in ranked if name in named(item.users[0], item.words.people)]
            assert len(listed) == min(SPEAKERS[level - 1] - 2, 2)

    def test_everybody_named_is_a_candidate_for_free_answers(self, lang, split, level):
        for item in instances(lang, split, level):
            people = set(named(item.users[0], item.words.people))
            assert people <= set(item.question.candidates)
            assert set(item.question.rank_candidates) <= set(item.question.candidates)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestQuestions:
    def test_a_lexical_question_names_the_item_and_all_options(self, lang, split, level):
        for item in instances(lang, split, level, wording="lexical"):
            for text in item.phrasings["speaker"]:
                assert named(text, item.words.keys) == list(item.question.key_words)
                options = item.question.rank_candidates
                assert named(text, options) == list(options)

    def test_a_paraphrase_names_no_item_and_all_options(self, lang, split, level):
        for item in instances(lang, split, level, wording="paraphrase"):
            for text in item.phrasings["speaker"]:
                assert not named(text, item.words.keys)
                options = item.question.rank_candidates
                assert named(text, options) == list(options)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("variant", "AB")
def test_every_kind_of_speaker_is_the_answer_equally_often(level, variant):
    kinds = Counter()
    for rotation in range(24):
        item = told(NAME, "en", "eval", variant, rotation, level=level, slot=1)
        kinds[item.question.gold if item.question.gold in labels_of(item) else "other"] += 1

    others = min(SPEAKERS[level - 1], 4) - 2
    each = 24 // (2 + others)
    expected = {"user": each, "assistant": each, **({"other": others * each} if others else {})}
    assert kinds == expected


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_a_description_shares_no_content_word_with_its_item(lang, split):
    for item in words_of(lang, split).items:
        if lang == "en":
            said, described = (
                {word.rstrip("s") for word in re.findall(r"[a-z]+", text.lower())} - SMALL_WORDS
                for text in (item.say, item.ask)
            )
        else:
            said, described = set(item.say), set(item.ask)
        assert item.ask
        assert not said & described, item.say


@pytest.mark.parametrize(("lang", "split"), SECTIONS)
def test_word_lists_are_long_enough_and_nothing_in_them_holds_another(lang, split):
    words = words_of(lang, split)
    assert len(set(words.people)) >= (24 if split == "lures" else 48)
    assert len(set(words.keys)) >= 20
    for one, other in itertools.permutations([*words.people, *words.keys], 2):
        assert not mentions(other, [one]), (one, other)


@pytest.mark.parametrize("split", ["eval", "train", "lures"])
def test_both_languages_have_lists_of_equal_lengths(split):
    en, zh = (words_of(lang, split) for lang in ("en", "zh"))
    for field in ("people", "items", "evidence", "pasted"):
        assert len(getattr(en, field)) == len(getattr(zh, field))
    for forms in zip([*en.evidence, *en.pasted], [*zh.evidence, *zh.pasted], strict=True):
        assert {len(templates.assistant) for templates in forms} == {3}
    assert len(en.evidence) == len(en.pasted) == 4


@pytest.mark.parametrize(("lang", "split"), SECTIONS)
def test_others_are_quoted_before_the_users_own_words_in_half_of_the_templates(lang, split):
    words = words_of(lang, split)
    for forms in (words.evidence, words.pasted):
        first = [form.user.index("t.item") < form.user.index("{{ own") for form in forms]
        assert sum(first) == 2


def test_english_names_of_the_sections_begin_with_their_own_letters():
    initials = {"eval": "JK", "train": "VWXYZ", "lures": "HI"}
    for split, letters in initials.items():
        assert {name[0] for name in words_of("en", split).people} == set(letters)


def test_chinese_names_of_a_list_share_no_character_but_the_first():
    for split in ("eval", "train", "lures"):
        people = words_of("zh", split).people
        assert len({name[0] for name in people}) == 1
        assert len({name[1:] for name in people}) == len(people)
