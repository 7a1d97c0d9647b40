"""The assistant's proposal against the user's, for the same key (section 4.2)."""

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

NAME = "assistant_recall"
SPLITS = ("eval", "train")
EVERY = list(itertools.product(LANGS, SPLITS))
FORMS = {"user first": 1, "assistant first": 2}
ROTATIONS = 12


@cache
def family():
    return load_family(data_folder("tasks") / NAME)


@cache
def told(lang, split, variant, rotation, stages):
    """One instance as text: turns as (user, assistant), the question, and its latent facts."""
    draw = Draw(("t", split), NAME, 4, rotation)
    words, join = family().words[lang, split], family().joins[lang]
    instance = family().builder.build(Brief(draw, variant, (NAME,), stages, {}, 4), words)
    (question,) = instance.questions
    template = words.questions[draw.level("question template", len(words.questions))]
    text = render(template, {**question.context, "only": words.only}, join)
    turns = [
        (render(e.user, e.context, join), render(e.assistant, e.context, join))
        for e in instance.evidence
    ]
    return turns, text, question


def instances(lang, split, stages):
    for variant, rotation in itertools.product(VARIANTS, range(ROTATIONS)):
        yield told(lang, split, variant, rotation, stages)


def named(text, question):
    return [m.candidate for m in find_mentions(normalise(text).text, question.candidates, {})]


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_with_the_user_first_the_user_names_two_values_and_the_reply_two_others(lang, split):
    for turns, _, question in instances(lang, split, FORMS["user first"]):
        ((user, reply),) = turns
        own, proposed = named(user, question), named(reply, question)

        assert len(own) == len(proposed) == 2
        assert {*own, *proposed} == set(question.candidates)
        assert question.gold in proposed


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_with_the_assistant_first_the_user_decides_otherwise_in_a_later_turn(lang, split):
    for turns, _, question in instances(lang, split, FORMS["assistant first"]):
        (request, reply), (decision, thanks) = turns
        proposed, own = named(reply, question), named(decision, question)

        assert len(own) == len(proposed) == 2
        assert {*own, *proposed} == set(question.candidates)
        assert question.gold in proposed
        assert not named(request, question)
        assert not named(thanks, question)


@pytest.mark.parametrize(("lang", "split"), EVERY)
@pytest.mark.parametrize("stages", FORMS.values(), ids=FORMS)
def test_the_turn_of_the_proposal_is_all_a_reader_needs(lang, split, stages):
    for turns, _, question in instances(lang, split, stages):
        (needed,) = question.needs

        assert question.gold in named(turns[needed][1], question)
        (key,) = question.key_words
        assert key.casefold() in " ".join(turns[needed]).casefold()


@pytest.mark.parametrize(("lang", "split"), EVERY)
@pytest.mark.parametrize("stages", FORMS.values(), ids=FORMS)
def test_the_twin_swaps_the_speakers_of_the_same_values(lang, split, stages):
    for rotation in range(ROTATIONS):
        (a_turns, a_text, a), (b_turns, b_text, b) = (
            told(lang, split, variant, rotation, stages) for variant in VARIANTS
        )
        reply_of_a = named(a_turns[0][1], a)
        decision = b_turns[-1][0]

        assert a_text == b_text
        assert a.candidates == b.candidates
        assert a.gold != b.gold
        assert named(decision, b) == reply_of_a[::-1]
        assert reply_of_a.index(a.gold) != named(b_turns[0][1], b).index(b.gold)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("stages", FORMS.values(), ids=FORMS)
def test_both_languages_draw_the_same(split, stages):
    for variant, rotation in itertools.product(VARIANTS, range(ROTATIONS)):
        places = []
        for lang in LANGS:
            _, _, question = told(lang, split, variant, rotation, stages)
            values = family().words[lang, split].values
            places.append([values.index(value) for value in question.candidates])
        assert places[0] == places[1]


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_over_both_forms_first_and_last_value_are_right_in_a_quarter(lang, split):
    first, last, total = 0, 0, 0
    for stages in FORMS.values():
        for turns, _, question in instances(lang, split, stages):
            mentions = named("\n".join("\n".join(turn) for turn in turns), question)
            assert sorted(mentions) == sorted(question.candidates)
            first += mentions[0] == question.gold
            last += mentions[-1] == question.gold
            total += 1

    assert first / total == last / total == 0.25


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_gold_stands_equally_often_at_each_place_of_the_candidates(variant):
    places = Counter()
    for rotation in range(ROTATIONS):
        _, _, question = told("en", "eval", variant, rotation, 1)
        places[question.candidates.index(question.gold)] += 1

    assert set(places.values()) == {ROTATIONS // 4}


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_a_question_names_the_key_but_no_value(lang, split):
    for stages in FORMS.values():
        for _, text, question in instances(lang, split, stages):
            assert question.key_words[0] in text
            assert not named(text, question)


@pytest.mark.parametrize("split", SPLITS)
def test_a_question_reuses_no_verb_of_a_statement(split):
    verbs = {
        "en": r"call|pick|go\b|paint|put|enter|settle|sound|look|carve|file|fit|introduce|jot",
        "zh": "叫|写|报|起|喷|填|投|唤|喊|管(?!我的)|归",
    }
    for lang in LANGS:
        for template in family().words[lang, split].questions:
            assert not re.search(verbs[lang], template.casefold()), template


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_no_text_has_a_double_article_or_a_capital_in_the_middle(lang, split):
    for stages in FORMS.values():
        for turns, text, _ in instances(lang, split, stages):
            for message in (text, *itertools.chain(*turns)):
                assert "the the" not in message.casefold()
                assert " The " not in message.replace(". The ", "").replace("? The ", "")
                assert lang == "en" or not set(",.?!:;") & set(message)
                assert message[-1] in ".?!。？！"
