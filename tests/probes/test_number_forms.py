"""Every usual spelling of a whole number, in digits, words and numerals."""

import itertools

import pytest

from qwen_bench.probes.number_forms import chinese_numeral, number_forms


@pytest.mark.parametrize(
    ("number", "forms"),
    [
        (0, {"0", "zero", "零"}),
        (2, {"two", "二", "两"}),
        (12, {"12", "twelve", "十二"}),
        (26, {"twenty six", "二十六", "廿六"}),
        (45, {"forty five", "四十五"}),
        (100, {"one hundred", "a hundred", "hundred", "一百"}),
        (110, {"one hundred and ten", "a hundred ten", "一百一十"}),
        (150, {"一百五"}),
        (205, {"two hundred and five", "二百零五", "两百零五", "二零五", "二〇五"}),
        (1000, {"1,000", "a thousand", "thousand", "一千"}),
        (1250, {"1,250", "one thousand two hundred and fifty", "一千二百五十"}),
        (1500, {"一千五百", "一千五"}),
        (2030, {"two thousand and thirty", "两千零三十"}),
        (15000, {"15,000", "fifteen thousand", "一万五千", "一万五"}),
        (20_030, {"两万零三十"}),
        (1_000_000, {"1,000,000"}),
    ],
)
def test_the_usual_forms_of_a_number_are_there(number, forms):
    assert forms <= set(number_forms(number))
    assert number_forms(number)[0] == str(number)


def test_no_two_numbers_share_a_form():
    numbers = (*range(300), *range(300, 20_000, 37))
    forms = {number: set(number_forms(number)) for number in numbers}

    for one, other in itertools.pairwise(numbers):
        assert not forms[one] & forms[other], (one, other)
    together = list(itertools.chain.from_iterable(forms.values()))
    assert len(together) == len(set(together))


@pytest.mark.parametrize(
    ("number", "numeral"), [(10, "十"), (11, "十一"), (30, "三十"), (1010, "一千零一十")]
)
def test_numerals_are_spelled_right(number, numeral):
    assert chinese_numeral(number) == numeral
