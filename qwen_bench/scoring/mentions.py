"""Finds which candidates a text names, whether a mention is negated, and whether it abstains."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from qwen_bench.scoring.normalise import normalise

# All of these are looked for in normalised text, where full-width marks are plain ones.
_CLAUSE_END = re.compile(r"[,.;:!?\n。、]|\bbut\b|但")
_NEGATOR = re.compile(
    r"\b(?:not|no|never|neither|nor|without|except|rather than|instead of|other than|cannot)\b"
    r"|n't\b|不是|不在|不叫|不用|不选|并非|而非|没有|没在|除了|排除"
)
# A closed list per language: only these count as saying that the fact was never stated.
_ABSTAIN = re.compile(
    r"\bnot (?:been )?(?:mentioned|stated|specified|provided|given|said)\b"
    r"|\bnever (?:mentioned|said|told|stated|specified)\b"
    r"|\b(?:did not|didn't|have not|haven't|has not|hasn't|had not|hadn't) "
    r"(?:mention|mentioned|say|said|tell|told|state|stated|specify|specified|provide|provided)\b"
    r"|\b(?:do not|don't|does not|doesn't) "
    r"(?:know|have (?:that|this|any) information|mention|say|specify)\b"
    r"|\bno (?:mention|information)\b|\bunknown\b|\bnot sure which\b"
    r"|没提过|没有提过|没提到|没有提到|未提及|未提到|没说|没有说|没告诉|没有告诉"
    r"|不知道|不清楚|没有相关信息|未说明|没讲过|没有讲过"
)
# What a yes or a no may begin with. Longer Chinese words come before the shorter ones they hold;
# words that merely begin like an answer (sorry, regarding, whether) are none.
_YES_OR_NO = re.compile(
    r"\W*(?:(?P<no>(?:nope|no|incorrect|wrong)(?![0-9a-z])|不是|不对|没有|否|不(?=[^\w]|$))"
    r"|(?P<yes>(?:yes|yeah|yep|correct|right)(?![0-9a-z])|没错|是的|是(?!否)|对(?!不起|于)))"
)
_NUMERAL = "〇零一二三四五六七八九十"


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
    forms match as substrings; digits must not touch another digit or a decimal, and Chinese
    numerals no other numeral (五号 is no part of 十五号).
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
        for form in (candidate, *extra.get(candidate, ())):
            by_form.setdefault(normalise(form).text, candidate)
    ordered = sorted(by_form.items(), key=lambda item: (-len(item[0]), item[0]))
    return [(_pattern(form), candidate) for form, candidate in ordered if form]


def _pattern(form: str) -> re.Pattern[str]:
    before = after = ""
    if form[0].isascii() and form[0].isalnum():
        before = r"(?<![0-9a-z])(?<!\d\.)" if form[0].isdigit() else r"(?<![0-9a-z])"
    if form[-1].isascii() and form[-1].isalnum():
        after = r"(?![0-9a-z])(?!\.\d)" if form[-1].isdigit() else r"(?![0-9a-z])"
    if form[0] in _NUMERAL:
        before = f"(?<![{_NUMERAL}])"
    if form[-1] in _NUMERAL:
        after = f"(?![{_NUMERAL}])"
    return re.compile(before + re.escape(form) + after)


def is_negated(text: str, mention: Mention) -> bool:
    """Whether a negator stands before the mention in its clause."""
    clause = 0
    for clause_end in _CLAUSE_END.finditer(text, 0, mention.start):
        clause = clause_end.end()
    return _NEGATOR.search(text, clause, mention.start) is not None


def first_yes_or_no(text: str) -> Mention | None:
    """The yes or no that normalised text begins with, as candidate `yes` or `no`; None if neither.

    Only the first word counts: "that is not right" says no, but its words cannot tell.
    """
    found = _YES_OR_NO.match(text)
    if found is None:
        return None
    word = "no" if found["no"] else "yes"
    return Mention(word, *found.span(word))


def abstains(text: str) -> bool:
    """Whether normalised text holds a phrase of the closed abstain list."""
    return _ABSTAIN.search(text) is not None
