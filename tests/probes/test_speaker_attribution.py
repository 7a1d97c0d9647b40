"""Who proposed an item: user, assistant or a quoted third person (section 4.14)."""

import itertools
from collections import Counter

import pytest

from .instances import EVERY, family, named, pair, told

NAME = "speaker_attribution"
ROTATIONS = 18


def pairs(lang, split):
    return [pair(NAME, lang, split, rotation, slot=1) for rotation in range(ROTATIONS)]


def instances(lang, split):
    return [item for both in pairs(lang, split) for item in both]


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_three_items_are_proposed_two_by_the_user_message_and_one_by_the_reply(lang, split):
    for item in instances(lang, split):
        (user, reply), words = item.turns[0], item.words
        labels = (words.labels.user, words.labels.assistant)
        assert len(named(user, words.items)) == 2
        assert len(named(reply, words.items)) == 1
        assert named(user, words.people) == [
            option for option in item.question.candidates if option not in labels
        ]
        assert not named(reply, words.people)
        assert not named(f"{user}\n{reply}", labels)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_gold_is_the_label_of_the_side_that_names_the_item(lang, split):
    for item in instances(lang, split):
        by_assistant = item.question.gold == item.words.labels.assistant

        assert bool(named(item.replies[0], item.question.key_words)) == by_assistant
        assert bool(named(item.users[0], item.question.key_words)) != by_assistant


def test_the_user_proposes_in_the_first_person_and_the_third_person_by_name():
    """The item after "I was thinking of" is the user's, the one after the name the other's."""
    seen = set()
    for rotation in range(ROTATIONS):
        item = told(NAME, "en", "eval", "A", rotation, slot=1)
        question = item.question
        if not item.users[0].startswith("For the potluck"):
            continue
        own, quoted = item.users[0].split(". ")[:2]
        if question.gold != "assistant":
            assert question.key_words[0] in (own if question.gold == "user" else quoted)
            seen.add(question.gold == "user")
    assert seen == {True, False}


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_twin_gives_every_item_to_another_speaker(lang, split):
    for a, b in pairs(lang, split):
        in_a, in_b = (named("\n".join(item.turns[0]), item.words.items) for item in (a, b))

        assert sorted(in_a) == sorted(in_b)
        assert all(one != two for one, two in zip(in_a, in_b, strict=True))


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_question_names_all_options_and_the_one_item(lang, split):
    for item in instances(lang, split):
        (text,) = item.asked.values()
        assert named(text, item.question.candidates) == list(item.question.candidates)
        assert named(text, item.words.items) == list(item.question.key_words)


@pytest.mark.parametrize("variant", "AB")
def test_every_speaker_is_the_answer_equally_often(variant):
    speakers = Counter()
    for rotation in range(ROTATIONS):
        gold = told(NAME, "en", "eval", variant, rotation, slot=1).question.gold
        speakers[gold if gold in ("user", "assistant") else "third"] += 1

    assert speakers == dict.fromkeys(("user", "assistant", "third"), ROTATIONS // 3)


def test_all_six_orders_of_the_options_occur():
    orders = set()
    for rotation in range(4 * ROTATIONS):
        question = told(NAME, "en", "eval", "A", rotation, slot=1).question
        orders.add(tuple(c if c in ("user", "assistant") else "third" for c in question.candidates))

    assert len(orders) == 6


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_templates_quote_the_third_person_first_in_one_half(lang, split):
    evidence = family(NAME).words[lang, split].evidence
    first = [
        template.user.index("item.third") < template.user.index("item.user")
        for template in evidence
    ]

    assert sum(first) == len(first) / 2 > 0


def test_chinese_items_have_two_or_three_characters():
    assert {len(item) for item in family(NAME).words["zh", "eval"].items} in ({2, 3}, {2}, {3})


def test_english_items_of_eval_take_no_article_and_those_of_train_take_a():
    items = family(NAME).words["en", "eval"].items
    assert not [item for item in family(NAME).words["en", "train"].items if item[0] in "aeiou"]
    for told_item in instances("en", "eval"):
        words = " ".join(told_item.turns[0]).split()
        neighbours = {" ".join(two) for two in itertools.pairwise(words)}
        for item in items:
            assert not {f"a {item}", f"an {item}", f"a {item.capitalize()}"} & neighbours
