"""temporal_order: which of two came first, by telling or by date, among other pieces of news."""

import re
from collections import Counter

import pytest

from .instances import EVERY, LANGS, family, named, pair, told

NAME = "temporal_order"
PIECES = {1: 2, 2: 4, 3: 6, 4: 8, 5: 12}
WORDINGS = ("lexical", "paraphrase")
ROTATIONS = 24
# Words that a description may share with the name of any thing.
GRAMMAR = {"the", "thing", "place", "that", "where", "a", "of", "in", "on", "to", "with", "for"}


def pairs(lang, split, level, wording="lexical"):
    form = {"level": level, "wording": wording, "slot": 5}
    return [pair(NAME, lang, split, rotation, **form) for rotation in range(ROTATIONS)]


def instances(lang, split, level, wording="lexical"):
    return [item for both in pairs(lang, split, level, wording) for item in both]


def kind(item):
    (found,) = {name.partition("_")[0] for name in item.questions}
    return found


def news(item):
    """The (thing, number of its day) of each turn in the order of telling, read off the text."""
    found = []
    for user in item.users:
        days = sorted(item.words.days, key=len, reverse=True)
        pattern = "|".join(days if item.lang == "zh" else [rf"\b{day}\b" for day in days])
        in_order = [item.words.days.index(day) for day in re.findall(pattern, user)]
        found.append(list(zip(named(user, item.words.answers), in_order, strict=True)))
    return found


def asked_about(item):
    """The two pieces asked for, in the order of telling."""
    (options,) = {question.candidates for question in item.instance.questions}
    return [piece for turn in news(item) for piece in turn if piece[0] in options]


@pytest.mark.parametrize("level", PIECES)
@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_gold_follows_the_order_that_the_question_asks_for(lang, split, level):
    kinds = set()
    for item in instances(lang, split, level):
        kinds.add(kind(item))
        in_telling = [thing for thing, _ in asked_about(item)]
        by_day = [thing for thing, _ in sorted(asked_about(item), key=lambda piece: piece[1])]
        first, last = in_telling if kind(item) == "told" else by_day

        golds = {name: question.gold for name, question in item.questions.items()}
        assert golds == {f"{kind(item)}_first": first, f"{kind(item)}_last": last}
    assert kinds == {"told", "happened"}


@pytest.mark.parametrize("level", PIECES)
@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_twin_swaps_places_or_days_of_the_two_and_leaves_the_others(lang, split, level):
    for item, twin in pairs(lang, split, level):
        (one, day), (two, other) = asked_about(item)
        swapped = {(one, day): (two, other), (two, other): (one, day)}
        if kind(item) == "happened":
            swapped = {(one, day): (one, other), (two, other): (two, day)}

        assert news(twin) == [[swapped.get(piece, piece) for piece in turn] for turn in news(item)]


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_half_of_the_news_stands_in_each_turn_and_one_of_the_two_asked_for(lang, split):
    for level, pieces in PIECES.items():
        for item in instances(lang, split, level):
            asked = {thing for thing, _ in asked_about(item)}
            assert [len(turn) for turn in news(item)] == [pieces // 2, pieces // 2]
            for turn in news(item):
                assert len(asked & {thing for thing, _ in turn}) == 1
            days = [day for turn in news(item) for _, day in turn]
            assert len(set(days)) == pieces
            for question in item.instance.questions:
                assert question.needs == (0, 1)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_a_fixed_pick_is_right_for_exactly_one_of_the_two_questions(lang, split):
    for level in PIECES:
        for item in instances(lang, split, level):
            first, last = (question.gold for question in item.instance.questions)
            assert first != last
            for question in item.instance.questions:
                assert set(question.candidates) == {first, last}
                assert question.rank_candidates == question.candidates


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_lexical_questions_list_both_things_in_order_and_paraphrases_name_none(lang, split):
    for wording in WORDINGS:
        for item in instances(lang, split, 3, wording):
            for question in item.instance.questions:
                listed = question.candidates if wording == "lexical" else ()
                for text in item.phrasings[question.name]:
                    assert tuple(named(text, item.words.answers)) == listed, text


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_a_paraphrase_describes_both_things_in_the_order_of_the_candidates(lang, split):
    asks = {entity.thing: entity.ask for entity in family(NAME).words[lang, split].entities}
    for item in instances(lang, split, 1, "paraphrase"):
        for question in item.instance.questions:
            one, two = (asks[thing].casefold() for thing in question.candidates)
            for text in item.phrasings[question.name]:
                assert 0 <= text.casefold().index(one) < text.casefold().index(two)


@pytest.mark.parametrize("split", ["eval", "train"])
def test_a_description_shares_no_content_word_with_the_thing(split):
    for entity in family(NAME).words["en", split].entities:
        thing, ask = (
            set(re.findall("[a-z]+", text.casefold())) for text in (entity.thing, entity.ask)
        )
        assert ask
        assert thing & ask <= GRAMMAR, entity
    for entity in family(NAME).words["zh", split].entities:
        assert entity.ask
        assert not set(entity.thing) & set(entity.ask), entity


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_both_turns_share_a_frame_and_each_thing_is_named_once(lang, split):
    for level in PIECES:
        for item in instances(lang, split, level):
            frames = set()
            for turn, (user, reply) in zip(news(item), item.turns, strict=True):
                frame = user
                for thing, day in turn:
                    (event,) = [e.event for e in item.words.entities if e.thing == thing]
                    for word in (event, thing, item.words.days[day]):
                        assert word in frame
                        frame = frame.replace(word, "-", 1)
                frames.add(frame)
                assert not named(reply, item.words.answers)
            assert len(frames) == 1
            assert item.replies[0] != item.replies[1]


@pytest.mark.parametrize(("lang", "split"), [*EVERY, ("en", "lures"), ("zh", "lures")])
def test_up_to_six_pieces_are_told_in_sentences_and_more_are_pasted_line_by_line(lang, split):
    for level, pieces in PIECES.items():
        for item in instances(lang, split, level):
            for user, reply in item.turns:
                lines = user.split("\n")
                if level < 4:
                    assert len(lines) == 1
                else:
                    assert pieces // 2 + 2 <= len(lines) <= pieces // 2 + 4
                assert "\n" not in reply
            assert sum(map(len, item.users)) <= (1100 if lang == "en" else 420)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_days_of_the_two_lie_clearly_apart(lang, split):
    for level in PIECES:
        for item in instances(lang, split, level):
            (_, day), (_, other) = asked_about(item)
            assert 5 <= abs(day - other) <= 14


def test_days_are_the_5th_to_the_28th_and_no_thing_or_event_comes_twice():
    words_of = family(NAME).words
    days = {key: words_of[key].days for key in EVERY}

    assert days["en", "eval"][0::8] == ["5th", "13th", "21st"]
    assert days["en", "eval"][17:19] == ["22nd", "23rd"]
    assert days["zh", "eval"] == [f"{number}号" for number in range(5, 29)]
    assert {len(found) for found in days.values()} == {24}
    for key in EVERY:
        assert len(set(words_of[key].answers)) == len(set(words_of[key].keys)) == 50
    for lang in LANGS:
        assert len(set(family(NAME).lures[lang].answers)) == 28


@pytest.mark.parametrize("level", PIECES)
@pytest.mark.parametrize("slot", range(1, 10))
def test_kind_agreement_of_the_orders_and_options_are_balanced(slot, level):
    kinds, agreements, places = Counter(), Counter(), Counter()
    for rotation in range(12):
        item = told(NAME, "en", "eval", "A", rotation, level=level, slot=slot)
        (_, day), (_, other) = asked_about(item)
        kinds[kind(item)] += 1
        agreements[day < other] += 1
        question = item.questions[f"{kind(item)}_first"]
        places[question.candidates.index(question.gold)] += 1

    assert set(kinds.values()) == set(agreements.values()) == set(places.values()) == {6}


def test_the_orders_agree_in_one_variant_and_disagree_in_the_other():
    for level in PIECES:
        for both in pairs("zh", "eval", level):
            days = [[day for _, day in asked_about(item)] for item in both]

            assert {first < last for first, last in days} == {True, False}
