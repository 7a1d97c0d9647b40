"""Whether a text can be encoded and means itself: no half characters, no ready-made markers.

Checked where text enters, so that what is wrong is told with its file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from qwen_bench.chat.rendering import IM_END, IM_START

KeyPath = tuple[str | int, ...]
MARKERS = (IM_START, IM_END, "<|endoftext|>")
"""What tokenizers of ChatML models read as one token, wherever it stands."""
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def lone_surrogate(text: str) -> str | None:
    r"""The first half of a surrogate pair in a text, as its code point; None without one.

    JSON and YAML can name one half (as ``\ud83d``); no UTF-8 file and no tokenizer can hold it.

    >>> lone_surrogate("ok"), lone_surrogate("ok \ud83d")
    (None, 'U+D83D')
    """
    found = _LONE_SURROGATE.search(text)
    return None if found is None else f"U+{ord(found[0]):04X}"


def half_character(text: str) -> str | None:
    """What is wrong with a text that holds half of a surrogate pair; None for a sound text."""
    found = None if text.isascii() else lone_surrogate(text)
    return None if found is None else f"holds {found}, half of a surrogate pair"


def text_fault(text: str, markers: tuple[str, ...] = MARKERS) -> str | None:
    """What is wrong with the text of a message; None for a sound one.

    Args:
        text: of a message.
        markers: strings that a tokenizer reads as one token.
    """
    held = [marker for marker in markers if marker in text]
    if held:
        return f"holds {min(held, key=text.index)}, which the tokenizer reads as a real marker"
    return half_character(text)


def texts_in(value: object, place: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """All texts of a JSON or YAML value with their key paths; keys are texts too."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str):
                yield (*place, key), key
            yield from texts_in(item, (*place, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from texts_in(item, (*place, number))
