"""Whether a reply obeys a rule about its form, and what that is worth.

Looks at the whole visible reply with NFKC only, since folding away marks and quotes, as for values,
would remove what a rule asks for (probe specification, section 6.1).
"""

from __future__ import annotations

import json
import re
import unicodedata

from qwen_bench.probes.probe import Rule, is_tag
from qwen_bench.scoring.normalise import visible_part

_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL | re.IGNORECASE)


def follows(rule: Rule, raw: str) -> bool:
    """Whether the visible part of a reply has the form that the rule asks for.

    First and last words may stand in quotes, markdown and punctuation and ignore case. A wrapped
    reply lies between the two marks whole. A JSON object has the one key and a non-empty string,
    and may stand in a code fence.
    """
    text = _visible_text(raw)
    marks = [_comparable(mark) for mark in rule.marks]
    if rule.kind == "suffix":
        return _is_last(marks[0].casefold(), text.casefold())
    if rule.kind == "prefix":
        return _is_first(marks[0].casefold(), text.casefold())
    if rule.kind == "wrap":
        return _is_between(marks[0], marks[1], text)
    return _is_object(marks[0], text)


def judge_rule(rule: Rule, gold: str, raw: str) -> str:
    """The word for a reply that must (`marked`) or must not (`plain`) follow the rule.

    Returns:
        `correct`; `followed` or `not_followed` for the wrong form; `empty` without a word besides
        the marks; `no_answer` for reasoning that never ends.
    """
    if visible_part(raw).unfinished_thought:
        return "no_answer"
    text, obeyed = _visible_text(raw), follows(rule, raw)
    if gold == "plain" and (obeyed or (is_tag(rule) and _holds_mark(rule, text))):
        return "followed"
    if not _says_something(rule, text):
        return "empty"
    if gold == "marked" and not obeyed:
        return "not_followed"
    return "correct"


def _comparable(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip()


def _visible_text(raw: str) -> str:
    visible = visible_part(raw)
    return _comparable(raw[visible.start : visible.end])


def _is_last(mark: str, text: str) -> bool:
    at = text.rfind(mark)
    after = text[at + len(mark) :]
    return at >= 0 and not _has_word(after) and not _run_together(text[at - 1 : at], mark[0])


def _is_first(mark: str, text: str) -> bool:
    at = text.find(mark)
    end = at + len(mark)
    return at >= 0 and not _has_word(text[:at]) and not _run_together(mark[-1], text[end : end + 1])


def _run_together(left: str, right: str) -> bool:
    """Whether two neighbours belong to one English word; Chinese has no such border."""
    return all(char.isascii() and char.isalnum() for char in (left, right))


def _is_between(opening: str, closing: str, text: str) -> bool:
    """Whether the mark that opens the text is the one that its last mark closes."""
    depth = 0
    for index in range(len(text)):
        if text.startswith(opening, index):
            depth += 1
        elif text.startswith(closing, index):
            depth -= 1
        if depth <= 0:
            return index > 0 and index + len(closing) == len(text)
    return False


def _is_object(key: str, text: str) -> bool:
    if fenced := _FENCE.fullmatch(text):
        text = fenced[1]
    try:
        # Pairs, not a dict: a key that occurs twice must not look like one.
        found = json.loads(text, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, tuple) or len(found) != 1:
        return False
    name, value = found[0]
    return name == key and isinstance(value, str) and bool(value.strip())


def _holds_mark(rule: Rule, text: str) -> bool:
    return _comparable(rule.marks[0]).casefold() in text.casefold()


def _says_something(rule: Rule, text: str) -> bool:
    """Whether a word is left without the marks."""
    rest = text.casefold()
    for mark in rule.marks:
        rest = rest.replace(_comparable(mark).casefold(), " ")
    return _has_word(rest)


def _has_word(text: str) -> bool:
    return any(char.isalnum() for char in text)
