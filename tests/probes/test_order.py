"""temporal_order: which of two came first, on dialogues rendered from the real word files."""

import itertools
import re
from collections import Counter
from functools import cache

import pytest

from qwen_bench.probes.definitions import load_family
from qwen_bench.probes.instance import Brief
from qwen_bench.probes.probe import LANGS, VARIANTS
from qwen_bench.probes.seeded_draws import Draw
from qwen_bench.probes.word_templates import render
from qwen_bench.resources import data_folder
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.scoring.normalise import normalise

FAMILY = load_family(data_folder("tasks") / "temporal_order")
SPLITS = ("eval", "train")
EVERY = list(itertools.product(LANGS, SPLITS))
ROTATIONS = 24


class Rendered:
    """One instance as text; every question template is filled in."""

    def __init__(self, lang, split, rotation, variant, slot=5):
        self.words, join = FAMILY.words[lang, split], FAMILY.joins[lang]
        self.draw = Draw(("test", split), "temporal_order", slot, rotation)
        brief = Brief(self.draw, variant, ("temporal_order",), 2, {}, 8)
        self.instance = FAMILY.builder.build(brief, self.words)
        self.questions = {question.name: question for question in self.instance.questions}
        self.turns = [
            (render(e.user, e.context, join), render(e.assistant, e.context, join))
            for e in self.instance.evidence
        ]
        self.asked = {
            question.name: [
                render(template, {**question.context, "only": self.words.only}, join)
                for template in getattr(self.words.questions, question.wording)
            ]
            for question in self.instance.questions
        }

    @property
    def kind(self):
        (kind,) = {name.partition("_")[0] for name in self.questions}
        return kind

    @property
    def news(self):
        """The (thing, number of its day) as told, read off the text."""
        found = []
        for user, _ in self.turns:
            text = normalise(user).text
            (thing,) = {m.candidate for m in find_mentions(text, self.words.answers, {})}
            day = max((d for d in self.words.days if d in user), key=len)
            found.append((thing, self.words.days.index(day)))
        return found

    @property
    def golds(self):
        return {name: question.gold for name, question in self.questions.items()}


@cache
def rendered(lang, split, rotation, variant):
    return Rendered(lang, split, rotation, variant)


def every_instance(lang, split):
    for rotation, variant in itertools.product(range(ROTATIONS), VARIANTS):
        yield rendered(lang, split, rotation, variant)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_gold_follows_the_order_that_the_question_asks_for(lang, split):
    for item in every_instance(lang, split):
        told = [thing for thing, _ in item.news]
        by_day = [thing for thing, _ in sorted(item.news, key=lambda piece: piece[1])]
        first, last = told if item.kind == "told" else by_day

        assert item.golds == {f"{item.kind}_first": first, f"{item.kind}_last": last}


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_twin_swaps_the_turns_or_the_days_and_nothing_else(lang, split):
    for rotation in range(ROTATIONS):
        item, twin = (rendered(lang, split, rotation, variant) for variant in VARIANTS)
        (one, day), (two, other) = item.news

        assert twin.news == (
            [(two, other), (one, day)] if item.kind == "told" else [(one, other), (two, day)]
        )
        assert [reply for _, reply in twin.turns] == [reply for _, reply in item.turns]
        assert twin.asked == item.asked
        for name, question in item.questions.items():
            assert twin.questions[name].candidates == question.candidates
            assert twin.questions[name].gold != question.gold


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_a_fixed_pick_is_right_for_exactly_one_of_the_two_questions(lang, split):
    for item in every_instance(lang, split):
        first, last = item.golds.values()
        assert first != last
        for question in item.questions.values():
            assert set(question.candidates) == {first, last}
            assert question.needs == (0, 1)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_questions_list_both_things_in_the_order_of_the_candidates(lang, split):
    for item in every_instance(lang, split):
        for name, question in item.questions.items():
            for text in item.asked[name]:
                named = find_mentions(normalise(text).text, item.words.answers, {})
                assert tuple(m.candidate for m in named) == question.candidates


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_both_turns_share_a_frame_and_each_thing_is_named_once(lang, split):
    for item in every_instance(lang, split):
        frames = set()
        for (thing, day), (user, reply) in zip(item.news, item.turns, strict=True):
            (event,) = [e.event for e in item.words.entities if e.thing == thing]
            assert user.count(thing) == user.count(event) == 1
            frames.add(
                user.replace(event, "EVENT")
                .replace(thing, "THING")
                .replace(item.words.days[day], "DAY")
            )
            assert not find_mentions(normalise(reply).text, item.words.answers, {})
        assert len(frames) == 1
        assert item.turns[0][1] != item.turns[1][1]


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_days_lie_clearly_apart(lang, split):
    for item in every_instance(lang, split):
        (_, day), (_, other) = item.news
        assert 5 <= abs(day - other) <= 14


def test_days_are_the_5th_to_the_28th_and_no_thing_or_event_comes_twice():
    days = {key: FAMILY.words[key].days for key in EVERY}

    assert days["en", "eval"][0::8] == ["5th", "13th", "21st"]
    assert days["en", "eval"][17:19] == ["22nd", "23rd"]
    assert days["zh", "eval"] == [f"{number}号" for number in range(5, 29)]
    assert {len(found) for found in days.values()} == {24}
    for key in EVERY:
        words = FAMILY.words[key]
        assert len(set(words.answers)) == len(words.answers) >= 24
        assert len(set(words.keys)) == len(words.keys)


@pytest.mark.parametrize("slot", range(1, 10))
def test_kind_agreement_of_the_orders_and_options_are_balanced(slot):
    kinds, agreements, places = Counter(), Counter(), Counter()
    for rotation in range(12):
        item = Rendered("en", "eval", rotation, "A", slot)
        kinds[item.kind] += 1
        agreements[item.news[0][1] < item.news[1][1]] += 1
        question = item.questions[f"{item.kind}_first"]
        places[question.candidates.index(question.gold)] += 1

    assert set(kinds.values()) == set(agreements.values()) == set(places.values()) == {6}


def test_the_orders_agree_in_one_variant_and_disagree_in_the_other():
    for rotation in range(ROTATIONS):
        agree = {
            news[0][1] < news[1][1]
            for variant in VARIANTS
            for news in [rendered("zh", "eval", rotation, variant).news]
        }
        assert agree == {True, False}


@pytest.mark.parametrize("split", SPLITS)
def test_both_languages_make_the_same_draws(split):
    for rotation, variant in itertools.product(range(12), VARIANTS):
        en, zh = (rendered(lang, split, rotation, variant) for lang in LANGS)
        told = [
            [(item.words.answers.index(thing), day) for thing, day in item.news]
            for item in (en, zh)
        ]

        assert en.draw.factors == zh.draw.factors
        assert told[0] == told[1]
        assert en.golds.keys() == zh.golds.keys()


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_sentences_begin_and_end_as_they_should(lang, split):
    for item in every_instance(lang, split):
        for text in [*itertools.chain(*item.turns), *itertools.chain(*item.asked.values())]:
            assert text[0].isupper() if lang == "en" else not re.search(r"[,.?!:;a-zA-Z]", text)
            assert text[-1] in (".?!" if lang == "en" else "。？！")
            assert not re.search(r"\b(\w+) \1\b|[，、：]{2}| [,.?!]|\ba [aeiou]", text), text
