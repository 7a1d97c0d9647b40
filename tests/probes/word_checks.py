"""Words of a family compared: what two texts share, and whether the languages have equal lists."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Words that say nothing about what a key is.
_EMPTY = """
a an and are as at be been behind by for from gets give gives has have i in into is it its me my of
off on one or our out that the their them they thing this to up us we where which who whose with
place person people
"""


def content_words(text: str, lang: str) -> set[str]:
    """What a text says: English words without endings, pairs of Chinese characters."""
    if lang == "zh":
        runs = re.findall(r"[\u3400-\u9fff]+", text)
        return {run[i : i + 2] for run in runs for i in range(len(run) - 1)}
    found = re.findall(r"[a-z]+", text.casefold().replace("'s", ""))
    return {
        re.sub(r"(?:ing|er|es|s|ed|e)$", "", word) for word in found if word not in _EMPTY.split()
    }


def list_lengths(words: object, place: str = "") -> Iterator[tuple[str, int]]:
    """Place and length of every list in the words of a split, as deep as it goes."""
    if isinstance(words, list):
        yield place, len(words)
        for number, item in enumerate(words):
            yield from list_lengths(item, f"{place}.{number}")
    elif isinstance(words, dict):
        for name, item in words.items():
            yield from list_lengths(item, f"{place}.{name}")
