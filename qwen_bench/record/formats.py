"""Numbers as people read them: percent, points, intervals, counts, tokens, memory, time.

The one place where fractions become percent and points. Texts of one number have a true minus sign;
`signed` alone keeps the hyphen, for sentences that a terminal prints too.
"""

from __future__ import annotations

import re
from math import floor, log10

MINUS = "\N{MINUS SIGN}"
NO_INTERVAL = "no interval"
_MINUTE, _HOUR = 60, 3600
_SIZES = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def percent(fraction: float | None) -> str:
    """A fraction in percent with one decimal; a dash for None.

    >>> percent(0.8142)
    '81.4 %'
    """
    return "–" if fraction is None else f"{100 * fraction:.1f} %"


def signed(fraction: float, decimals: int = 1) -> str:
    """A difference in points with its sign as ASCII; zero has none.

    >>> signed(-0.104), signed(0.0), signed(0.3, 0)
    ('-10.4', '0.0', '+30')
    """
    text = f"{100 * fraction:+.{decimals}f}"
    return text if float(text) else text[1:]


def points(fraction: float | None, decimals: int = 1) -> str:
    """A difference in points with its sign; a dash for None.

    >>> points(-0.092), points(0.0)
    ('−9.2', '0.0')
    """
    return "–" if fraction is None else signed(fraction, decimals).replace("-", MINUS)


def size(fraction: float) -> str:
    """A number of points without a sign: the size of a difference.

    >>> size(0.0871)
    '8.7'
    """
    return f"{100 * fraction:.1f}"


def bare(fraction: float) -> str:
    """A number of points as it was typed: a margin.

    >>> bare(0.05), bare(0.025)
    ('5', '2.5')
    """
    return f"{100 * fraction:g}"


def rough_percent(fraction: float) -> str:
    """A share in percent without needless decimals.

    >>> rough_percent(0.8), rough_percent(0.125)
    ('80 %', '12.5 %')
    """
    return f"{100 * fraction:.3g} %"


def in_points(fraction: float) -> str:
    """A size in points with its unit, a decimal where it has one.

    >>> in_points(0.05), in_points(0.01), in_points(0.105)
    ('5 points', '1 point', '10.5 points')
    """
    number = size(fraction).removesuffix(".0")
    return f"{number} point{'' if number == '1' else 's'}"


def interval(low: float | None, high: float | None) -> str:
    """A 95 % interval of a share, in percent; "no interval" when there is none.

    >>> interval(0.76, 0.862)
    '76.0 to 86.2'
    """
    if low is None or high is None:
        return NO_INTERVAL
    return f"{size(low)} to {size(high)}"


def points_interval(low: float | None, high: float | None) -> str:
    """A 95 % interval of a difference, in points; "no interval" when there is none."""
    if low is None or high is None:
        return NO_INTERVAL
    return f"{points(low)} to {points(high)}"


def true_minus(sentence: str) -> str:
    """A sentence with the hyphens before numbers as minus signs; names are left alone.

    >>> true_minus("lora-3: -9.2 points (-13.4 to -5.2)")
    'lora-3: −9.2 points (−13.4 to −5.2)'
    """
    return re.sub(r"(?<=[ (])-(?=\d)", MINUS, sentence)


def decimal(number: float | None) -> str:
    """A ratio or an index with two decimals and a true minus; a dash for None.

    >>> decimal(0.5), decimal(-1.234)
    ('0.50', '−1.23')
    """
    return "–" if number is None else f"{number:.2f}".replace("-", MINUS)


def p_value(p: float | None) -> str:
    """A p-value with three decimals, small ones as a bound; a dash for None.

    >>> p_value(0.00005), p_value(0.0412)
    ('< 0.001', '0.041')
    """
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(number: float | None) -> str:
    """A whole number with thousands separators; a dash for None.

    >>> count(12345)
    '12,345'
    """
    return "–" if number is None else f"{number:,.0f}"


def about(number: int) -> str:
    """A count rounded up to two digits.

    >>> about(1234)
    '1,300'
    """
    step = 10 ** max(0, floor(log10(number)) - 1) if number else 1
    return f"{-(-number // step) * step:,}"


def plural(number: int, noun: str, many: str | None = None) -> str:
    """A count with its noun.

    >>> plural(1, "turn"), plural(1200, "family", "families")
    ('1 turn', '1,200 families')
    """
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def turns(number: int) -> str:
    """A history length in words: ``1 turn``, ``8 turns``."""
    return plural(number, "turn")


def times(number: float) -> str:
    """How often: ``once``, ``3 times``."""
    return "once" if number == 1 else f"{number:,.0f} times"


def axis_tokens(number: float | None) -> str:
    """A token count short enough for an axis; empty for None.

    >>> axis_tokens(87.5), axis_tokens(940), axis_tokens(1912), axis_tokens(128_400)
    ('88 tokens', '0.9k tokens', '1.9k tokens', '128k tokens')
    """
    if number is None:
        return ""
    if number < 100:
        return f"{number:.0f} tokens"
    return f"{number / 1000:.{1 if number < 100_000 else 0}f}k tokens"


def short_tokens(number: float) -> str:
    """A token count in millions, or as it is when small.

    >>> short_tokens(311_900), short_tokens(11_900)
    ('0.31 M', '11,900')
    """
    return f"{number / 1e6:.2f} M" if number >= 100_000 else count(number)


def rough_tokens(number: float) -> str:
    """An estimated token count.

    >>> rough_tokens(2_311_900), rough_tokens(11_900)
    ('2.31 M', '12 k')
    """
    return f"{number / 1e6:.2f} M" if number >= 1e6 else f"{number / 1e3:.0f} k"


def byte_size(number: float | None, *, decimals: int = 1, least: str = "bytes") -> str:
    """Memory in the unit that gives a readable number; a dash for None.

    Args:
        number: bytes.
        decimals: of a size below a gigabyte.
        least: smallest unit to use.

    >>> byte_size(38_200_000), byte_size(1_930_000_000), byte_size(900)
    ('38.2 MB', '1.9 GB', '900 bytes')
    """
    if number is None:
        return "–"
    for unit, size in _SIZES:
        if number >= size or unit == least:
            return f"{number / size:.{1 if unit == 'GB' else decimals}f} {unit}"
    return f"{number:.0f} bytes"


def rate(number: float | None) -> str:
    """How many a second, without needless digits; a dash for None.

    >>> rate(1234.5), rate(0.517)
    ('1,234', '0.52')
    """
    if number is None:
        return "–"
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def duration(seconds: float | None) -> str:
    """A time span for people; a dash for None.

    >>> duration(4.21), duration(131), duration(7322)
    ('4.2 s', '2 min 11 s', '2 h 2 min')
    """
    if seconds is None:
        return "–"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    if minutes < _MINUTE:
        return f"{minutes} min {rest} s"
    return f"{minutes // _MINUTE} h {minutes % _MINUTE} min"


def rough_duration(seconds: float) -> str:
    """An estimated time span.

    >>> rough_duration(90), rough_duration(600), rough_duration(12_000)
    ('90 s', '10 min', '3.3 h')
    """
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h"
