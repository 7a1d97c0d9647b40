"""What holds for every built-in family, and two dialogues of each as a model sees them.

The dialogues are in `tests/data/goldens/families`; after a change that is meant, write them again:

    python -m pytest tests/probes/test_every_family.py --rewrite-goldens
"""

import itertools
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from qwen_bench.audit.trees import strings_of, tree_of
from qwen_bench.probes.definitions import load_families
from qwen_bench.probes.probe import LANGS, LEVELS
from qwen_bench.probes.selection import Selection, load_canary
from qwen_bench.probes.suites import build_suite

from .instances import EVERY, TASKS, family, forms, mentions, named, pair, told

GOLDENS = Path(__file__).parents[1] / "data/goldens/families"
NAMES = tuple(load_families(TASKS))
HOSTS = tuple(name for name in NAMES if family(name).group == name)
RULES = {"instruction_retention", "system_rule"}
# So many that every pair of places of two golds occurs once.
ROTATIONS = range(12)
LOWEST, HIGHEST = 1, LEVELS
PASTED_FROM = 4
LONGEST = {"en": 1100, "zh": 420}
# Families whose evidence is pasted at every level, and how long it may be.
DOCUMENTS = {"document_recall"}
LONGEST_DOCUMENT = {"en": 7800, "zh": 2600}
# What a question offers to rank, the same at every level; four in all other families.
TO_RANK = {"temporal_order": 2, "false_history_resistance": 2, **dict.fromkeys(RULES, 0)}
# Families whose evidence the assistant says, wholly or in part.
SPOKEN_BY_THE_ASSISTANT = {
    *("assistant_recall", "ellipsis", "false_history_resistance"),
    *("ordinal_ref", "own_output", "speaker_attribution"),
}
# The question offers what may be answered; the history decides without naming it.
OFFERED_IN_THE_QUESTION = {"preference_use"}
# Its questions name no plan: "the first one", "the last but one".
NAMES_NO_KEY = {"topic_return"}


def test_there_are_nineteen_families():
    assert len(NAMES) == 19
    assert set(NAMES) - set(HOSTS) == {"update_previous"}


@pytest.mark.parametrize("name", NAMES)
def test_a_family_has_five_rising_levels_and_says_what_is_counted(name):
    task = family(name).task

    assert len(task.levels) == LEVELS
    assert sorted(set(task.levels)) == task.levels
    assert task.items != "items"
    assert task.evidence_turns == (0 if name == "system_rule" else task.evidence_turns) <= 2


@pytest.mark.parametrize("name", NAMES)
def test_dialogues_of_the_lowest_and_the_highest_level_read_as_recorded(name, request):
    path, found = GOLDENS / f"{name}.yaml", dialogues_of(name)
    if request.config.getoption("--rewrite-goldens"):
        whole = {"canary": load_canary(TASKS), **found}
        path.write_text(yaml.safe_dump(whole, allow_unicode=True, width=100, sort_keys=False))

    assert {**found, "canary": load_canary(TASKS)} == yaml.safe_load(path.read_text("utf-8"))


def dialogues_of(name):
    """The first dialogue of four turns of either level, by language and variant, briefly told.

    Of variant B those messages stand there that are not as in A.
    """
    levels = (LOWEST, HIGHEST)
    selection = Selection(families=(name,), conditions=("main",), lengths=(4,), levels=levels)
    suite = build_suite("full", selection)
    suite = replace(suite, sources=replace(suite.sources, pace="brief"))
    found = {}
    for dialogue in suite.dialogues():
        for item in dialogue.probes:
            key = f"level {item.probe.level}, {dialogue.lang}, {dialogue.variant}"
            asked = {
                "question": item.messages[-1].content,
                "to rank": " | ".join(item.probe.rank_candidates) or "none",
                "answer": item.probe.gold,
            }
            chat = [{m.role: m.content} for m in item.messages[:-1]]
            found.setdefault(key, {"chat": chat, "asked": []})
            if found[key]["chat"] == chat:
                found[key]["asked"].append(asked)
        if len(found) == len(levels) * len(LANGS) * 2:
            break
    assert len(found) == len(levels) * len(LANGS) * 2
    for key, of_b in found.items():
        if key.endswith("B"):
            of_a = found[f"{key[:-1]}A"]["chat"]
            same = [one == two for one, two in zip(of_a, of_b["chat"], strict=True)]
            of_b["chat"] = [
                "as in A" if known else message
                for known, message in zip(same, of_b["chat"], strict=True)
            ]
    return dict(sorted(found.items()))


@pytest.fixture(
    scope="module",
    params=[(name, lang, split) for name in HOSTS for lang, split in EVERY],
    ids=" ".join,
)
def section(request):
    """Family, language and split of instances; tests of one follow each other."""
    return request.param


@pytest.fixture(scope="module")
def twins(section):
    """Both variants of instances in every form."""
    name, lang, split = section
    return [
        pair(name, lang, split, rotation, **form)
        for form, rotation in itertools.product(forms(), ROTATIONS)
    ]


@pytest.fixture(scope="module")
def instances(twins):
    return [*itertools.chain.from_iterable(twins)]


def asked_of(items):
    return [(item, question) for item in items for question in item.instance.questions]


def level_of(number):
    """Level of a twin pair by its number."""
    return forms()[number // len(ROTATIONS)]["level"]


def is_pasted(name, level):
    return level >= PASTED_FROM or name in DOCUMENTS


def longest(name, lang):
    """Characters that a turn of evidence may have."""
    return (LONGEST_DOCUMENT if name in DOCUMENTS else LONGEST)[lang]


class TestTwins:
    def test_they_ask_the_same_and_the_answer_differs(self, twins):
        for a, b in twins:
            assert a.factors == b.factors
            assert a.asked == b.asked
            assert a.instance.barred == b.instance.barred
            for one, two in zip(a.instance.questions, b.instance.questions, strict=True):
                assert one.gold != two.gold or one.rule != two.rule
                for same in ("name", "family", "templates", "context", "key_words", "needs"):
                    assert getattr(one, same) == getattr(two, same), same
                for same in ("candidates", "rank_candidates", "aliases", "abstain_phrase", "forms"):
                    assert getattr(one, same) == getattr(two, same), same

    def test_what_is_needed_is_told_differently(self, twins):
        for a, b in twins:
            for question in a.instance.questions:
                needs = question.needs or range(len(a.turns))
                changed = [number for number in needs if a.turns[number] != b.turns[number]]
                assert changed or a.system != b.system

    def test_they_are_about_equally_long(self, section, twins):
        for a, b in twins:
            one, two = (
                sum(map(len, (item.system, *itertools.chain(*item.turns)))) for item in (a, b)
            )
            # Beside a request and its answer, this is five percent of the prompt.
            assert abs(one - two) <= max(0.05 * max(one, two), 30 if section[1] == "en" else 12)

    def test_where_the_user_tells_everything_both_get_the_same_replies(self, section, twins):
        for a, b in twins:
            assert a.replies == b.replies or section[0] in SPOKEN_BY_THE_ASSISTANT


class TestForms:
    def test_the_number_of_evidence_turns_is_that_of_the_family(self, section, instances):
        turns = family(section[0]).task.evidence_turns

        assert all(len(item.turns) == turns for item in instances)

    def test_low_levels_are_told_and_high_levels_pasted_whatever_else(self, section, twins):
        for number, both in enumerate(twins):
            for item in both:
                told_or_pasted = "\n".join(item.users + item.replies) or item.system
                lines = [text for turn in item.turns for text in turn if "\n" in text]
                pasted = bool(lines) or "\n" in item.system
                assert pasted is is_pasted(section[0], level_of(number)), told_or_pasted
                assert max(map(len, (item.system, *item.users))) <= longest(*section[:2])

    def test_the_wording_decides_the_templates(self, section, twins):
        for number, both in enumerate(twins):
            wording = forms()[number // len(ROTATIONS)]["wording"]
            for _, question in asked_of(both):
                if section[0] in NAMES_NO_KEY:
                    assert question.templates is None
                else:
                    assert question.templates.rpartition("_")[2] == wording


class TestQuestions:
    def test_as_many_candidates_are_ranked_at_every_level(self, section, instances):
        for item, question in asked_of(instances):
            ranked = question.rank_candidates
            assert len(set(ranked)) == len(ranked) == TO_RANK.get(section[0], 4)
            if ranked and item.family.task.answer != "set":
                assert set(ranked) <= {*question.candidates, question.abstain_phrase}

    def test_every_value_of_the_history_is_a_candidate(self, section, instances):
        if section[0] in {*RULES, "false_history_resistance", "temporal_order"}:
            assert all(question.candidates for _, question in asked_of(instances))
            return
        for item, question in asked_of(instances):
            values = {*item.words.answers} - {*question.candidates}
            assert not named(" ".join(itertools.chain(*item.turns)), values)

    def test_the_gold_can_be_ranked_or_is_the_form_of_a_rule(self, section, instances):
        for item, question in asked_of(instances):
            if section[0] in RULES:
                assert question.rule in question.forms
                assert question.content in question.candidates
            else:
                assert question.gold in question.rank_candidates
            if question.gold_abstains:
                assert question.gold == question.abstain_phrase == item.words.abstain

    def test_the_needed_turns_tell_the_gold(self, section, instances):
        """A yes, and "you" for the assistant, are no words of the text; a rule is its marks."""
        for item, question in asked_of(instances):
            needs = question.needs or range(len(item.turns))
            said = "\n".join((item.system, *(text for n in needs for text in item.turns[n])))
            labels = tree_of(getattr(item.words, "labels", {})).values()
            if section[0] in RULES:
                assert all(mark in said for mark in question.rule.marks)
            elif item.family.task.answer == "yesno":
                assert named(said, [question.context["value"]])
            elif section[0] in OFFERED_IN_THE_QUESTION:
                assert not named(said, question.candidates)
                assert named(item.asked[question.name], [question.gold])
            elif question.gold in labels:
                assert named(said, [question.context["item"]["say"]])
            elif not question.gold_abstains:
                golds = question.gold_items or (question.gold,)
                assert set(named(said, golds, question.aliases)) == {*golds}

    def test_what_is_asked_about_is_named_in_a_turn_that_is_needed(self, instances):
        for item, question in asked_of(instances):
            needs = question.needs or range(len(item.turns))
            said = "\n".join((item.system, *(text for n in needs for text in item.turns[n])))
            assert question.key_words
            assert {*named(said, question.key_words)} == {*question.key_words}, said

    def test_the_lexical_question_names_it_and_the_paraphrase_does_not(self, section, twins):
        for number, (item, _) in enumerate(twins):
            lexical = forms()[number // len(ROTATIONS)]["wording"] == "lexical"
            for question in item.instance.questions:
                found = [
                    bool(mentions(text, [word]))
                    for text in item.phrasings[question.name]
                    for word in question.key_words
                ]
                if section[0] in NAMES_NO_KEY:
                    assert not any(found)
                elif lexical:
                    assert all(found), item.phrasings
                elif section[0] != "temporal_order":  # Its answers are its keys.
                    assert not any(found), item.phrasings

    def test_a_phrasing_names_all_that_is_offered_in_its_order_or_no_value(self, twins):
        """A false quote names a value on purpose."""
        for item, question in asked_of(a for a, _ in twins):
            words = question.candidates
            if item.family.task.answer == "yesno":
                words = {*item.words.answers} - {question.context["value"]}
            for text in item.phrasings[question.name]:
                found = tuple(named(text, words, question.aliases))
                assert found in ((), question.rank_candidates), text


class TestBalance:
    def test_every_value_of_a_factor_occurs_equally_often(self, section):
        name, lang, split = section
        for form in forms():
            values = {}
            for rotation in ROTATIONS:
                item = told(name, lang, split, "A", rotation, **form)
                for factor, value in item.factors.items():
                    values.setdefault(factor, Counter())[value] += 1
            always = {f: counts for f, counts in values.items() if counts.total() == len(ROTATIONS)}
            assert any(factor.startswith("question template") for factor in always)
            for factor, counts in always.items():
                assert max(counts.values()) - min(counts.values()) <= 1, factor

    @pytest.mark.parametrize("variant", "AB")
    def test_the_gold_stands_equally_often_at_each_place_to_rank(self, section, variant):
        name, lang, split = section
        for form in forms():
            asked = [
                told(name, lang, split, variant, rotation, **form).instance.questions[0]
                for rotation in ROTATIONS
            ]
            places = Counter(
                question.rank_candidates.index(question.gold)
                for question in asked
                if question.rank_candidates and name != "false_history_resistance"
            )
            offered = 0 if name == "false_history_resistance" else TO_RANK.get(name, 4)
            assert places == dict.fromkeys(range(offered), len(ROTATIONS) // (offered or 1))


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


@pytest.mark.parametrize("split", ["eval", "train"])
@pytest.mark.parametrize("name", HOSTS)
def test_both_languages_make_the_same_draws(name, split):
    """Each string of a fact is the same entry of both word files; of days, the same number."""
    words = {lang: places_in_words(name, lang, split) for lang in LANGS}
    compared = 0
    for form, rotation, variant in itertools.product(forms(), range(3), "AB"):
        en, zh = (told(name, lang, split, variant, rotation, **form) for lang in LANGS)
        assert en.factors == zh.factors
        assert list(en.questions) == list(zh.questions)
        for one, two in zip(en.instance.questions, zh.instance.questions, strict=True):
            assert one.needs == two.needs
            assert one.templates == two.templates
            assert (one.gold_abstains, one.rule is None) == (two.gold_abstains, two.rule is None)
            if one.rank_candidates:
                assert one.rank_candidates.index(one.gold) == two.rank_candidates.index(two.gold)
        for one, two in zip(facts_of(en), facts_of(zh), strict=True):
            places = words["en"].get(one), words["zh"].get(two)
            if None not in places:
                compared += 1
                assert places[0] & places[1], (one, two)
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
        r"\b(?!(?:had|that)\b)(\w+) \1\b"  # "if you had had your way" is right
        r"| [,!;]| \.(?!\.\.)|(?<!:) \?|(?<!\.)\.\.(?!\.)|,,|  |(?i:\bthe the\b)"
        r"|\b[Aa] [aeio](?!ne)|\b[Aa]n [bcdfgjklmnpqrstvwxz]"
    ),
    "zh": re.compile(r"[，、：。；]{2}|[,?!;]"),
}


def test_no_text_has_a_misprint_and_every_question_ends_as_it_should(section, instances):
    _, lang, _ = section
    ends = {"en": (".", "?", "!", "”", '"'), "zh": ("。", "？", "！", "”")}[lang]
    for item in instances:
        asked = [*item.asked.values()]
        abstain = getattr(item.words, "abstain", ends[0])
        assert all(text.endswith((*ends, abstain)) for text in asked), asked
        for text in (*asked, *itertools.chain(*item.turns), item.system):
            assert not MISPRINTS[lang].search(text), text
            assert all(line == line.rstrip() for line in text.split("\n")), text


def test_a_lure_has_the_turns_and_the_form_of_evidence_of_its_level():
    for name, lang, level in itertools.product(HOSTS, LANGS, range(LOWEST, HIGHEST + 1)):
        if lang not in family(name).lures:
            assert family(name).task.evidence_turns == 0
            continue
        for rotation, variant in itertools.product(range(4), "AB"):
            lure = told(name, lang, "lures", variant, rotation, level=level)
            texts = [*itertools.chain(*lure.turns)]
            assert len(lure.turns) == family(name).task.evidence_turns
            assert any("\n" in text for text in texts) is is_pasted(name, level)
            assert max(map(len, lure.users)) <= longest(name, lang)
