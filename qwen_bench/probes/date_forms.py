"""Surface forms of days and dates in both languages, so that any usual spelling is recognised.

Forms are generated here; texts are never converted, since a general conversion of Chinese numerals
would damage names (probe specification, section 6.2). The first form of each list is the one that
evidence and golds use.
"""

from __future__ import annotations

from qwen_bench.probes.number_forms import TENS, chinese_numeral
from qwen_bench.probes.probe import Lang

ORDINALS = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"),
    *("tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth"),
    *("seventeenth", "eighteenth", "nineteenth", "twentieth"),
)
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_MARKS = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}


def day_forms(day: int, lang: Lang) -> tuple[str, ...]:
    """Forms of a day of the month, the canonical one first.

    Args:
        day: 1 to 31.
        lang: language of the forms.

    Raises:
        ValueError: no such day.

    >>> day_forms(12, "en")
    ('12th', '12', 'the 12th', 'twelfth', 'the twelfth')
    >>> day_forms(12, "zh")
    ('12号', '12日', '12 号', '12 日', '十二号', '十二日', '12', '十二')
    """
    _check(day, 31, "day of a month")
    if lang == "en":
        ordinal, word = f"{day}{_MARKS.get(day, 'th')}", _ordinal(day)
        return (ordinal, str(day), f"the {ordinal}", word, f"the {word}")
    numeral = chinese_numeral(day)
    marked = (f"{day}号", f"{day}日", f"{day} 号", f"{day} 日", f"{numeral}号", f"{numeral}日")
    return (*marked, str(day), numeral)


def date_forms(month: int, day: int, lang: Lang) -> tuple[str, ...]:
    """Forms of a day of a named month, the canonical one first.

    Args:
        month: 1 to 12.
        day: 1 to 31; whether the month has so many days is not checked.
        lang: language of the forms.

    Raises:
        ValueError: no such month or day.

    >>> date_forms(3, 5, "en")[:3]
    ('March 5', '5 March', 'March 5th')
    >>> date_forms(3, 5, "zh")[:4]
    ('3月5日', '3月5号', '三月五日', '三月五号')
    """
    _check(month, 12, "month")
    _check(day, 31, "day of a month")
    if lang == "en":
        name, ordinal = _MONTHS[month - 1], f"{day}{_MARKS.get(day, 'th')}"
        word = _ordinal(day)
        return (
            f"{name} {day}",
            f"{day} {name}",
            *(f"{name} {said}" for said in (ordinal, f"the {ordinal}", word, f"the {word}")),
            *(f"{said} {name}" for said in (ordinal, f"{ordinal} of", word, f"{word} of")),
            *(f"{short} {said}" for short in _short(name) for said in (day, ordinal)),
            *(f"{said} {short}" for short in _short(name) for said in (day, ordinal)),
            f"{month:02} {day:02}",
            # Of 3/5 nobody can tell which is the month.
            *((f"{month}/{day}", f"{day}/{month}") if day > 12 or day == month else ()),
        )
    chinese = f"{chinese_numeral(month)}月{chinese_numeral(day)}"
    return (
        f"{month}月{day}日",
        f"{month}月{day}号",
        f"{chinese}日",
        f"{chinese}号",
        f"{month} 月 {day} 日",
        f"{month} 月 {day} 号",
        f"{month:02}月{day:02}日",
        f"{month}/{day}",
        f"{month:02} {day:02}",
    )


def _check(number: int, most: int, what: str) -> None:
    if not 1 <= number <= most:
        raise ValueError(f"{number} is no {what}: 1 to {most}")


def _ordinal(number: int) -> str:
    """English ordinal word of 1 to 39."""
    if number <= len(ORDINALS):
        return ORDINALS[number - 1]
    tens, ones = divmod(number, 10)
    if ones == 0:
        return "thirtieth"
    return f"{TENS[tens - 2]}-{ORDINALS[ones - 1]}"


def _short(month: str) -> tuple[str, ...]:
    """The short forms of an English month, with and without a full stop."""
    return (month[:3], f"{month[:3]}.")
