"""Untrusted text made harmless and visible: model output, labels, paths, manifest values.

HTML escaping is done by the templates; here only what escaping leaves in place is handled: control
characters, lone surrogates and bidirectional overrides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from qwen_bench.record.redaction import redact_shown

FOLD_ABOVE_CHARACTERS = 4_000

_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_INVISIBLE = "\u200b\u2028\u2029\u2060\ufeff"
_CHIP = re.compile(f"[{_BIDI}{_INVISIBLE}]")
_NONCHARACTERS = "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
_REPLACED = re.compile(f"[\x00\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}]")
_CONTROL = re.compile("[\x01-\x08\x0b-\x1f\x7f-\x9f]")


class TextSpan(NamedTuple):
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


def segments(text: str, spans: Sequence[tuple[int, int]] = ()) -> tuple[TextSpan, ...]:
    """Split text for display: plain runs, chips for invisible characters, matches.

    Args:
        text: untrusted text.
        spans: (start, end) character ranges of `text` to point out; those outside are ignored, of
            overlapping ones the earlier, then the longer one counts.

    Returns:
        TextSpans whose texts are clean; empty for empty text.
    """
    marks = sorted(
        ((a, b) for a, b in spans if 0 <= a < b <= len(text)), key=lambda s: (s[0], -s[1])
    )
    pieces: list[TextSpan] = []
    at = 0
    for start, end in marks:
        if start < at:
            continue
        pieces += _chips("text", text[at:start])
        pieces += _chips("match", text[start:end])
        at = end
    pieces += _chips("text", text[at:])
    return tuple(pieces)


def _chips(kind: str, text: str) -> Iterable[TextSpan]:
    at = 0
    for match in _CHIP.finditer(text):
        if match.start() > at:
            yield TextSpan(kind, clean(text[at : match.start()]))
        yield TextSpan("chip", f"U+{ord(match.group()):04X}")
        at = match.end()
    if at < len(text):
        yield TextSpan(kind, clean(text[at:]))


def private(value: object, *, name: str = "") -> str:
    """A value from a manifest or an error message: redacted, then `plain`."""
    return plain(redact_shown(value, name=name))


def slug(text: str) -> str:
    """Letters, digits and hyphens of a text, for ids; never empty.

    >>> slug("Qwen2.5-0.5B Instruct")
    'qwen2-5-0-5b-instruct'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
