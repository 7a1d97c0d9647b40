"""Finds words in text the way answers are recognised: whole Latin words, Chinese substrings."""

from __future__ import annotations

import re
from collections.abc import Iterable


def pattern_of(words: Iterable[str], *, plurals: bool = False) -> re.Pattern[str] | None:
    """Matches any of the words, the longest first, whatever the case; None without words.

    Args:
        words: surface forms.
        plurals: a Latin word may have an s or es at its end.
    """
    ending = "(?:s|es)?" if plurals else ""
    forms = [
        rf"(?<![A-Za-z0-9]){re.escape(word)}{ending}(?![A-Za-z0-9])"
        if word.isascii()
        else re.escape(word)
        for word in sorted(set(words), key=lambda word: (-len(word), word))
        if word
    ]
    return re.compile("|".join(forms), re.IGNORECASE) if forms else None
