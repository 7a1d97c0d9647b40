"""A follow-up inherits the predicate last asked about its list (specification 4.6)."""

import itertools
import re
from collections import Counter

import pytest

from qwen_bench.probes.probe import LANGS, LEVELS

from .instances import EVERY, SPLITS, family, forms, named, pair
from .shortcut_scores import right

NAME = "ellipsis"
BLOCK = 10
MANY = 80
SECTIONS = [*EVERY, *((lang, "lures") for lang in LANGS)]
PAIRS = [
    pair(NAME, lang, split, rotation, **form)
    for lang, split in EVERY
    for form in forms()
    for rotation in range(BLOCK)
]
ALL = list(itertools.chain(*PAIRS))


def words_of(lang, section):
    host = family(NAME)
    return host.lures[lang] if section == "lures" else host.words[lang, section]


def in_order(text, words):
    """The words that a text holds, in its order."""
    text = text.casefold()
    return sorted(
        (w for w in words if w.casefold() in text), key=lambda w: text.index(w.casefold())
    )


def asked_about(item):
    """What the second turn asks about which list, in its order."""
    cue, words = item.users[1], item.words
    lists = in_order(cue, [thread.back for thread in words.threads])
    roles = in_order(cue, [role.who for role in words.roles])
    return list(zip(lists, roles, strict=True))


def table_of(item):
    """The first turn as a reader takes it: value by stop and duty."""
    text, words = item.users[0], item.words
    stops = in_order(text, words.cities)
    duties = in_order(text, [role.does for role in words.roles])
    values = named(text, item.question.candidates)
    places = list(itertools.product(stops, duties))
    if re.search(rf"\| {stops[0]} \| {stops[1]} \|", text):
        places = [(stop, duty) for duty, stop in itertools.product(duties, stops)]
    return dict(zip(places, values, strict=True))


def read(item):
    """The answer of a reader: the stop not asked about, and the duty asked about this list."""
    (question,) = item.asked.values()
    words = item.words
    (back,) = [
        thread.back
        for thread in words.threads
        if any(f.casefold() in question.casefold() for f in (thread.back, thread.ask))
    ]
    who = dict(asked_about(item))[back]
    (duty,) = [role.does for role in words.roles if role.who == who]
    table = table_of(item)
    (asked,) = {stop for stop, _ in table} - set(in_order(item.users[1], words.cities))
    return table[asked, duty]


def test_a_reader_of_both_turns_finds_every_gold():
    for item in ALL:
        assert read(item) == item.question.gold, (item.users, item.asked)


@pytest.mark.parametrize("level", range(1, LEVELS + 1))
def test_a_level_asks_as_many_questions_at_once_each_about_a_list_and_a_duty_of_its_own(level):
    n = family(NAME).task.levels[level - 1]
    for lang, split in EVERY:
        for rotation in range(BLOCK):
            for item in pair(NAME, lang, split, rotation, level=level):
                asked = asked_about(item)
                assert len(asked) == len(set(dict(asked).values())) == n
                assert len(table_of(item)) == 2 * max(n, 2)


def test_the_last_duty_asked_about_is_another_lists_when_there_are_several():
    for item in ALL:
        asked = asked_about(item)
        back = item.question.context["thread"]["back"]
        assert (asked[-1][0] != back) is (len(asked) > 1)


def test_the_question_about_the_list_stands_at_every_place_but_the_last():
    places = Counter(
        [back for back, _ in asked_about(item)].index(item.question.context["thread"]["back"])
        for rotation in range(MANY)
        for item in pair(NAME, "en", "eval", rotation, level=5)
    )

    assert set(places) == {0, 1, 2, 3}
    assert max(places.values()) == min(places.values())


def test_evidence_is_told_up_to_level_3_and_pasted_from_level_4():
    for lang, section in SECTIONS:
        for level in range(1, LEVELS + 1):
            for rotation in range(BLOCK):
                for item in pair(NAME, lang, section, rotation, level=level):
                    assert len(item.turns) == 2
                    assert (item.users[0].count("\n") > 5) is (level >= 4), item.users
                    assert "\n" not in item.users[1]


def test_the_evidence_of_level_5_fits_its_size():
    sizes = Counter()
    for lang, section in SECTIONS:
        for rotation in range(BLOCK):
            for item in pair(NAME, lang, section, rotation, level=5):
                sizes[lang] = max(sizes[lang], *map(len, item.users))
    assert sizes["en"] < 1100
    assert sizes["zh"] < 420


def test_twins_differ_in_the_second_turn_only():
    for a, b in PAIRS:
        assert a.turns[0] == b.turns[0]
        assert a.users[1] != b.users[1]
        assert sorted(r for _, r in asked_about(a)) == sorted(r for _, r in asked_about(b)) or (
            len(asked_about(a)) == 1
        )
        assert a.asked == b.asked
        assert a.question.candidates == b.question.candidates
        assert a.question.rank_candidates == b.question.rank_candidates
        assert a.question.gold != b.question.gold
        one, two = (sum(map(len, (*item.users, *item.replies))) for item in (a, b))
        assert abs(one - two) <= 20


def test_four_values_of_the_list_are_ranked_those_of_the_asked_stop_first():
    for a, b in PAIRS:
        ranked = set(a.question.rank_candidates)
        table = table_of(a)
        at_stop = {v for (stop, _), v in table.items() if stop == a.question.context["city"]}
        assert len(ranked) == 4
        assert {a.question.gold, b.question.gold} <= ranked <= set(table.values())
        assert len(ranked & at_stop) == min(4, len(at_stop))
        assert set(a.question.candidates) == set(table.values())


def test_the_reply_answers_for_the_stop_that_was_asked_about_and_never_names_the_gold():
    for item in ALL:
        answered = named(item.replies[1], item.question.candidates)
        (cued,) = in_order(item.users[1], item.words.cities)
        who = dict(asked_about(item))[item.question.context["thread"]["back"]]
        (duty,) = [role.does for role in item.words.roles if role.who == who]
        assert answered == [table_of(item)[cued, duty]]
        assert cued in item.replies[1]
        assert item.question.gold not in answered
        assert not named(item.replies[0], item.words.answers)


def test_a_question_names_no_duty_and_no_value():
    for item in ALL:
        for asked in item.phrasings["inherited"]:
            assert not named(asked, item.words.answers)
            assert not [r for r in item.words.roles if r.does in asked or r.who in asked]


def test_lexical_questions_name_list_and_stop_and_paraphrases_neither():
    for item in ALL:
        context = item.question.context
        lexical = item.question.templates == "lexical"
        for asked in item.phrasings["inherited"]:
            assert (context["thread"]["back"].casefold() in asked.casefold()) is lexical
            assert (context["city"] in asked) is lexical


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_a_described_list_shares_no_content_word_with_its_name(lang, split):
    for thread in family(NAME).words[lang, split].threads:
        if lang == "zh":
            said, asked = (
                {text[i : i + 2] for i in range(len(text) - 1)}
                for text in (thread.back, thread.ask)
            )
        else:
            said, asked = (
                set(re.findall(r"[a-z]+", text)) - {"the"}
                for text in (f"{thread.say} {thread.back}", thread.ask)
            )
        assert not said & asked, thread


@pytest.mark.parametrize("level", range(1, LEVELS + 1))
def test_every_stop_and_duty_is_asked_for_equally_often(level):
    n = max(family(NAME).task.levels[level - 1], 2)
    places = Counter(
        list(table_of(item).values()).index(item.question.gold)
        for rotation in range(MANY)
        for item in pair(NAME, "zh", "eval", rotation, level=level)
    )

    assert set(places) == set(range(2 * n))
    assert max(places.values()) <= 2.5 * min(places.values())


@pytest.mark.parametrize("solver", family(NAME).task.shortcuts)
def test_a_solver_without_memory_never_has_both_twins_right(solver):
    for lang in LANGS:
        for level in (1, 3, 5):
            assert not any(all(pair.values()) for pair in right(NAME, solver, lang, level))


@pytest.mark.parametrize(("lang", "split"), EVERY)
def test_lists_are_long_enough(lang, split):
    words = family(NAME).words[lang, split]

    assert len(words.values.f) == len(words.values.m) >= 24
    assert len(set(words.answers)) == len(words.answers)
    assert len(set(words.keys)) >= 20


@pytest.mark.parametrize("lang", LANGS)
def test_lures_have_words_for_the_highest_level(lang):
    lures, most = family(NAME).lures[lang], family(NAME).task.levels[-1]

    assert len(set(lures.answers)) >= 24
    assert len(set(lures.keys)) >= 20
    assert len(lures.threads) >= most
    assert len(lures.roles) >= most


@pytest.mark.parametrize(("lang", "section"), SECTIONS)
def test_every_form_has_four_templates_and_three_replies(lang, section):
    words = words_of(lang, section)

    for found in (words.evidence, words.pasted, words.cues):
        assert len(found) >= 4
        assert all(len(set(template.assistant)) >= 3 for template in found)


@pytest.mark.parametrize("section", [*SPLITS, "lures"])
def test_both_languages_have_lists_of_equal_lengths(section):
    def shape(value):
        if isinstance(value, dict):
            return {key: shape(item) for key, item in value.items()}
        return [len(value), *map(shape, value)] if isinstance(value, list) else None

    en, zh = (shape(words_of(lang, section).model_dump()) for lang in LANGS)
    assert en == zh


@pytest.mark.parametrize("lang", LANGS)
def test_eval_train_and_lures_share_no_value_and_no_key(lang):
    found = [words_of(lang, section) for section in (*SPLITS, "lures")]

    for one, two in itertools.combinations(found, 2):
        assert not {*one.answers, *one.keys} & {*two.answers, *two.keys}
        assert not {r.does for r in one.roles} & {r.does for r in two.roles}


@pytest.mark.parametrize("section", [*SPLITS, "lures"])
def test_chinese_names_of_a_list_share_no_character_and_surnames_differ(section):
    names = words_of("zh", section).values.all
    given = Counter("".join(name[1:] for name in names))

    assert max(given.values()) == 1, given.most_common(3)
    assert all(len(name) == 3 for name in names)
    assert len({name[0] for name in names}) == len(names)
    assert not set("一二三四两几厅室号个天日月年") & set("".join(names))


@pytest.mark.parametrize("section", [*SPLITS, "lures"])
def test_english_names_begin_with_the_letter_of_their_list(section):
    letter = {"eval": "R", "train": "S", "lures": "T"}[section]

    assert {name[0] for name in words_of("en", section).values.all} == {letter}
