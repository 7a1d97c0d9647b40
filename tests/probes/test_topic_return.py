"""topic_return: two plans told apart by their order only."""

import itertools
import re

import pytest

from qwen_bench.probes.word_templates import render

from .instances import EVERY, family, named, pair, told

NAME = "topic_return"
BLOCK = range(24)  # whole blocks of all factors: 2, 3 and 4 levels
SEQUENTIAL, INTERLEAVED = 2, 3


def pairs(lang, split, *stages):
    for rotation, count in itertools.product(BLOCK, stages or (SEQUENTIAL, INTERLEAVED)):
        yield pair(NAME, lang, split, rotation, stages=count, slot=0)


def instances(lang, split, *stages):
    return itertools.chain.from_iterable(pairs(lang, split, *stages))


def days_in(text, item):
    question = item.instance.questions[0]
    return named(text, question.candidates, question.aliases)


@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestTwins:
    def test_the_plans_swap_places_and_each_keeps_its_day(self, lang, split):
        for a, b in pairs(lang, split):
            golds = [[question.gold for question in item.instance.questions] for item in (a, b)]
            assert golds[0] == golds[1][::-1]
            dated = []
            for item in (a, b):
                contexts = [evidence.context for evidence in item.instance.evidence]
                found = contexts[-1].get("dated") or contexts
                dated.append(sorted((entry["plan"], entry["day"]) for entry in found))
            assert dated[0] == dated[1]
            assert len(dated[0]) == 2

    def test_the_two_openings_get_different_replies(self, lang, split):
        for item in instances(lang, split):
            assert item.replies[0] != item.replies[1]


@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestEvidence:
    def test_in_two_turns_each_plan_comes_with_its_day(self, lang, split):
        for item in instances(lang, split, SEQUENTIAL):
            first, last = item.instance.questions
            assert [days_in(user, item) for user in item.users] == [[first.gold], [last.gold]]

    def test_in_three_turns_the_days_follow_in_the_opposite_order(self, lang, split):
        for item in instances(lang, split, INTERLEAVED):
            first, last = item.instance.questions
            opened = [evidence.context["plan"] for evidence in item.instance.evidence[:2]]
            days = [[], [], [last.gold, first.gold]]
            assert [days_in(user, item) for user in item.users] == days
            low = item.users[2].lower()
            assert low.index(opened[1].lower()) < low.index(opened[0].lower())

    def test_only_the_plan_and_its_day_tell_two_openings_apart(self, lang, split):
        for item in instances(lang, split):
            assert item.instance.evidence[0].user == item.instance.evidence[1].user

    def test_replies_repeat_no_plan(self, lang, split):
        for item in instances(lang, split):
            plans = item.instance.questions[0].key_words
            assert len(plans) == 2
            for reply in item.replies:
                assert not any(plan.lower() in reply.lower() for plan in plans)

    def test_the_two_days_end_in_different_digits_between_5_and_28(self, lang, split):
        for rotation, slot in itertools.product(range(60), range(3)):
            item = told(NAME, lang, split, "A", rotation, stages=SEQUENTIAL, slot=slot)
            candidates = item.instance.questions[0].candidates
            one, two = (int(re.sub(r"\D", "", day)) for day in candidates)
            assert 5 <= min(one, two) <= max(one, two) <= 28
            assert one % 10 != two % 10


@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestQuestions:
    def test_no_question_names_a_plan_or_a_day(self, lang, split):
        words = family(NAME).words[lang, split]
        for template in (*words.questions.first, *words.questions.last):
            text = render(template, {"only": words.only}, family(NAME).joins[lang])
            assert not any(plan.lower() in text.lower() for plan in words.plans)
            assert not re.search(r"\d", text)
            assert text.endswith(words.only)

    def test_every_usual_spelling_of_a_day_is_an_answer(self, lang, split):
        item = told(NAME, lang, split, "A", 0, stages=SEQUENTIAL, slot=0)
        question = item.instance.questions[0]
        assert len(question.candidates) == 2
        for day in question.candidates:
            assert len(question.aliases[day]) >= 4
            for form in question.aliases[day]:
                assert days_in(form, item) == [day]

    def test_first_and_last_are_phrased_as_a_pair(self, lang, split):
        questions = family(NAME).words[lang, split].questions
        assert len(questions.first) == len(questions.last) >= 4
        assert not set(questions.first) & set(questions.last)

    def test_first_and_last_mentioned_day_are_right_in_half_of_the_questions(self, lang, split):
        for item in instances(lang, split):
            golds = [question.gold for question in item.instance.questions]
            order = days_in(" ".join(item.users), item)
            assert golds.count(order[0]) == golds.count(order[-1]) == 1
