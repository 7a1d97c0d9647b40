"""The assistant's proposal against the user's, for the same key (section 4.2)."""

import itertools
import re

import pytest

from qwen_bench.probes.probe import LANGS

from .instances import EVERY, SPLITS, family, named, pair

NAME = "assistant_recall"
FORMS = {"user first": 1, "assistant first": 2}
ROTATIONS = 12


def pairs(lang, split, stages):
    return [
        pair(NAME, lang, split, rotation, stages=stages, slot=4) for rotation in range(ROTATIONS)
    ]


def instances(lang, split, stages):
    return itertools.chain.from_iterable(pairs(lang, split, stages))


@pytest.mark.parametrize(("lang", "split"), EVERY)
@pytest.mark.parametrize("stages", FORMS.values(), ids=FORMS)
def test_each_speaker_names_two_of_the_values_and_the_gold_is_the_assistants(lang, split, stages):
    for item in instances(lang, split, stages):
        values = item.question.candidates
        own, proposed = named(item.users[-1], values), named(item.replies[0], values)

        assert len(own) == len(proposed) == 2
        assert {*own, *proposed} == set(values)
        assert item.question.gold in proposed


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_with_the_assistant_first_neither_request_nor_thanks_name_a_value(lang, split):
    for item in instances(lang, split, FORMS["assistant first"]):
        for text in (item.users[0], item.replies[1]):
            assert not named(text, item.question.candidates)


@pytest.mark.parametrize(("lang", "split"), EVERY)
@pytest.mark.parametrize("stages", FORMS.values(), ids=FORMS)
def test_the_turn_of_the_proposal_is_all_a_reader_needs(lang, split, stages):
    for item in instances(lang, split, stages):
        (needed,) = item.question.needs

        assert item.question.gold in named(item.replies[needed], item.question.candidates)


@pytest.mark.parametrize(("lang", "split"), EVERY)
@pytest.mark.parametrize("stages", FORMS.values(), ids=FORMS)
def test_the_twin_swaps_the_speakers_of_the_same_values(lang, split, stages):
    for a, b in pairs(lang, split, stages):
        values = a.question.candidates
        proposed_in_a, proposed_in_b = (named(item.replies[0], values) for item in (a, b))

        assert named(b.users[-1], values) == proposed_in_a[::-1]
        assert proposed_in_a.index(a.question.gold) != proposed_in_b.index(b.question.gold)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("lang", LANGS)
def test_a_question_reuses_no_verb_of_a_statement(lang, split):
    verbs = {
        "en": r"call|pick|go\b|paint|put|enter|settle|sound|look|carve|file|fit|introduce|jot",
        "zh": "叫|写|报|起|喷|填|投|唤|喊|管(?!我的)|归",
    }
    questions = family(NAME).words[lang, split].questions

    assert questions
    for template in questions:
        assert not re.search(verbs[lang], template.casefold()), template
