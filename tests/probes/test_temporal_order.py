"""temporal_order: which of two came first, by telling or by date."""

from collections import Counter

import pytest

from .instances import EVERY, family, named, pair, told

NAME = "temporal_order"
ROTATIONS = 24


def pairs(lang, split):
    return [pair(NAME, lang, split, rotation, slot=5) for rotation in range(ROTATIONS)]


def instances(lang, split):
    return [item for both in pairs(lang, split) for item in both]


def kind(item):
    (found,) = {name.partition("_")[0] for name in item.questions}
    return found


def news(item):
    """The (thing, number of its day) as told, read off the text."""
    found = []
    for user in item.users:
        (thing,) = set(named(user, item.words.answers))
        day = max((d for d in item.words.days if d in user), key=len)
        found.append((thing, item.words.days.index(day)))
    return found


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_gold_follows_the_order_that_the_question_asks_for(lang, split):
    kinds = set()
    for item in instances(lang, split):
        kinds.add(kind(item))
        in_telling = [thing for thing, _ in news(item)]
        by_day = [thing for thing, _ in sorted(news(item), key=lambda piece: piece[1])]
        first, last = in_telling if kind(item) == "told" else by_day

        golds = {name: question.gold for name, question in item.questions.items()}
        assert golds == {f"{kind(item)}_first": first, f"{kind(item)}_last": last}
    assert kinds == {"told", "happened"}


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_twin_swaps_the_turns_or_the_days(lang, split):
    for item, twin in pairs(lang, split):
        (one, day), (two, other) = news(item)
        told_last_first, days_swapped = [(two, other), (one, day)], [(one, other), (two, day)]

        assert news(twin) == (told_last_first if kind(item) == "told" else days_swapped)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_a_fixed_pick_is_right_for_exactly_one_of_the_two_questions(lang, split):
    for item in instances(lang, split):
        first, last = (question.gold for question in item.instance.questions)
        assert first != last
        for question in item.instance.questions:
            assert set(question.candidates) == {first, last}


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_every_phrasing_lists_both_things_in_the_order_of_the_candidates(lang, split):
    for item in instances(lang, split):
        for question in item.instance.questions:
            for text in item.phrasings[question.name]:
                assert tuple(named(text, item.words.answers)) == question.candidates


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_both_turns_share_a_frame_and_each_thing_is_named_once(lang, split):
    for item in instances(lang, split):
        frames = set()
        for (thing, day), (user, reply) in zip(news(item), item.turns, strict=True):
            (event,) = [e.event for e in item.words.entities if e.thing == thing]
            assert user.count(thing) == user.count(event) == 1
            frames.add(
                user.replace(event, "EVENT")
                .replace(thing, "THING")
                .replace(item.words.days[day], "DAY")
            )
            assert not named(reply, item.words.answers)
        assert len(frames) == 1
        assert item.replies[0] != item.replies[1]


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_days_lie_clearly_apart(lang, split):
    for item in instances(lang, split):
        (_, day), (_, other) = news(item)
        assert 5 <= abs(day - other) <= 14


def test_days_are_the_5th_to_the_28th_and_no_thing_or_event_comes_twice():
    words_of = family(NAME).words
    days = {key: words_of[key].days for key in EVERY}

    assert days["en", "eval"][0::8] == ["5th", "13th", "21st"]
    assert days["en", "eval"][17:19] == ["22nd", "23rd"]
    assert days["zh", "eval"] == [f"{number}号" for number in range(5, 29)]
    assert {len(found) for found in days.values()} == {24}
    for key in EVERY:
        words = words_of[key]
        assert len(set(words.answers)) == len(words.answers) >= 24
        assert len(set(words.keys)) == len(words.keys)


@pytest.mark.parametrize("slot", range(1, 10))
def test_kind_agreement_of_the_orders_and_options_are_balanced(slot):
    kinds, agreements, places = Counter(), Counter(), Counter()
    for rotation in range(12):
        item = told(NAME, "en", "eval", "A", rotation, slot=slot)
        (_, day), (_, other) = news(item)
        kinds[kind(item)] += 1
        agreements[day < other] += 1
        question = item.questions[f"{kind(item)}_first"]
        places[question.candidates.index(question.gold)] += 1

    assert set(kinds.values()) == set(agreements.values()) == set(places.values()) == {6}


def test_the_orders_agree_in_one_variant_and_disagree_in_the_other():
    for both in pairs("zh", "eval"):
        days = [[day for _, day in news(item)] for item in both]

        assert {first < last for first, last in days} == {True, False}
