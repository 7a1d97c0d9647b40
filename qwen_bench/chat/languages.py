"""In which language a text is, as far as its characters and commonest words tell."""

from __future__ import annotations

import re

LONGEST = 600
"""Characters looked at; the opening of a conversation tells its language."""
_HAN = re.compile(r"[\u3400-\u9fff]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_HANGUL = re.compile(r"[\uac00-\ud7af]")
_ENGLISH = frozenset(
    """the a an is are was i you my your it of to in and for on with that this what how do have not
    me please yes no which where""".split()  # noqa: SIM905 - a list of them fills a screen
)


def language_of(text: str) -> str:
    """``zh``, ``ja``, ``ko``, ``en`` or ``other``; of a mixture the larger part.

    >>> language_of("My bus is line 9."), language_of("我坐9路车。"), language_of("Ich fahre Bus.")
    ('en', 'zh', 'other')
    """
    text = text[:LONGEST]
    words = text.lower().split()
    if not text.isascii():
        han, kana, hangul = (len(found.findall(text)) for found in (_HAN, _KANA, _HANGUL))
        if max(han + kana, hangul) > len(words):
            if hangul > han + kana:
                return "ko"
            return "ja" if kana > 0.1 * (han + kana) else "zh"
    english = sum(word in _ENGLISH for word in words)
    return "en" if english and english >= 0.1 * len(words) else "other"
