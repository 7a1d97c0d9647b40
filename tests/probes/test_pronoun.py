"""A pronoun goes with a stated cue, for people and for things (specification 4.5)."""

import itertools
import re
from collections import Counter

import pytest

from qwen_bench.probes.definitions import load_families
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.scoring.normalise import normalise

from .instances import EVERY, SPLITS, TASKS, family, named, pair

NAME = "pronoun"
ANTECEDENTS = ("f", "m", "thing")
BLOCK = 24
PRONOUNS = {
    ("en", "f"): r"\b(?:she|her)\b",
    ("en", "m"): r"\b(?:he|him|his)\b",
    ("en", "thing"): r"\bit\b",
    ("zh", "f"): "她",
    ("zh", "m"): "他",
    ("zh", "thing"): "它",
}
PAIRS = [
    pair(NAME, lang, split, rotation, stages=stages, slot_turns=4)
    for lang, split in EVERY
    for stages in (1, 2)
    for rotation in range(BLOCK)
]


def antecedents(item):
    return ANTECEDENTS[int(item.factors["antecedents"])]


def antecedents_named(item):
    """The candidates in the order the evidence names them."""
    return named("\n".join(item.users), item.question.candidates)


def deciding(item):
    """The part of the last evidence turn that speaks of the referent: it names nobody."""
    last = item.users[-1]
    ends = [last.rfind(name) + len(name) for name in item.question.candidates if name in last]
    return last[max(ends, default=0) :]


ALL = list(itertools.chain(*PAIRS))
THINGS = [a for a, _ in PAIRS if antecedents(a) == "thing"]


def test_a_third_of_the_instances_is_about_women_men_and_things_each():
    counts = Counter(antecedents(a) for a, _ in PAIRS)

    assert counts == dict.fromkeys(ANTECEDENTS, len(PAIRS) // 3)


def test_only_the_cue_differs_between_twins():
    for a, b in PAIRS:
        assert a.users[:-1] == b.users[:-1]
        assert antecedents_named(a) == antecedents_named(b)
        assert {a.question.gold, b.question.gold} == set(a.question.candidates)


def test_no_reply_or_question_names_any_antecedent_there_is():
    for item in ALL:
        for text in (*item.replies, *item.asked.values()):
            assert not named(text, item.words.answers)


def test_the_sentence_that_decides_has_a_pronoun_and_names_nobody():
    for item in ALL:
        assert re.search(PRONOUNS[item.lang, antecedents(item)], deciding(item)), item.users
        for later in item.users[1:]:
            assert not named(later, item.question.candidates)


def test_both_antecedents_are_of_one_kind():
    for a, _ in PAIRS:
        kind, words = antecedents(a), a.words
        pool = words.things.towns if kind == "thing" else getattr(words.values, kind)
        assert set(a.question.candidates) <= set(pool)


@pytest.mark.parametrize("kind", ANTECEDENTS)
def test_the_right_antecedent_is_named_first_as_often_as_last(kind):
    golds = Counter(
        antecedents_named(item).index(item.question.gold)
        for item in ALL
        if antecedents(item) == kind
    )

    assert golds[0] == golds[1] > 0
    assert set(golds) == {0, 1}


def test_what_happened_to_people_is_named_in_the_question_as_in_the_evidence():
    for a, _ in PAIRS:
        (key,) = a.question.key_words
        (asked,) = a.asked.values()
        assert named("\n".join(a.users), [key]), (key, a.users)
        if antecedents(a) != "thing":
            assert named(asked, [key]), (key, asked)


def test_the_question_about_things_holds_no_feature_and_asks_for_a_place():
    for item in THINGS:
        (asked,) = item.asked.values()
        assert asked.endswith(item.words.things.only)
        assert item.words.only not in asked
        for feature in item.words.things.features:
            assert feature.part not in asked
            assert feature.cue not in asked


def test_the_question_and_the_cue_share_no_word_beside_articles():
    english = [item for item in THINGS if item.lang == "en"]
    assert english
    for item in english:
        asked = set(re.findall(r"[a-z]+", " ".join(item.asked.values()).lower()))
        for feature in item.words.things.features:
            assert not (set(feature.cue.split()) - {"the", "that"}) & asked


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_features_are_equally_long_so_that_variants_are(lang, split):
    features = family(NAME).words[lang, split].things.features
    sizes = {len(f.cue) if lang == "zh" else len(f.cue.split()) for f in features}

    assert len(sizes) == 1


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_every_value_is_right_equally_often_in_the_long_run(lang, split):
    # Names of one gender and towns share the instances evenly, so the lists must be equally long.
    words = family(NAME).words[lang, split]

    assert len(words.values.f) == len(words.values.m) == len(words.things.towns)
    assert len(set(words.answers)) == 3 * len(words.things.towns)


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_towns_and_kinds_of_things_occur_in_no_other_family(lang, split):
    words = family(NAME).words[lang, split]
    others = [f.words[lang, split] for f in load_families(TASKS).values() if f.name != NAME]
    taken = {key for other in others for key in (*other.keys, *other.answers)}

    assert len(taken) > 300
    assert not taken & {*words.things.towns, *(kind.one for kind in words.things.kinds)}


@pytest.mark.parametrize("split", SPLITS)
def test_english_words_fit_their_articles_and_numbers(split):
    things = family(NAME).words["en", split].things

    for feature in things.features:
        article, noun, *_ = feature.part.split()
        assert article == ("an" if noun[0] in "aeiou" else "a")
        assert feature.part.split()[1:] == feature.cue.split()[1:]
    for kind in things.kinds:
        assert kind.many in {f"{kind.one}s", f"{kind.one}es"}
    for errand in things.errands:
        assert " ".join(w for w in errand.say.split() if w != "it") == errand.ask


@pytest.mark.parametrize("split", SPLITS)
def test_a_chinese_question_counts_a_thing_with_its_own_measure_word(split):
    things = family(NAME).words["zh", split].things
    told_of = [item for item in THINGS if (item.lang, item.split) == ("zh", split)]

    assert all(kind.unit and kind.unit not in "一二两" for kind in things.kinds)
    assert told_of
    for item in told_of:
        kind = item.question.context["kind"]
        text = normalise("\n".join(item.users)).text
        assert re.search(f"(?:两|来|这|那){kind['unit']}", text), text
        assert text.count(kind["one"]) == len(item.users)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_histories_of_any_length_hold_the_pronoun_of_the_antecedents(lang):
    suite = build_suite("quick", Selection(langs=(lang,), families=(NAME,), conditions=("main",)))
    seen = set()

    for dialogue in suite.dialogues():
        for asked in dialogue.probes:
            kind = ANTECEDENTS[int(asked.probe.factors["antecedents"])]
            seen.add(kind)
            turn = dialogue.turns[asked.probe.needs[-1] - 1]
            assert re.search(PRONOUNS[lang, kind], turn.user)

    assert seen
