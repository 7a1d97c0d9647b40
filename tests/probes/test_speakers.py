"""Who proposed an item: user, assistant or a quoted third person (section 4.14)."""

import itertools
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

NAME = "speaker_attribution"
SPLITS = ("eval", "train")
EVERY = list(itertools.product(LANGS, SPLITS))
ROTATIONS = 18


@cache
def family():
    return load_family(data_folder("tasks") / NAME)


@cache
def told(lang, split, variant, rotation):
    """One instance as text: user message, reply, question, and its latent facts."""
    draw = Draw(("t", split), NAME, 1, rotation)
    words, join = family().words[lang, split], family().joins[lang]
    instance = family().builder.build(Brief(draw, variant, (NAME,), 1, {}, 4), words)
    (question,), (evidence,) = instance.questions, instance.evidence
    template = words.questions[draw.level("question template", len(words.questions))]
    text = render(template, {**question.context, "only": words.only}, join)
    user = render(evidence.user, evidence.context, join)
    return user, render(evidence.assistant, evidence.context, join), text, question


def instances(lang, split):
    for variant, rotation in itertools.product(VARIANTS, range(ROTATIONS)):
        yield told(lang, split, variant, rotation)


def named(text, words):
    return [m.candidate for m in find_mentions(normalise(text).text, words, {})]


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_three_items_are_proposed_two_by_the_user_message_and_one_by_the_reply(lang, split):
    words = family().words[lang, split]
    for user, reply, _, question in instances(lang, split):
        assert len(named(user, words.items)) == 2
        assert len(named(reply, words.items)) == 1
        assert named(user, words.people) == [
            c for c in question.candidates if c not in (words.labels.user, words.labels.assistant)
        ]
        assert not named(reply, words.people)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_gold_is_the_label_of_the_side_that_names_the_item(lang, split):
    labels = family().words[lang, split].labels
    for user, reply, _, question in instances(lang, split):
        (item,) = question.key_words
        by_assistant = question.gold == labels.assistant

        assert bool(named(reply, [item])) == by_assistant
        assert bool(named(user, [item])) != by_assistant
        assert question.needs == (0,)


def test_the_user_proposes_in_the_first_person_and_the_third_person_by_name():
    """The item after "I was thinking of" is the user's, the one after the name the other's."""
    seen = set()
    for rotation in range(ROTATIONS):
        user, _, _, question = told("en", "eval", "A", rotation)
        if not user.startswith("For the potluck"):
            continue
        own, quoted = user.split(". ")[:2]
        (item,) = question.key_words
        if question.gold != "assistant":
            assert item in (own if question.gold == "user" else quoted)
            seen.add(question.gold == "user")
    assert seen


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_twin_rotates_the_items_and_keeps_the_question(lang, split):
    items = family().words[lang, split].items
    for rotation in range(ROTATIONS):
        (a_user, a_reply, a_text, a), (b_user, b_reply, b_text, b) = (
            told(lang, split, variant, rotation) for variant in VARIANTS
        )
        in_a, in_b = (named(f"{u}\n{r}", items) for u, r in ((a_user, a_reply), (b_user, b_reply)))

        assert a_text == b_text
        assert a.candidates == b.candidates
        assert a.gold != b.gold
        assert sorted(in_a) == sorted(in_b)
        assert all(one != two for one, two in zip(in_a, in_b, strict=True))
        assert len(a_user + a_reply) == len(b_user + b_reply)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_question_lists_the_options_in_the_order_of_the_candidates(lang, split):
    for _, _, text, question in instances(lang, split):
        assert named(text, question.candidates) == list(question.candidates)
        assert named(text, family().words[lang, split].items) == list(question.key_words)


@pytest.mark.parametrize("variant", VARIANTS)
def test_asked_speaker_and_place_of_the_gold_are_uniform(variant):
    speakers, places = Counter(), Counter()
    for rotation in range(ROTATIONS):
        *_, question = told("en", "eval", variant, rotation)
        gold = question.gold if question.gold in ("user", "assistant") else "third"
        speakers[gold] += 1
        places[question.candidates.index(question.gold)] += 1

    assert set(speakers.values()) == set(places.values()) == {ROTATIONS // 3}
    assert len(speakers) == len(places) == 3


def test_all_six_orders_of_the_options_occur():
    orders = set()
    for rotation in range(4 * ROTATIONS):
        *_, question = told("en", "eval", "A", rotation)
        orders.add(tuple(c if c in ("user", "assistant") else "third" for c in question.candidates))

    assert len(orders) == 6


@pytest.mark.parametrize("split", SPLITS)
def test_both_languages_draw_the_same(split):
    for variant, rotation in itertools.product(VARIANTS, range(ROTATIONS)):
        found = []
        for lang in LANGS:
            words = family().words[lang, split]
            labels = [words.labels.user, words.labels.assistant]
            *_, question = told(lang, split, variant, rotation)
            (item,) = question.key_words
            ranks = [
                labels.index(c) if c in labels else 2 + words.people.index(c)
                for c in question.candidates
            ]
            found.append((words.items.index(item), ranks))
        assert found[0] == found[1]


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_templates_quote_the_third_person_first_in_one_half(lang, split):
    words = family().words[lang, split]
    first = [
        template.user.index("item.third") < template.user.index("item.user")
        for template in words.evidence
    ]

    assert sum(first) == len(first) / 2


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_no_evidence_uses_a_label_of_the_two_sides(lang, split):
    labels = family().words[lang, split].labels
    for user, reply, _, _ in instances(lang, split):
        assert not named(f"{user}\n{reply}", [labels.user, labels.assistant])


@pytest.mark.parametrize("lang", LANGS)
def test_an_item_fits_its_article(lang):
    """English items of eval take none, those of train all take "a"."""
    if lang == "zh":
        assert all(2 <= len(item) <= 3 for item in family().words["zh", "eval"].items)
        return
    assert not [i for i in family().words["en", "train"].items if i[0] in "aeiou"]
    for user, reply, _, _ in instances("en", "eval"):
        for item in family().words["en", "eval"].items:
            assert not {f"a {item}", f"an {item}", f"a {item.capitalize()}"} & {
                " ".join(pair) for pair in itertools.pairwise(f"{user} {reply}".split())
            }
