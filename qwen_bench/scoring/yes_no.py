"""Which of yes and no an answer says, clause by clause."""

from __future__ import annotations

import re
from typing import NamedTuple

from qwen_bench.scoring import phrases
from qwen_bench.scoring.mentions import without_idioms

_CLAUSE = re.compile(r"[^,.;:!?\n。、/…~～]+")
_BOTH = re.compile(
    r"\byes (?:and |or )?no\b|\bno (?:and |or )?yes\b"
    r"|\b(?:maybe|perhaps) (?:yes|no)\b[^.;!?\n]*\b(?:maybe|perhaps) (?:yes|no)\b"
    r"|(?:也许|可能)[^,.;:!?\n。、]*(?:也许|也?可能)|也可能|也不是"
)


class Said(NamedTuple):
    """A `yes` or a `no` at [start, end) of the normalised text; `both` if the other is said too."""

    word: str
    start: int
    end: int
    both: bool = False


def said_yes_or_no(text: str) -> Said | None:
    """What the first clause that says yes or no says; None if none does.

    A clause that asks, or says that something is not known, is passed over. A later clause that is
    nothing but the opposite makes it both.
    """
    plain = without_idioms(text)
    first: Said | None = None
    both = _BOTH.search(plain) is not None
    for clause in _CLAUSE.finditer(plain):
        said = _said_in(plain, *clause.span())
        if said is None:
            continue
        first = first or said
        bare = phrases.PATTERNS.only_yes_or_no.fullmatch(clause[0])
        both = both or (said.word != first.word and bare is not None)
    return first and first._replace(both=both)


def _said_in(text: str, start: int, end: int) -> Said | None:
    patterns = phrases.PATTERNS
    if asked := patterns.asking.search(text, start, end):
        start = text.find(" ", asked.end(), end)
        if start < 0:
            return None
    if patterns.unsure.search(text, start, end):
        return None
    found = list(patterns.yes_or_no.finditer(text, start, end))
    for kind, word in (("no", "no"), ("after_all", "yes"), ("yes", "yes")):
        for match in found:
            if match[kind]:
                return Said(word, *match.span())
    bare = patterns.only_yes_or_no.match(text, start, end)
    return Said("yes", *bare.span("word")) if bare else None
