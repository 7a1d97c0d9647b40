"""topic_return: two plans told apart by their order only, on the real word files."""

import itertools
import re
from collections import Counter
from functools import cache

import pytest

from qwen_bench.probes.definitions import load_family
from qwen_bench.probes.instance import Brief
from qwen_bench.probes.seeded_draws import Draw
from qwen_bench.probes.word_templates import render
from qwen_bench.resources import data_folder
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.scoring.normalise import normalise

NAME = "topic_return"
EVERY = list(itertools.product(("en", "zh"), ("eval", "train")))
BLOCK = range(24)  # whole blocks of all factors: 2, 3 and 4 levels
SEQUENTIAL, INTERLEAVED = 2, 3


@cache
def family():
    return load_family(data_folder("tasks") / NAME)


@cache
def instance(variant, lang, split, rotation, stages, *, slot=0):
    brief = Brief(Draw(("t",), NAME, slot, rotation), variant, (NAME,), stages, {}, 8)
    return family().builder.build(brief, family().words[lang, split])


@cache
def turns(variant, lang, split, rotation, stages):
    """User and assistant text of each evidence turn."""
    built = instance(variant, lang, split, rotation, stages)
    join = family().joins[lang]
    return [
        (render(e.user, e.context, join), render(e.assistant, e.context, join))
        for e in built.evidence
    ]


def mentioned(text, question):
    found = find_mentions(normalise(text).text, question.candidates, question.aliases)
    return [mention.candidate for mention in found]


def every_rotation(*stages):
    return itertools.product(BLOCK, stages or (SEQUENTIAL, INTERLEAVED))


@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestTwins:
    def test_the_gold_of_each_question_changes_and_the_question_does_not(self, lang, split):
        for rotation, stages in every_rotation():
            a, b = (instance(v, lang, split, rotation, stages) for v in "AB")
            for one, two in zip(a.questions, b.questions, strict=True):
                assert one.gold != two.gold
                assert (one.name, one.wording, one.context) == (two.name, two.wording, two.context)
                assert one.candidates == two.candidates
                assert one.key_words == two.key_words
            assert [q.gold for q in a.questions] == [q.gold for q in b.questions][::-1]

    def test_each_plan_keeps_its_day(self, lang, split):
        for rotation, stages in every_rotation():
            pairs = []
            for variant in "AB":
                dated = instance(variant, lang, split, rotation, stages).evidence[-1].context
                found = dated.get("dated") or [
                    e.context for e in instance(variant, lang, split, rotation, stages).evidence
                ]
                pairs.append(sorted((item["plan"], item["day"]) for item in found))
            assert pairs[0] == pairs[1]

    def test_the_same_replies_stand_at_the_same_turns(self, lang, split):
        for rotation, stages in every_rotation():
            a, b = ([reply for _, reply in turns(v, lang, split, rotation, stages)] for v in "AB")
            assert a == b
            assert a[0] != a[1]


@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestEvidence:
    def test_in_two_turns_each_plan_comes_with_its_day(self, lang, split):
        for rotation, variant in itertools.product(BLOCK, "AB"):
            built = instance(variant, lang, split, rotation, SEQUENTIAL)
            first, last = built.questions
            texts = [user for user, _ in turns(variant, lang, split, rotation, SEQUENTIAL)]
            assert [mentioned(text, first) for text in texts] == [[first.gold], [last.gold]]
            assert first.needs == last.needs == (0, 1)

    def test_in_three_turns_the_days_follow_in_the_opposite_order(self, lang, split):
        for rotation, variant in itertools.product(BLOCK, "AB"):
            built = instance(variant, lang, split, rotation, INTERLEAVED)
            first, last = built.questions
            texts = [user for user, _ in turns(variant, lang, split, rotation, INTERLEAVED)]
            opened = [e.context["plan"] for e in built.evidence[:2]]
            assert [mentioned(text, first) for text in texts] == [[], [], [last.gold, first.gold]]
            low = texts[2].lower()
            assert low.index(opened[1].lower()) < low.index(opened[0].lower())
            assert first.needs == last.needs == (0, 1, 2)

    def test_only_the_plan_and_its_day_tell_two_openings_apart(self, lang, split):
        for rotation, stages in every_rotation():
            built = instance("A", lang, split, rotation, stages)
            assert built.evidence[0].user == built.evidence[1].user

    def test_replies_repeat_no_day_and_no_plan(self, lang, split):
        for rotation, stages in every_rotation():
            question = instance("A", lang, split, rotation, stages).questions[0]
            for _, reply in turns("A", lang, split, rotation, stages):
                assert not mentioned(reply, question)
                assert not any(plan.lower() in reply.lower() for plan in question.key_words)

    def test_the_two_days_end_in_different_digits_between_5_and_28(self, lang, split):
        for rotation, slot in itertools.product(range(60), range(3)):
            built = instance("A", lang, split, rotation, SEQUENTIAL, slot=slot)
            days = [int(re.sub(r"\D", "", day)) for day in built.questions[0].candidates]
            assert all(5 <= day <= 28 for day in days)
            assert days[0] % 10 != days[1] % 10


@pytest.mark.parametrize(("lang", "split"), EVERY)
class TestQuestions:
    def test_no_question_names_a_plan_or_a_day(self, lang, split):
        words = family().words[lang, split]
        for template in (*words.questions.first, *words.questions.last):
            text = render(template, {"only": words.only}, family().joins[lang])
            assert not any(plan.lower() in text.lower() for plan in words.plans)
            assert not re.search(r"\d", text)
            assert text.endswith(words.only)

    def test_every_usual_spelling_of_a_day_is_an_answer(self, lang, split):
        question = instance("A", lang, split, 0, SEQUENTIAL).questions[0]
        for day in question.candidates:
            assert len(question.aliases[day]) >= 4
            for form in question.aliases[day]:
                assert mentioned(form, question) == [day]

    def test_first_and_last_are_phrased_as_a_pair(self, lang, split):
        questions = family().words[lang, split].questions
        assert len(questions.first) == len(questions.last) >= 4
        assert not set(questions.first) & set(questions.last)


def test_gold_stands_equally_often_at_both_places_of_the_candidates():
    places = Counter(
        (q.name, q.candidates.index(q.gold))
        for rotation in BLOCK
        for q in instance("A", "en", "eval", rotation, SEQUENTIAL).questions
    )

    assert set(places.values()) == {len(BLOCK) // 2}


def test_first_and_last_mentioned_day_are_right_in_half_of_the_questions():
    for lang, variant, stages in itertools.product(("en", "zh"), "AB", (SEQUENTIAL, INTERLEAVED)):
        for rotation in BLOCK:
            first, last = instance(variant, lang, "eval", rotation, stages).questions
            said = " ".join(u for u, _ in turns(variant, lang, "eval", rotation, stages))
            order = mentioned(said, first)
            assert sum(order[0] == q.gold for q in (first, last)) == 1
            assert sum(order[-1] == q.gold for q in (first, last)) == 1


def test_both_languages_make_the_same_draws():
    for rotation, stages in every_rotation():
        for variant, split in itertools.product("AB", ("eval", "train")):
            en, zh = (instance(variant, lang, split, rotation, stages) for lang in ("en", "zh"))
            words = [family().words[lang, split].plans for lang in ("en", "zh")]
            for one, two in zip(en.questions, zh.questions, strict=True):
                assert re.sub(r"\D", "", one.gold) == re.sub(r"\D", "", two.gold)
                assert [words[0].index(p) for p in one.key_words] == [
                    words[1].index(p) for p in two.key_words
                ]
