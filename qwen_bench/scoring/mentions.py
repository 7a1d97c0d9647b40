"""Finds which candidates a text names, what it says of them, and whether it abstains."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from qwen_bench.probes.date_forms import ORDINALS
from qwen_bench.probes.number_forms import ONES, TENS, number_forms
from qwen_bench.scoring import phrases
from qwen_bench.scoring.normalise import normalise

# Looked for in normalised text, where full-width marks are plain ones.
_CLAUSE_END = re.compile(r"[,.;:!?\n。、]|(?<!anyone )(?<!anywhere )(?<!anything )\bbut\b|但")
_SENTENCE_END = re.compile(r"[.;!?\n。]")
_NUMERAL = "〇零一二两廿三四五六七八九十百千万"
# A numeral behind the first or before the second of these is part of another word; one of a single
# character stands alone or before one of the third.
_ORDER = "第周期"
_CALENDAR = "月点"
_MEASURES = "个位人名号日元块分"
_NUMBER_WORDS = (*ONES, *TENS, *ORDINALS, "hundred", "thousand")
# Words that are spelled in two ways.
SPELLINGS = (
    ("annexe", "annex"),
    ("armoury", "armory"),
    ("colour", "color"),
    ("grey", "gray"),
    ("ochre", "ocher"),
)


class Mention(NamedTuple):
    """One occurrence of a candidate at [start, end) of the normalised text."""

    candidate: str
    start: int
    end: int


def find_mentions(
    text: str, candidates: Sequence[str], aliases: Mapping[str, Sequence[str]]
) -> list[Mention]:
    """All mentions in normalised text, longest form first, not overlapping, in text order.

    English forms need a character that is not a letter or digit (ASCII) on both sides; Chinese
    forms match as substrings; digits must not touch another digit or a decimal, and numerals and
    words for numbers no other (五号 is no part of 十五号, six none of twenty-six).
    """
    forms = _forms(tuple(candidates), tuple((key, tuple(aliases[key])) for key in sorted(aliases)))
    taken = [False] * len(text)
    found = []
    for pattern, candidate in forms:
        for match in pattern.finditer(text):
            start, end = match.span()
            if not any(taken[start:end]):
                taken[start:end] = [True] * (end - start)
                found.append(Mention(candidate, start, end))
    return sorted(found, key=lambda mention: mention.start)


@lru_cache(maxsize=1024)
def _forms(
    candidates: tuple[str, ...], aliases: tuple[tuple[str, tuple[str, ...]], ...]
) -> list[tuple[re.Pattern[str], str]]:
    by_form: dict[str, str] = {}
    extra = dict(aliases)
    for candidate in candidates:
        numbers = number_forms(int(candidate)) if _PLAIN_NUMBER.fullmatch(candidate) else ()
        for form in (candidate, *extra.get(candidate, ()), *numbers):
            for spelled in _spellings(normalise(form).text):
                by_form.setdefault(spelled, candidate)
    ordered = sorted(by_form.items(), key=lambda item: (-len(item[0]), item[0]))
    return [(_pattern(form), candidate) for form, candidate in ordered if form]


_PLAIN_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
_SPELLED = re.compile("|".join(word for pair in SPELLINGS for word in pair))
_OTHER_SPELLING = dict(SPELLINGS) | {right: left for left, right in SPELLINGS}


def _spellings(form: str) -> tuple[str, ...]:
    """A form, and the same in the other variety of English."""
    return form, _SPELLED.sub(lambda found: _OTHER_SPELLING[found[0]], form)


def _pattern(form: str) -> re.Pattern[str]:
    before = after = ""
    if form[0].isascii() and form[0].isalnum():
        before = r"(?<![0-9a-z])(?<!\d\.)" if form[0].isdigit() else r"(?<![0-9a-z])"
    if form[-1].isascii() and form[-1].isalnum():
        after = r"(?![0-9a-z])(?!\.\d)" if form[-1].isdigit() else r"(?![0-9a-z])"
    if form.replace(",", "").isdigit():
        before += r"(?<!\d,)" if len(form) >= 3 else ""
        after = r"(?![0-9a-z])(?!\.\d*[1-9])(?!,\d{3}(?!\d))"
    if form[0] in _NUMERAL:
        before = f"(?<![{_NUMERAL}{_ORDER}])"
    if form[-1] in _NUMERAL:
        after = f"(?![{_NUMERAL}{_CALENDAR}])"
        if len(form) == 1:
            after += rf"(?![^\W{_MEASURES}])"
    if form[0].isdigit() and form[-1].isalpha() and " " in form:
        # In "12 July 22 July" no "July 22" is lost to a "12 July".
        after += r"(?! \d{1,2}(?!\d))"
    words = form.split(" ")
    if words[0] in _NUMBER_WORDS:
        before += "".join(rf"(?<!{word} )" for word in TENS) + r"(?<!hundred )(?<!hundred and )"
    if words[-1] in _NUMBER_WORDS:
        after += rf"(?! (?:and )?(?:{'|'.join(_NUMBER_WORDS)})\b)"
    return re.compile(before + re.escape(form) + after)


def is_denied(text: str, mention: Mention) -> bool:
    """Whether a negator stands before the mention in its clause."""
    start = _clause_start(text, mention.start)
    return phrases.PATTERNS.negators.search(without_idioms(text), start, mention.start) is not None


def is_former(text: str, mentions: Sequence[Mention], number: int) -> bool:
    """Whether a later mention is named as what holds no longer.

    A word such as formerly stands before or behind it in its clause, with no other mention between,
    or is its label ("previously: Cedar").
    """
    mention = mentions[number]
    if is_taken_back(text, mentions, number):
        return True
    if phrases.PATTERNS.former_label.search(text, mentions[number - 1].end, mention.start):
        return True
    start = max(_clause_start(text, mention.start), mentions[number - 1].end)
    for turn in phrases.PATTERNS.turning.finditer(text, start, mention.start):
        start = turn.end()
    return phrases.PATTERNS.former.search(text, start, mention.start) is not None


def is_choice(text: str, mentions: Sequence[Mention]) -> bool:
    """Whether mentions are joined by an or."""
    return any(
        phrases.PATTERNS.choosing.search(text, one.end, other.start)
        for one, other in itertools.pairwise(mentions)
    )


def is_taken_back(text: str, mentions: Sequence[Mention], number: int) -> bool:
    """Whether words behind a mention in its clause say that it holds no longer."""
    start = mentions[number].end
    end = mentions[number + 1].start if number + 1 < len(mentions) else len(text)
    for pattern in (_CLAUSE_END, phrases.PATTERNS.turning):
        if found := pattern.search(text, start, end):
            end = found.start()
    return phrases.PATTERNS.former_behind.search(text, start, end) is not None


def is_changed_into(text: str, old: Mention, new: Mention) -> bool:
    """Whether one sentence says that the old value was changed into the new one, named next.

    A word for the change keeps ranges apart ("from 2 to 12"), and the new value from one that is
    named beside the old one ("it was 2, now 12"). In a clause of its own it must be what the change
    led to ("it was 2, but was moved to 12").
    """
    patterns, start = phrases.PATTERNS, _clause_start(text, new.start)
    if old.end <= start:
        one_sentence = _SENTENCE_END.search(text, old.end, start) is None
        chosen = patterns.choosing.search(text, old.end, new.start) is not None
        led_to = patterns.into.search(text, start, new.start) is not None
        return one_sentence and led_to and not chosen
    return (
        start <= old.start
        and patterns.leaving.search(text, start, old.start) is not None
        and patterns.reaching.search(text, old.end, new.start) is not None
        and patterns.changing.search(text, start, new.start) is not None
    )


def _clause_start(text: str, before: int) -> int:
    start = 0
    for clause_end in _CLAUSE_END.finditer(text, 0, before):
        start = clause_end.end()
    return start


def without_idioms(text: str) -> str:
    """Text of the same length, with blanks for what looks like a denial and is none."""
    return phrases.PATTERNS.idioms.sub(lambda found: " " * len(found[0]), text)


def abstains(text: str) -> bool:
    """Whether normalised text says that the fact was never stated, other than by an echo."""
    said = phrases.PATTERNS.instructing.sub("", without_idioms(text))
    return phrases.PATTERNS.abstaining.search(said) is not None
