"""ordinal_ref: the item of a rank, on dialogues rendered from the real word files."""

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

FAMILY = load_family(data_folder("tasks") / "ordinal_ref")
SPLITS = ("eval", "train")
EVERY = list(itertools.product(LANGS, SPLITS))
ROTATIONS = 16
PACKED, SPREAD = 1, 4


class Rendered:
    """One instance as text; every question template is filled in."""

    def __init__(self, lang, split, rotation, variant, stages, *, slot=5):
        words, join = FAMILY.words[lang, split], FAMILY.joins[lang]
        self.draw = Draw(("test", split), "ordinal_ref", slot, rotation)
        brief = Brief(self.draw, variant, ("ordinal_ref",), stages, {}, 8)
        self.instance = FAMILY.builder.build(brief, words)
        (self.question,) = self.instance.questions
        self.turns = [
            (render(e.user, e.context, join), render(e.assistant, e.context, join))
            for e in self.instance.evidence
        ]
        self.asked = [
            render(template, {**self.question.context, "only": words.only}, join)
            for template in getattr(words.questions, self.question.wording)
        ]

    @property
    def named(self):
        """The items in the order the assistant named them."""
        text = normalise("\n".join(reply for _, reply in self.turns)).text
        return [m.candidate for m in find_mentions(text, self.question.candidates, {})]


@cache
def rendered(lang, split, rotation, variant, stages):
    return Rendered(lang, split, rotation, variant, stages)


def every_instance(lang, split):
    for rotation, variant, stages in itertools.product(
        range(ROTATIONS), VARIANTS, (PACKED, SPREAD)
    ):
        yield rendered(lang, split, rotation, variant, stages)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_gold_is_the_item_the_question_ranks(lang, split):
    ranks = FAMILY.words[lang, split].ranks
    for item in every_instance(lang, split):
        assert len(item.named) == len(set(item.named)) == 4
        if item.question.wording == "before_last":
            expected = item.named[-2]
        else:
            (rank,) = [i for i, phrase in enumerate(ranks) if phrase in item.asked[0]]
            expected = item.named[rank]
        assert item.question.gold == expected


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_twin_rotates_the_list_and_leaves_question_and_options_alone(lang, split):
    for rotation, stages in itertools.product(range(ROTATIONS), (PACKED, SPREAD)):
        item, twin = (rendered(lang, split, rotation, variant, stages) for variant in VARIANTS)

        assert twin.named == [*item.named[1:], item.named[0]]
        assert twin.asked == item.asked
        assert twin.question.candidates == item.question.candidates
        assert twin.question.needs == item.question.needs
        assert twin.question.gold != item.question.gold


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_spread_form_repeats_one_request_byte_for_byte(lang, split):
    for item in every_instance(lang, split):
        assert len(item.turns) in (PACKED, SPREAD)
        assert len({user for user, _ in item.turns}) == 1
        if len(item.turns) == SPREAD:
            for _, reply in item.turns:
                assert len(find_mentions(normalise(reply).text, item.question.candidates, {})) == 1


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_requests_and_questions_hold_no_item_and_nothing_is_numbered(lang, split):
    words = FAMILY.words[lang, split]
    number = re.compile(r"\d|第|\b(?:first|second|third|fourth|last|next|another|then)\b")
    for item in every_instance(lang, split):
        for text in [*item.asked, *(user for user, _ in item.turns)]:
            assert not find_mentions(normalise(text).text, words.values, {}), text
        for user, reply in item.turns:
            assert not number.search((user + reply).casefold()), reply


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_question_names_the_occasion_the_words_were_for(lang, split):
    for item in every_instance(lang, split):
        (occasion,) = item.question.key_words
        assert all(occasion.casefold() in user.casefold() for user, _ in item.turns)
        assert all(occasion in question for question in item.asked)


@pytest.mark.parametrize("variant", VARIANTS)
def test_needed_turns_are_those_one_must_have_counted(variant):
    for rotation in range(ROTATIONS):
        packed = rendered("en", "eval", rotation, variant, PACKED)
        spread = rendered("en", "eval", rotation, variant, SPREAD)

        assert packed.question.needs == (0,)
        if spread.question.wording == "before_last":
            assert spread.question.needs == (2, 3)
        else:
            asked = spread.named.index(spread.question.gold)
            assert spread.question.needs == tuple(range(asked + 1))


def test_every_rank_and_every_place_of_the_gold_is_used_equally_often():
    ranks, places, wordings = Counter(), Counter(), Counter()
    for rotation in range(ROTATIONS):
        item = rendered("en", "eval", rotation, "A", PACKED)
        rank = item.named.index(item.question.gold)
        ranks[rank] += 1
        places[item.question.candidates.index(item.question.gold)] += 1
        if rank == 2:
            wordings[item.question.wording] += 1

    assert set(ranks.values()) == set(places.values()) == {ROTATIONS // 4}
    assert wordings == {"nth": ROTATIONS // 8, "before_last": ROTATIONS // 8}


@pytest.mark.parametrize("slot", range(10))
def test_half_of_the_questions_for_the_third_item_count_from_the_end_in_every_slot(slot):
    wordings = Counter(
        item.question.wording
        for rotation in range(24)
        if (item := Rendered("zh", "eval", rotation, "A", PACKED, slot=slot)).draw.factors["rank"]
        == "2"
    )

    assert wordings == {"nth": 3, "before_last": 3}


@pytest.mark.parametrize("split", SPLITS)
def test_both_languages_make_the_same_draws(split):
    for rotation, variant, stages in itertools.product(range(8), VARIANTS, (PACKED, SPREAD)):
        en, zh = (rendered(lang, split, rotation, variant, stages) for lang in LANGS)
        values = {lang: FAMILY.words[lang, split].values for lang in LANGS}

        assert en.draw.factors == zh.draw.factors
        assert [values["en"].index(w) for w in en.named] == [
            values["zh"].index(w) for w in zh.named
        ]
        assert en.question.needs == zh.question.needs


@pytest.mark.parametrize("split", SPLITS)
def test_sentences_begin_and_end_as_they_should(split):
    for lang in LANGS:
        for item in every_instance(lang, split):
            for text in [*itertools.chain(*item.turns), *item.asked]:
                assert text[0].isupper() if lang == "en" else not re.search(r"[,.?!:;a-zA-Z]", text)
                assert text[-1] in (".?!" if lang == "en" else "。？！")
                assert not re.search(r"\b(\w+) \1\b|[，、]{2}| [,.?!]", text), text
