"""Surface forms of whole numbers in both languages, for candidates that are plain numbers.

Forms are generated, texts are never converted (probe specification, section 6.2).
"""

from __future__ import annotations

# Words of 0 to 19, and of the tens from twenty on.
ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMERALS = "零一二三四五六七八九"
_LARGEST = 999_999


def number_forms(number: int) -> tuple[str, ...]:
    """Forms of a whole number in both languages: grouped digits, words, numerals.

    Args:
        number: from 0; above 999,999 only digits are made.

    >>> number_forms(1250)[:2]
    ('1250', '1,250')
    >>> number_forms(45)
    ('45', 'forty five', '四十五')
    """
    found = [str(number)]
    if number > 999:
        found.append(f"{number:,}")
    if number > _LARGEST:
        return tuple(found)
    words = _words(number)
    found += [words, words.replace(" and ", " ")]
    if words.startswith(("one hundred", "one thousand")):
        found += ["a" + said.removeprefix("one") for said in found[-2:]]
    if number in (100, 1000):
        found.append(words.removeprefix("one "))
    numeral = chinese_numeral(number)
    found += [
        numeral,
        numeral.replace("二百", "两百").replace("二千", "两千").replace("二万", "两万"),
    ]
    if number == 2:
        found.append("两")
    found += _short_numerals(number, numeral)
    return tuple(dict.fromkeys(found))


def _words(number: int) -> str:
    """English words of 0 to 999,999, without hyphens."""
    if number < len(ONES):
        return ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens - 2] + (f" {ONES[ones]}" if ones else "")
    large, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    count, rest = divmod(number, large)
    joined = " and " if rest < 100 else " "
    return f"{_words(count)} {name}" + (f"{joined}{_words(rest)}" if rest else "")


def _short_numerals(number: int, numeral: str) -> list[str]:
    """How longer numbers are said for short: digit by digit, or without the last unit (一千五)."""
    if number < 100:
        return ["廿" + numeral.removeprefix("二十")] if 20 <= number < 30 else []
    digits = "".join(NUMERALS[int(digit)] for digit in str(number))
    found = [digits, digits.replace("零", "〇")]
    rest = str(number).rstrip("0")
    if len(rest) == 2 and len(str(number)) > 2:
        found.append(numeral[:-1])
    return found


def chinese_numeral(number: int) -> str:
    """Chinese numeral of 0 to 999,999; 10 to 19 begin with 十."""
    if number >= 10_000:
        high, rest = divmod(number, 10_000)
        zero = "零" if 0 < rest < 1000 else ""
        return f"{chinese_numeral(high)}万{zero}{chinese_numeral(rest) if rest else ''}"
    if number == 0:
        return "零"
    said = ""
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // unit % 10
        if digit:
            said += NUMERALS[digit] + name
        elif said and not said.endswith("零") and number % unit:
            said += "零"
    return said.removeprefix("一") if 10 <= number < 20 else said
