"""What holds for every built-in family, and one dialogue of each as a model sees it.

The dialogues are in `tests/data/goldens/families`; after a change that is meant, write them again:

    python -m pytest tests/probes/test_every_family.py --rewrite-goldens
"""

import itertools
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import yaml

from qwen_bench.audit.trees import strings_of, tree_of
from qwen_bench.probes.definitions import load_families
from qwen_bench.probes.probe import LANGS
from qwen_bench.probes.selection import Selection, load_canary
from qwen_bench.probes.suites import build_suite

from .instances import EVERY, SPLITS, TASKS, family, forms, named, pair, told

GOLDENS = Path(__file__).parents[1] / "data/goldens/families"
NAMES = tuple(load_families(TASKS))
HOSTS = tuple(name for name in NAMES if family(name).group == name)
ROTATIONS = range(24)
# Families whose evidence the assistant says, wholly or in part.
SPOKEN_BY_THE_ASSISTANT = {
    "assistant_recall",
    "ellipsis",
    "false_history_resistance",
    "ordinal_ref",
    "speaker_attribution",
}
# Families whose twins swap words; the others say something else in one of the variants.
SWAPPING = set(HOSTS) - {"abstention", "ellipsis", "instruction_retention", "pronoun"}
# No candidate to place: the reply has a form, or the answer says which variant it is.
WITHOUT_PLACES = {"instruction_retention", "system_rule", "false_history_resistance"}
KEY_IN_NO_QUESTION = {"topic_return"}
EVERY_HOST = [(name, lang, split) for name in HOSTS for lang, split in EVERY]

in_every_host = pytest.mark.parametrize(("name", "lang", "split"), EVERY_HOST)


def instances(name, lang, split):
    return itertools.chain.from_iterable(pairs(name, lang, split))


def pairs(name, lang, split):
    for form, rotation in itertools.product(forms(name), ROTATIONS):
        yield pair(name, lang, split, rotation, **form)


def test_there_are_sixteen_families():
    assert len(NAMES) == 16
    assert set(NAMES) - set(HOSTS) == {"update_previous"}


class TestGoldens:
    @pytest.mark.parametrize("name", NAMES)
    def test_a_dialogue_in_both_languages_and_variants_reads_as_recorded(self, name, golden):
        golden(name, "dialogues", dialogues_of(name))

    @pytest.mark.parametrize("name", HOSTS)
    def test_each_form_names_its_candidates_in_the_recorded_messages_and_nowhere_else(
        self, name, golden
    ):
        golden(name, "named", messages_that_name_candidates(name))


@pytest.fixture
def golden(request):
    """`golden(name, part, found)`: compare a part of the golden file of a family, or write it."""

    def check(name, part, found):
        path = GOLDENS / f"{name}.yaml"
        if request.config.getoption("--rewrite-goldens"):
            known = yaml.safe_load(path.read_text("utf-8")) if path.exists() else {}
            whole = {"canary": load_canary(TASKS), **known, part: found}
            text = yaml.safe_dump(whole, allow_unicode=True, width=100, sort_keys=False)
            path.write_text(text, "utf-8")
        assert found
        assert yaml.safe_load(path.read_text("utf-8"))[part] == found

    return check


def dialogues_of(name):
    """The first dialogue of four turns that asks a family, by language and variant."""
    selection = Selection(families=(name,), conditions=("main",), lengths=(4,), limit=1)
    found = {}
    for dialogue in build_suite("full", selection).dialogues():
        key = f"{dialogue.lang} {dialogue.variant}"
        asked = [item for item in dialogue.probes if item.probe.family == name]
        if not asked or key in found:
            continue
        found[key] = {
            "chat": [{m.role: m.content} for m in asked[0].messages[:-1]],
            "asked": [
                {
                    "question": item.messages[-1].content,
                    "candidates": " | ".join(item.probe.candidates) or "none",
                    "answer": item.probe.gold,
                }
                for item in asked
            ],
        }
    assert sorted(found) == ["en A", "en B", "zh A", "zh B"]
    return found


def messages_that_name_candidates(name):
    """Per form and question: messages that name a candidate, one entry a mention, and the needs.

    A yes or no is no word to look for; there it is the values.
    """
    found = {}
    for lang, split in EVERY:
        for item in instances(name, lang, split):
            for question in item.instance.questions:
                yes_no = item.family.task.answer == "yesno"
                words = item.words.answers if yes_no else question.candidates
                mentions = " ".join(
                    side
                    for number, turn in enumerate(item.turns, start=1)
                    for role, text in zip(("user", "assistant"), turn, strict=True)
                    for side in [f"{role}-{number}"] * len(named(text, words, question.aliases))
                )
                needs = " ".join(str(turn + 1) for turn in question.needs)
                gold = "stated" if not question.gold_abstains else "never stated"
                form = f"{len(item.turns)} turns, {question.wording or question.name}, {gold}"
                found.setdefault(form, set()).add(f"{mentions or 'none'}; needs {needs or 'none'}")
    return {form: sorted(rows) for form, rows in found.items()}


@in_every_host
class TestTwins:
    def test_they_ask_the_same_and_the_answer_differs(self, name, lang, split):
        for a, b in pairs(name, lang, split):
            assert a.factors == b.factors
            assert a.phrasings == b.phrasings
            assert a.instance.barred == b.instance.barred
            assert len(a.turns) == len(b.turns)
            for one, two in zip(a.instance.questions, b.instance.questions, strict=True):
                assert one.gold != two.gold
                for same in ("name", "family", "wording", "context", "key_words", "rule", "needs"):
                    assert getattr(one, same) == getattr(two, same), same
                for same in ("candidates", "rank_candidates", "aliases", "abstain_phrase"):
                    assert getattr(one, same) == getattr(two, same), same

    def test_something_is_told_differently(self, name, lang, split):
        for a, b in pairs(name, lang, split):
            assert (a.system, a.turns) != (b.system, b.turns)


@pytest.mark.parametrize("name", sorted(SWAPPING))
@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_twins_that_swap_words_have_the_same_letters(name, lang, split):
    for a, b in pairs(name, lang, split):
        letters = [Counter("".join(itertools.chain(*item.turns)).casefold()) for item in (a, b)]
        assert letters[0] == letters[1]


@pytest.mark.parametrize("name", sorted(set(HOSTS) - SPOKEN_BY_THE_ASSISTANT))
@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_where_the_user_tells_everything_both_variants_get_the_same_replies(name, lang, split):
    for a, b in pairs(name, lang, split):
        assert a.replies == b.replies


@in_every_host
class TestQuestions:
    def test_the_gold_is_a_candidate_a_form_or_the_phrase_for_never_stated(self, name, lang, split):
        kind = family(name).task.answer
        for item in instances(name, lang, split):
            for question in item.instance.questions:
                if kind == "rule":
                    assert question.candidates == ()
                    assert question.gold in ("marked", "plain")
                elif kind == "set":
                    assert set(question.gold_items) < set(question.candidates)
                    assert question.gold in question.rank_candidates
                elif question.gold_abstains:
                    assert question.gold == question.abstain_phrase == item.words.abstain
                else:
                    assert question.gold in question.candidates

    def test_what_is_asked_about_is_named_in_a_turn_that_is_needed(self, name, lang, split):
        for item in instances(name, lang, split):
            for question in item.instance.questions:
                said = " ".join("\n".join(item.turns[turn]) for turn in question.needs).casefold()
                assert all(word.casefold() in said for word in question.key_words), said
                if name not in KEY_IN_NO_QUESTION and question.wording != "paraphrase":
                    asked = item.asked[question.name].casefold()
                    assert all(word.casefold() in asked for word in question.key_words), asked


@pytest.mark.parametrize("name", sorted(set(HOSTS) - {"false_history_resistance"}))
@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_every_phrasing_names_all_candidates_in_their_order_or_no_value(name, lang, split):
    """A false quote names a value on purpose."""
    for item in instances(name, lang, split):
        for question in item.instance.questions:
            words = question.candidates or item.words.answers
            for text in item.phrasings[question.name]:
                found = tuple(named(text, words, question.aliases))
                assert found in ((), question.candidates), text


@in_every_host
class TestBalance:
    def test_over_the_rotations_every_level_of_a_factor_occurs_equally_often(
        self, name, lang, split
    ):
        for form in forms(name):
            levels = {}
            for rotation in ROTATIONS:
                item = told(name, lang, split, "A", rotation, **form)
                for factor, level in item.factors.items():
                    levels.setdefault(factor, Counter())[level] += 1
            drawn_always = {f: counts for f, counts in levels.items() if counts.total() == 24}
            assert any(factor.startswith("question template") for factor in drawn_always)
            for factor, counts in drawn_always.items():
                assert max(counts.values()) - min(counts.values()) <= 1, factor


@pytest.mark.parametrize("variant", "AB")
@pytest.mark.parametrize("name", sorted(set(HOSTS) - WITHOUT_PLACES))
@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_the_first_question_has_its_gold_equally_often_at_each_place(name, lang, split, variant):
    for form in forms(name):
        asked = [
            told(name, lang, split, variant, rotation, **form).instance.questions[0]
            for rotation in ROTATIONS
        ]
        places = Counter(
            options.index(question.gold)
            for question in asked
            if not question.gold_abstains
            for options in [question.rank_candidates or question.candidates]
        )
        if (name, variant) == ("abstention", "B"):
            assert not places
            continue
        sizes = {len(question.rank_candidates or question.candidates) for question in asked}
        assert sizes == {len(places)}
        assert places.total() == 24
        assert max(places.values()) - min(places.values()) <= 1


@cache
def places_in_words(name, lang, split):
    """Where every string of a word file stands, as paths of keys and indices."""
    found = {}

    def walk(value, path):
        if isinstance(value, str):
            found.setdefault(value, set()).add(path)
        elif isinstance(value, dict):
            for key, item in value.items():
                walk(item, (*path, key))
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                walk(item, (*path, index))

    walk(tree_of(family(name).words[lang, split]), ())
    return found


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", HOSTS)
def test_both_languages_make_the_same_draws(name, split):
    """Each string of a fact is the same entry of both word files; of days, the same number."""
    compared = 0
    for form, rotation, variant in itertools.product(forms(name), ROTATIONS, "AB"):
        en, zh = (told(name, lang, split, variant, rotation, **form) for lang in LANGS)
        assert en.factors == zh.factors
        assert list(en.questions) == list(zh.questions)
        assert [q.needs for q in en.instance.questions] == [q.needs for q in zh.instance.questions]
        for one, two in zip(facts_of(en), facts_of(zh), strict=True):
            places = (
                places_in_words(name, "en", split).get(one),
                places_in_words(name, "zh", split).get(two),
            )
            if places == (None, None):
                assert re.findall(r"\d+", one) == re.findall(r"\d+", two)
            else:
                compared += 1
                assert places[0] & places[1], (one, two)
        for one, two in zip(en.instance.questions, zh.instance.questions, strict=True):
            options = [question.rank_candidates or question.candidates for question in (one, two)]
            if one.gold in options[0]:
                assert options[0].index(one.gold) == options[1].index(two.gold)
            else:
                assert (one.gold_abstains, one.rule is None) == (
                    two.gold_abstains,
                    two.rule is None,
                )
    assert compared


def facts_of(item):
    """All strings by which an instance says and asks its facts."""
    yield from strings_of(dict(item.instance.system_context))
    for evidence in item.instance.evidence:
        yield from strings_of(dict(evidence.context))
    for question in item.instance.questions:
        yield from strings_of(dict(question.context))
        yield from (*question.candidates, *question.key_words, *question.gold_items)


MISPRINTS = {
    "en": re.compile(
        r"\b(?!(?:had)\b)(\w+) \1\b"  # "if you had had your way" is right
        r"| [,.?!:;]|\.\.|,,|  |(?i:\bthe the\b)|(?<![.?!:]) The "
        r"|\b[Aa] [aeio]|\b[Aa] u(?!se)|\b[Aa]n [^aeiou]"
    ),
    "zh": re.compile(r"[，、：。；]{2}|[ ,.?!:;a-zA-Z]"),
}
# A rule may ask for the form of a program, and for a key in it.
LATIN = {"instruction_retention": r" ?JSON ?|“[a-z]+”"}


@in_every_host
class TestSentences:
    def test_they_begin_and_end_as_they_should_and_have_no_misprint(self, name, lang, split):
        for item in instances(name, lang, split):
            texts = [*itertools.chain(*item.turns), *itertools.chain(*item.phrasings.values())]
            for text in [*texts, item.system] if item.system else texts:
                if lang == "en":
                    assert text[0].isupper(), text
                    assert text.endswith((".", "?", "!", getattr(item.words, "abstain", "."))), text
                    assert not MISPRINTS[lang].search(text), text
                else:
                    chinese = re.sub(LATIN.get(name, "$^"), "", text)
                    assert text.endswith(("。", "？", "！")), text
                    assert not MISPRINTS[lang].search(chinese), text
