"""Every usual spelling of a day is recognised, and no day is found inside another."""

import itertools

import pytest

from qwen_bench.probes.date_forms import date_forms, day_forms
from qwen_bench.probes.probe import LANGS
from qwen_bench.scoring.mentions import find_mentions
from qwen_bench.scoring.normalise import normalise

DAYS = range(1, 32)
WRITTEN = {
    "en": ("{}", "On {}.", "{}, I think", "({})", "it was {}!"),
    "zh": ("{}", "是{}。", "我选的是{}", "（{}）", "那天，{}吧"),
}


def named(text, forms):
    found = find_mentions(
        normalise(text).text, [f[0] for f in forms], {f[0]: tuple(f[1:]) for f in forms}
    )
    return {mention.candidate for mention in found}


def test_the_forms_of_the_specification_are_there():
    assert {"12", "12th", "the 12th", "twelfth"} <= set(day_forms(12, "en"))
    assert {"12号", "12日", "十二号", "十二日"} <= set(day_forms(12, "zh"))
    assert {"March 5", "5 March", "March 5th"} <= set(date_forms(3, 5, "en"))
    assert {"3月5日", "3月5号", "三月五日", "三月五号"} <= set(date_forms(3, 5, "zh"))


@pytest.mark.parametrize(
    ("day", "ordinal", "word", "numeral"),
    [
        (1, "1st", "first", "一"),
        (3, "3rd", "third", "三"),
        (10, "10th", "tenth", "十"),
        (11, "11th", "eleventh", "十一"),
        (13, "13th", "thirteenth", "十三"),
        (20, "20th", "twentieth", "二十"),
        (22, "22nd", "twenty-second", "二十二"),
        (31, "31st", "thirty-first", "三十一"),
    ],
)
def test_ordinals_and_numerals_are_spelled_right(day, ordinal, word, numeral):
    assert day_forms(day, "en")[0] == ordinal
    assert word in day_forms(day, "en")
    assert f"{numeral}号" in day_forms(day, "zh")


@pytest.mark.parametrize("lang", LANGS)
def test_no_two_days_share_a_form(lang):
    forms = [form for day in DAYS for form in day_forms(day, lang)]
    assert len(set(forms)) == len(forms)


@pytest.mark.parametrize("lang", LANGS)
def test_every_form_in_a_sentence_names_its_own_day_only(lang):
    for day, other in itertools.permutations(range(5, 29), 2):
        if day % 10 == other % 10:
            continue
        both = (day_forms(day, lang), day_forms(other, lang))
        for form in both[0]:
            for frame in WRITTEN[lang][:2]:
                assert named(frame.format(form), both) == {both[0][0]}, form


def test_a_day_is_not_found_inside_a_longer_one():
    for day in (15, 25):
        for lang in LANGS:
            digits_or_numerals = [f for f in day_forms(day, lang) if " " not in f and "-" not in f]
            for form in digits_or_numerals:
                assert not named(form, (day_forms(5, lang),)), form
    assert not named("二十一号", (day_forms(11, "zh"), day_forms(1, "zh")))
    assert not named("三月十五日", (date_forms(3, 5, "zh"),))


@pytest.mark.parametrize("lang", LANGS)
def test_every_form_of_a_date_names_it(lang):
    both = (date_forms(3, 5, lang), date_forms(3, 15, lang))
    for forms, frame in itertools.product(both, WRITTEN[lang]):
        for form in forms:
            assert named(frame.format(form), both) == {forms[0]}, form


@pytest.mark.parametrize(("month", "day"), [(0, 5), (13, 5), (3, 0), (3, 32)])
def test_a_day_that_no_calendar_has_is_an_error(month, day):
    with pytest.raises(ValueError, match="is no"):
        date_forms(month, day, "en")
