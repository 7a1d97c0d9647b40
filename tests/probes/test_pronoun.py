"""A pronoun goes with a stated cue, for people and for things (specification 4.5)."""

import itertools
import re
from collections import Counter

import pytest

from qwen_bench.probes.definitions import load_families, load_family
from qwen_bench.probes.instance import Brief
from qwen_bench.probes.seeded_draws import Draw
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.probes.word_templates import render
from qwen_bench.resources import data_folder
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.scoring.normalise import normalise

TASKS = data_folder("tasks")
FAMILY = load_family(TASKS / "pronoun")
SPLITS = tuple(itertools.product(("en", "zh"), ("eval", "train")))
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


class Rendered:
    """One instance as the reader of a dialogue sees it."""

    def __init__(self, lang, split, variant, rotation, *, stages, slot=2):
        words = FAMILY.words[lang, split]
        join = FAMILY.joins[lang]
        self.draw = Draw(("t", split), "pronoun", slot, rotation)
        brief = Brief(self.draw, variant, ("pronoun",), stages, {}, 4)
        instance = FAMILY.builder.build(brief, words)
        (self.question,) = instance.questions
        self.users = [render(e.user, e.context, join) for e in instance.evidence]
        self.replies = [render(e.assistant, e.context, join) for e in instance.evidence]
        templates = getattr(words.questions, self.question.wording)
        level = self.draw.level("question template pronoun", len(templates))
        context = {"only": words.only, **self.question.context}
        self.asked = render(templates[level], context, join)
        self.lang, self.split, self.words = lang, split, words
        self.antecedents = ANTECEDENTS[int(self.draw.factors["antecedents"])]

    @property
    def text(self):
        return normalise("\n".join(self.users)).text

    @property
    def named(self):
        """The candidates in the order the evidence names them."""
        return [m.candidate for m in find_mentions(self.text, self.question.candidates, {})]

    @property
    def deciding(self):
        """The part of the last evidence turn that speaks of the referent: it names nobody."""
        last = self.users[-1]
        ends = [last.rfind(name) + len(name) for name in self.named if name in last]
        return last[max(ends, default=0) :]


EVERY = [
    tuple(Rendered(lang, split, variant, rotation, stages=stages) for variant in "AB")
    for lang, split in SPLITS
    for stages in (1, 2)
    for rotation in range(BLOCK)
]
THINGS = [pair for pair in EVERY if pair[0].antecedents == "thing"]


def test_a_third_of_the_instances_is_about_women_men_and_things_each():
    counts = Counter(a.antecedents for a, _ in EVERY)

    assert set(counts.values()) == {len(EVERY) // 3}


def test_twins_ask_the_same_question_and_the_other_antecedent_is_right():
    for a, b in EVERY:
        assert a.asked == b.asked
        assert a.question.candidates == b.question.candidates
        assert {a.question.gold, b.question.gold} == set(a.question.candidates)


def test_only_the_cue_differs_between_twins():
    for a, b in EVERY:
        if len(a.users) == 2:
            assert a.users[0] == b.users[0]
        assert a.named == b.named
        assert a.replies == b.replies


def test_each_antecedent_is_named_once_and_no_reply_or_question_names_one():
    for pair in EVERY:
        for one in pair:
            assert sorted(one.named) == sorted(one.question.candidates)
            silent = normalise("\n".join([*one.replies, one.asked])).text
            assert not find_mentions(silent, one.words.answers, {})


def test_the_sentence_that_decides_has_a_pronoun_and_names_nobody():
    for pair in EVERY:
        for one in pair:
            assert re.search(PRONOUNS[one.lang, one.antecedents], one.deciding), one.users
            if len(one.users) == 2:
                assert not find_mentions(normalise(one.users[1]).text, one.named, {})


def test_both_antecedents_are_of_one_kind():
    for a, _ in EVERY:
        values = a.words.values
        pool = a.words.things.towns if a.antecedents == "thing" else getattr(values, a.antecedents)
        assert set(a.question.candidates) <= set(pool)


@pytest.mark.parametrize("antecedents", ANTECEDENTS)
def test_the_right_antecedent_is_named_first_as_often_as_last(antecedents):
    golds = [
        one.named.index(one.question.gold)
        for pair in EVERY
        for one in pair
        if one.antecedents == antecedents
    ]

    assert golds.count(0) == golds.count(1)


def test_order_of_candidates_and_referent_are_balanced_over_the_rotations():
    for factor in ("referent", "gold place", "evidence template"):
        for lang, split in SPLITS:
            counts = Counter(
                a.draw.factors[factor]
                for a, _ in EVERY
                if (a.lang, a.split) == (lang, split) and len(a.users) == 1
            )
            assert max(counts.values()) - min(counts.values()) <= 1, factor


def test_what_happened_is_named_in_the_evidence_and_in_the_question():
    for a, _ in EVERY:
        (key,) = a.question.key_words
        assert find_mentions(a.text, [key], {}), (key, a.users)
        if a.antecedents != "thing":
            assert find_mentions(normalise(a.asked).text, [key], {}), (key, a.asked)


def test_no_english_article_stands_before_the_wrong_sound():
    for a, b in EVERY:
        for text in (*a.users, *b.users, a.asked):
            assert not re.search(r"\b[Aa] [aeio]|\b[Aa]n [^aeiou]", text), text


def test_the_question_about_things_holds_no_feature_and_asks_for_a_place():
    for a, _ in THINGS:
        assert a.asked.endswith(a.words.things.only)
        assert a.words.only not in a.asked
        for feature in a.words.things.features:
            assert feature.part not in a.asked
            assert feature.cue not in a.asked


def test_the_question_and_the_cue_share_no_word_beside_articles():
    for a, _ in THINGS:
        if a.lang == "zh":
            continue
        asked = set(re.findall(r"[a-z]+", a.asked.lower()))
        for feature in a.words.things.features:
            assert not (set(feature.cue.split()) - {"the", "that"}) & asked


@pytest.mark.parametrize(("lang", "split"), SPLITS)
def test_features_are_equally_long_so_that_variants_are(lang, split):
    features = FAMILY.words[lang, split].things.features
    sizes = {len(f.cue) if lang == "zh" else len(f.cue.split()) for f in features}

    assert len(sizes) == 1


@pytest.mark.parametrize(("lang", "split"), SPLITS)
def test_every_value_is_right_equally_often_in_the_long_run(lang, split):
    # Names of one gender and towns share the instances evenly, so the lists must be equally long.
    words = FAMILY.words[lang, split]

    assert len(words.values.f) == len(words.values.m) == len(words.things.towns)
    assert len(set(words.answers)) == 3 * len(words.things.towns)


@pytest.mark.parametrize(("lang", "split"), SPLITS)
def test_towns_and_kinds_of_things_occur_in_no_other_family(lang, split):
    words = FAMILY.words[lang, split]
    others = [f.words[lang, split] for f in load_families(TASKS).values() if f.name != "pronoun"]
    taken = {key for other in others for key in (*other.keys, *other.answers)}

    assert not taken & {*words.things.towns, *(kind.one for kind in words.things.kinds)}


@pytest.mark.parametrize("split", ["eval", "train"])
def test_english_words_fit_their_articles_and_numbers(split):
    things = FAMILY.words["en", split].things

    for feature in things.features:
        article, noun, *_ = feature.part.split()
        assert article == ("an" if noun[0] in "aeiou" else "a")
        assert feature.part.split()[1:] == feature.cue.split()[1:]
    for kind in things.kinds:
        assert kind.many in {f"{kind.one}s", f"{kind.one}es"}
    for errand in things.errands:
        assert " ".join(w for w in errand.say.split() if w != "it") == errand.ask


@pytest.mark.parametrize("split", ["eval", "train"])
def test_a_chinese_question_counts_a_thing_with_its_own_measure_word(split):
    things = FAMILY.words["zh", split].things

    assert all(kind.unit and kind.unit not in "一二两" for kind in things.kinds)
    for pair in THINGS:
        a = pair[0]
        if (a.lang, a.split) == ("zh", split):
            kind = a.question.context["kind"]
            assert re.search(f"(?:两|来|这|那){kind['unit']}", a.text), a.text
            assert a.text.count(kind["one"]) == len(a.users)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_histories_of_any_length_hold_the_pronoun_of_the_antecedents(lang):
    suite = build_suite("quick", Selection(langs=(lang,), families=("pronoun",)))
    seen = set()

    for dialogue in suite.dialogues():
        for asked in dialogue.probes:
            if asked.probe.condition != "main":
                continue
            kind = ANTECEDENTS[int(asked.probe.factors["antecedents"])]
            seen.add(kind)
            turn = dialogue.turns[asked.probe.needs[-1] - 1]
            assert re.search(PRONOUNS[lang, kind], turn.user)

    assert seen
