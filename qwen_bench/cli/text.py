"""Text that is safe and possible to print.

Model output is untrusted: it must not move the cursor, reorder a line, or speak to a CI runner.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_UNSAFE = re.compile(f"[\x00-\x1f\x7f-\x9f{_BIDI}\u2028\u2029\ud800-\udfff]")
_ASCII = str.maketrans(
    {"·": "-", "━": "#", "╸": "#", "−": "-", "→": "->", "…": "...", "–": "-", "×": "x"}
)


def printable(text: str) -> str:
    r"""One line of text without characters that a terminal would obey.

    Control characters become their visible symbols, bidirectional and line-breaking controls
    their code points.

    >>> printable("a\x1b[31m")
    'a␛[31m'
    """
    return _UNSAFE.sub(_visible, text)


def _visible(match: re.Match[str]) -> str:
    """The visible stand-in of one unsafe character."""
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"U+{code:04X}"


def shortened(text: str, limit: int = 200) -> str:
    """At most `limit` characters, the number of dropped ones at the end."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit} more characters)"


def quoted_block(lines: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Lines that quote model text, wrapped so that the GitHub Actions runner obeys none of them."""
    if not environment.get("GITHUB_ACTIONS"):
        return list(lines)
    token = secrets.token_hex(16)
    return [f"::stop-commands::{token}", *lines, f"::{token}::"]


def write_line(stream: TextIO, line: str) -> None:
    """Write a line; characters the stream cannot hold become ASCII.

    Raises:
        BrokenPipeError: the reader is gone.
    """
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("_", "-")
    if encoding not in {"utf-8", "utf8", "utf-16", "utf-32"}:
        line = line.translate(_ASCII).encode(encoding, "backslashreplace").decode(encoding)
    stream.write(line + "\n")
    stream.flush()
