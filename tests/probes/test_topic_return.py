"""topic_return: plans told apart by their order only."""

import itertools
import re

import pytest

from qwen_bench.probes.word_templates import render

from .instances import EVERY, family, named, pair, told

NAME = "topic_return"
LEVELS = range(1, 6)
PLANS = (2, 3, 4, 6, 8)
ROTATIONS = range(12)
SECTIONS = [*EVERY, ("en", "lures"), ("zh", "lures")]
# What would say that another plan came before, in a turn that may be the first.
LATER = {
    "en": ("another", "also", "next", "too", "again", "second", "more"),
    "zh": ("也", "还", "再", "又", "另"),
}


def pairs(lang, split, level):
    return [pair(NAME, lang, split, r, level=level, slot=1) for r in ROTATIONS]


def instances(lang, split, level):
    return [item for both in pairs(lang, split, level) for item in both]


def words_of(lang, split):
    return family(NAME).lures[lang] if split == "lures" else family(NAME).words[lang, split]


def days_in(text, item):
    question = item.instance.questions[0]
    return named(text, question.candidates, question.aliases)


def days_by_order(item):
    """Every day of the history in the order in which their plans are named in the text."""
    plans, days = [], []
    for user in item.users:
        plans += named(user, item.words.plans)
        days += days_in(user, item)
    assert len(plans) == len(set(plans)) == len(days)
    return days


def place_in(text, places, n):
    """The place that a question asks for, from 0, as one reads it; the longest phrase counts."""
    said = {word: i for i, word in enumerate(places.from_first[:n])}
    said |= {word: n - 1 - i for i, word in enumerate(places.from_last[:n])}
    return next(said[word] for word in sorted(said, key=len, reverse=True) if word in text)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestGold:
    def test_the_gold_is_the_day_beside_the_plan_at_the_asked_place(self, lang, split, level):
        for item in instances(lang, split, level):
            days = days_by_order(item)
            for question in item.instance.questions:
                for text in item.phrasings[question.name]:
                    place = place_in(text, item.words.places, len(days))
                    assert question.gold == days[place]

    def test_the_twin_asks_the_same_and_has_other_days(self, lang, split, level):
        for a, b in pairs(lang, split, level):
            assert a.asked == b.asked
            for one, other in zip(a.instance.questions, b.instance.questions, strict=True):
                assert one.gold != other.gold
                assert one.candidates == other.candidates
                assert one.rank_candidates == other.rank_candidates

    def test_the_plans_move_on_by_one_place_and_each_keeps_its_day(self, lang, split, level):
        for a, b in pairs(lang, split, level):
            told_plans = [
                [(p["plan"], p["day"]) for e in item.instance.evidence for p in e.context["plans"]]
                for item in (a, b)
            ]
            assert told_plans[1] == [*told_plans[0][1:], told_plans[0][0]]

    def test_the_two_questions_of_an_instance_have_different_golds(self, lang, split, level):
        for item in instances(lang, split, level):
            one, other = item.instance.questions
            assert one.gold != other.gold

    def test_four_days_are_ranked_all_from_the_history_where_it_has_four(self, lang, split, level):
        for item in instances(lang, split, level):
            days = days_by_order(item)
            for question in item.instance.questions:
                ranked = question.rank_candidates
                assert len(set(ranked)) == 4
                assert question.gold in ranked
                assert len(set(ranked) & set(days)) == min(len(days), 4)
                assert {*days, *ranked} == set(question.candidates)

    def test_the_days_end_in_different_digits_from_6_to_28(self, lang, split, level):
        for item in instances(lang, split, level):
            days = [int(re.sub(r"\D", "", day)) for day in item.instance.questions[0].candidates]
            assert 6 <= min(days) <= max(days) <= 28
            assert len({day % 10 for day in days}) == len(days)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("lang", "split"), SECTIONS)
class TestEvidence:
    def test_two_turns_hold_half_of_the_plans_each_the_second_the_odd_one(self, lang, split, level):
        n = PLANS[level - 1]
        plans = words_of(lang, split).plans
        for item in instances(lang, split, level):
            assert [len(named(user, plans)) for user in item.users] == [n // 2, n - n // 2]
            assert [len(days_in(user, item)) for user in item.users] == [n // 2, n - n // 2]

    def test_the_two_highest_levels_are_pasted_and_the_others_told(self, lang, split, level):
        for item in instances(lang, split, level):
            assert all(("\n" in user) == (level >= 4) for user in item.users)

    def test_replies_repeat_no_plan_and_no_day(self, lang, split, level):
        for item in instances(lang, split, level):
            for reply in item.replies:
                assert not named(reply, words_of(lang, split).plans)
                assert not days_in(reply, item)
                assert not re.search(r"\d", reply)

    def test_evidence_is_as_short_as_its_level_allows(self, lang, split, level):
        for item in instances(lang, split, level):
            if level == 1:
                assert all(len(user) <= (110 if lang == "en" else 40) for user in item.users)
            assert sum(map(len, item.users)) <= (1100 if lang == "en" else 420)


@pytest.mark.parametrize("level", LEVELS)
def test_every_place_is_asked_equally_often(level):
    n = PLANS[level - 1]
    asked = []
    for rotation in range(24):
        item = told(NAME, "en", "eval", "A", rotation, level=level, slot=1)
        days = days_by_order(item)
        asked += [days.index(question.gold) for question in item.instance.questions]

    assert sorted(asked) == sorted([*range(n)] * (48 // n))


@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestWords:
    def test_no_question_names_a_plan_or_a_day(self, lang, split):
        words = family(NAME).words[lang, split]
        which = words.places.from_first[0]
        for template in words.questions:
            text = render(template, {"only": words.only, "which": which}, family(NAME).joins[lang])
            assert not named(text, words.plans)
            assert not re.search(r"\d", text)
            assert text.endswith(words.only)

    def test_places_are_said_in_different_words(self, lang, split):
        places = family(NAME).words[lang, split].places
        assert len(places.from_first) == len(places.from_last) == max(PLANS) // 2
        assert len({*places.from_first, *places.from_last}) == max(PLANS)

    def test_every_usual_spelling_of_a_day_is_an_answer(self, lang, split):
        item = told(NAME, lang, split, "A", 0, level=1, slot=0)
        question = item.instance.questions[0]
        assert len(question.candidates) == 4
        for day in question.candidates:
            assert len(question.aliases[day]) >= 4
            for form in question.aliases[day]:
                assert days_in(form, item) == [day]


@pytest.mark.parametrize(("lang", "split"), SECTIONS)
def test_no_turn_says_that_another_plan_came_before(lang, split):
    words = words_of(lang, split)
    turns = [form for stages in (*words.evidence, *words.pasted) for _, form in stages]
    assert len(turns) == 16
    for form in turns:
        for text in (form.user, *form.assistant):
            plain = re.sub(r"{.*?}", "", text)
            if lang == "en":
                assert not set(re.findall(r"[a-z]+", plain.lower())) & set(LATER["en"]), text
            elif text == form.user:
                assert not [word for word in LATER["zh"] if word in plain], text


@pytest.mark.parametrize(("lang", "split"), SECTIONS)
def test_there_are_at_least_20_plans_and_none_holds_another(lang, split):
    plans = words_of(lang, split).plans
    assert len(set(plans)) >= 20
    for one, other in itertools.permutations(plans, 2):
        assert one not in other


def test_lures_have_days_of_their_own():
    for lang in ("en", "zh"):
        days = {split: set(words_of(lang, split).days) for split in ("eval", "train", "lures")}
        assert days["eval"] == days["train"]
        assert not days["eval"] & days["lures"]
        assert len(days["lures"]) >= max(PLANS)


@pytest.mark.parametrize("split", ["eval", "train", "lures"])
def test_both_languages_have_lists_of_equal_lengths(split):
    en, zh = (words_of(lang, split) for lang in ("en", "zh"))
    for field in ("plans", "evidence", "pasted", "questions"):
        assert len(getattr(en, field)) == len(getattr(zh, field)) >= 4
    for stages in (*en.evidence, *en.pasted, *zh.evidence, *zh.pasted):
        assert len(stages.first.assistant) == len(stages.second.assistant) == 3
