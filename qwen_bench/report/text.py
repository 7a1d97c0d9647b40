"""Text of the report: untrusted text made harmless and visible, and the formats of numbers.

Model output, labels, paths and manifest values are hostile text. HTML escaping is done by the
templates; here only what escaping leaves in place is handled: control characters, lone surrogates,
bidirectional overrides, home folders and credentials. Fractions become points and percent here and
nowhere else in the report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from qwen_bench.record.redaction import sounds_secret

MINUS = "\N{MINUS SIGN}"
FOLD_ABOVE_CHARACTERS = 4_000

_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_INVISIBLE = "\u200b\u2028\u2029\u2060\ufeff"
_CHIP = re.compile(f"[{_BIDI}{_INVISIBLE}]")
_NONCHARACTERS = "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
_REPLACED = re.compile(f"[\x00\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}]")
_CONTROL = re.compile("[\x01-\x08\x0b-\x1f\x7f-\x9f]")
_HOME = re.compile(r"(?:/home/|/Users/|[A-Za-z]:\\Users\\)[^/\\\s\"':,;]+|/root(?=[/\s\"':,;]|$)")
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/\s@\"']+@")
_SECRET_VALUE = re.compile(r"\b(?:hf_|sk-|ghp_|xox[bp]-)[A-Za-z0-9_-]{12,}|Bearer\s+[^\s\"',]+")


class Segment(NamedTuple):
    """A run of text: plain, a `chip` naming an invisible character, or a `match` to point out."""

    kind: str
    text: str


def clean(text: str) -> str:
    """Text safe for HTML and XML, every character visible.

    C0 and C1 controls except tab and newline become control pictures or U+FFFD, carriage returns
    before a newline vanish, NUL, noncharacters and lone surrogates become U+FFFD. Bidirectional
    and zero-width characters stay; `segments` shows them.
    """
    text = _REPLACED.sub("\ufffd", text.replace("\r\n", "\n"))
    return _CONTROL.sub(_picture, text)


def _picture(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    return chr(0x2400 + code) if code < 0x20 else "\ufffd"


def plain(text: object) -> str:
    """Any value as one run of clean text with invisible characters spelled out as ``U+202E``.

    For places without markup: attributes, titles, charts.
    """
    return _CHIP.sub(lambda match: f"U+{ord(match.group()):04X}", clean(str(text)))


def one_line(text: object) -> str:
    """Any value as `plain` text with every run of white space as one blank."""
    return " ".join(plain(text).split())


def segments(text: str, spans: Sequence[tuple[int, int]] = ()) -> tuple[Segment, ...]:
    """Split text for display: plain runs, chips for invisible characters, matches.

    Args:
        text: untrusted text.
        spans: (start, end) character ranges of `text` to point out; those outside are ignored, of
            overlapping ones the earlier, then the longer one counts.

    Returns:
        Segments whose texts are clean; empty for empty text.
    """
    marks = sorted(
        ((a, b) for a, b in spans if 0 <= a < b <= len(text)), key=lambda s: (s[0], -s[1])
    )
    pieces: list[Segment] = []
    at = 0
    for start, end in marks:
        if start < at:
            continue
        pieces += _chips("text", text[at:start])
        pieces += _chips("match", text[start:end])
        at = end
    pieces += _chips("text", text[at:])
    return tuple(pieces)


def _chips(kind: str, text: str) -> Iterable[Segment]:
    at = 0
    for match in _CHIP.finditer(text):
        if match.start() > at:
            yield Segment(kind, clean(text[at : match.start()]))
        yield Segment("chip", f"U+{ord(match.group()):04X}")
        at = match.end()
    if at < len(text):
        yield Segment(kind, clean(text[at:]))


def redact(value: object, *, name: str = "") -> object:
    """A manifest value without home folders and credentials, containers included.

    Args:
        value: JSON value.
        name: key the value stands under; a name with key, token, secret or password hides
            strings, as it does for a flag and the word after it in a command line.
    """
    if isinstance(value, str):
        flag, equals, _ = value.partition("=")
        if sounds_secret(name):
            return "[redacted]"
        if equals and flag.startswith("-") and sounds_secret(flag):
            return f"{flag}=[redacted]"
        text = _URL_CREDENTIALS.sub("[redacted]@", value)
        text = _SECRET_VALUE.sub("[redacted]", text)
        return _HOME.sub("~", text)
    if isinstance(value, dict):
        return {key: redact(item, name=str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        flags = ["", *value]
        return [
            redact(item, name=str(flag) if str(flag).startswith("-") else name)
            for flag, item in zip(flags, value, strict=False)
        ]
    return value


def private(value: object, *, name: str = "") -> str:
    """A value from a manifest or an error message: redacted, then `plain`."""
    return plain(redact(value, name=name))


def slug(text: str) -> str:
    """Letters, digits and hyphens of a text, for ids; never empty.

    >>> slug("Qwen2.5-0.5B Instruct")
    'qwen2-5-0-5b-instruct'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def percent(fraction: float | None) -> str:
    """A fraction in percent with one decimal; a dash for None.

    >>> percent(0.8142)
    '81.4 %'
    """
    return "–" if fraction is None else f"{100 * fraction:.1f} %"


def points(fraction: float | None) -> str:
    """A difference in points with sign, one decimal and a true minus; a dash for None.

    >>> points(-0.092), points(0.0)
    ('−9.2', '0.0')
    """
    if fraction is None:
        return "–"
    text = f"{100 * fraction:+.1f}"
    if text in {"+0.0", "-0.0"}:
        return "0.0"
    return text.replace("-", MINUS)


def size(fraction: float) -> str:
    """A number of points without a sign: a margin, or the size of a difference.

    >>> size(0.0871)
    '8.7'
    """
    return f"{100 * fraction:.1f}"


def interval(low: float | None, high: float | None) -> str:
    """A 95 % interval of a share, in percent; "no interval" when there is none.

    >>> interval(0.76, 0.862)
    '76.0 to 86.2'
    """
    if low is None or high is None:
        return "no interval"
    return f"{100 * low:.1f} to {100 * high:.1f}"


def points_interval(low: float | None, high: float | None) -> str:
    """A 95 % interval of a difference, in points; "no interval" when there is none."""
    if low is None or high is None:
        return "no interval"
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


def plural(number: int, noun: str, many: str | None = None) -> str:
    """A count with its noun.

    >>> plural(1, "turn"), plural(1200, "family", "families")
    ('1 turn', '1,200 families')
    """
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def tokens(number: float | None) -> str:
    """A token count short enough for an axis; empty for None.

    >>> tokens(87.5), tokens(940), tokens(1912)
    ('88 tokens', '0.9k tokens', '1.9k tokens')
    """
    if number is None:
        return ""
    return f"{number:.0f} tokens" if number < 100 else f"{number / 1000:.1f}k tokens"


def byte_size(number: float | None) -> str:
    """Memory in the unit that gives a readable number; a dash for None.

    >>> byte_size(38_200_000), byte_size(1_930_000_000), byte_size(900)
    ('38.2 MB', '1.9 GB', '900 bytes')
    """
    if number is None:
        return "–"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
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
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
