"""The assistant's proposal against the user's, for the same key (assistant_recall)."""

import re

import pytest

from qwen_bench.probes.probe import LANGS, LEVELS, WORDINGS

from .instances import EVERY, SPLITS, family, mentions, named, pair

NAME = "assistant_recall"
ROTATIONS = 16


def proposals(text, words) -> dict[str, str]:
    """Value by key as a text proposes them: both in one order, also where listed apart."""
    keys, values = named(text, words.keys), named(text, words.values)
    assert len(keys) == len(values) == len(set(keys))
    return dict(zip(keys, values, strict=True))


@pytest.mark.parametrize(("lang", "split"), EVERY)
@pytest.mark.parametrize("level", range(1, LEVELS + 1))
@pytest.mark.parametrize("wording", WORDINGS)
def test_the_gold_is_what_the_reply_proposes_for_the_asked_key(lang, split, level, wording):
    for rotation in range(ROTATIONS):
        for item in pair(NAME, lang, split, rotation, level=level, wording=wording):
            own = proposals(item.users[0], item.words)
            proposed = proposals(item.replies[0], item.words)
            (key,) = item.question.key_words

            assert list(own) == list(proposed)
            assert len(own) == item.family.task.levels[level - 1]
            assert not {*own.values()} & {*proposed.values()}
            assert item.question.gold == proposed[key]


@pytest.mark.parametrize(("lang", "split"), EVERY)
@pytest.mark.parametrize("level", range(1, LEVELS + 1))
def test_the_twin_swaps_the_speakers_and_turns_the_order_round(lang, split, level):
    for rotation in range(ROTATIONS):
        a, b = pair(NAME, lang, split, rotation, level=level)
        own_in_a, own_in_b = (proposals(item.users[0], item.words) for item in (a, b))
        proposed_in_a, proposed_in_b = (proposals(i.replies[0], i.words) for i in (a, b))

        assert own_in_a == proposed_in_b
        assert proposed_in_a == own_in_b
        assert list(own_in_a) == list(own_in_b)[::-1]


@pytest.mark.parametrize(("lang", "split"), EVERY)
@pytest.mark.parametrize("level", range(1, LEVELS + 1))
def test_the_user_asks_at_the_end_and_the_reply_does_not_ask_back(lang, split, level):
    for rotation in range(ROTATIONS):
        item = pair(NAME, lang, split, rotation, level=level)[0]

        assert re.search(r"[?？]$", item.users[0])
        assert not re.search("[?？]", item.replies[0])


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_value_of_the_other_speaker_is_always_ranked_beside_the_gold(lang, split):
    for rotation in range(ROTATIONS):
        item = pair(NAME, lang, split, rotation, level=5)[0]
        (key,) = item.question.key_words

        assert proposals(item.users[0], item.words)[key] in item.question.rank_candidates


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_paraphrase_is_of_the_asked_key(lang, split):
    for rotation in range(ROTATIONS):
        item = pair(NAME, lang, split, rotation, level=3, wording="paraphrase")[0]
        (key,) = item.question.key_words
        (ask,) = (entity.ask for entity in item.words.entities if entity.say == key)

        assert ask in item.asked["proposal"]
        assert not mentions(item.asked["proposal"], item.words.keys)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("lang", LANGS)
def test_a_question_reuses_no_verb_of_a_statement(lang, split):
    verbs = {
        "en": r"\b(call|pick|go\b|paint|put|enter|settle|sound|order|writ|fill|christen|carve|file"
        r"|introduce|jot|word|label)",
        "zh": "叫|写|报|起|喷|填|投|唤|喊|勾|跟|管(?!我的)|归",
    }
    questions = family(NAME).words[lang, split].questions

    assert questions.lexical
    for template in (*questions.lexical, *questions.paraphrase):
        assert not re.search(verbs[lang], template.casefold()), template
