"""Whether a reply obeys a rule about its form, and what that is worth.

Looks at the whole visible reply with NFKC only, since folding away marks and quotes, as for values,
would remove what a rule asks for (probe specification, section 6.1).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence

from qwen_bench.probes.probe import PLAIN, Rule, is_tag
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


def wrong_form(rule: Rule, forms: Sequence[Rule], gold: str, raw: str) -> str:
    """The word for what is wrong with the form of a reply; empty where it is right.

    Args:
        rule: form that the reply must have, or must not where the gold is `plain`.
        forms: every form that the history asks for; the right one may be among them.
        gold: `plain`, or anything else for a reply that must follow the rule.
        raw: the reply.

    Returns:
        `followed` or `not_followed` for the rule itself; `wrong_mark` where the reply has the form
        of another rule, instead of the right one or beside it; `empty` without a word besides the
        marks; `no_answer` for reasoning that never ends.
    """
    if visible_part(raw).unfinished_thought:
        return "no_answer"
    if gold == PLAIN and _carries(rule, raw):
        return "followed"
    if not _says_something((rule, *forms), _visible_text(raw)):
        return "empty"
    if any(_carries(other, raw) for other in forms if other != rule):
        return "wrong_mark"
    return "not_followed" if gold != PLAIN and not follows(rule, raw) else ""


def said(rule: Rule, forms: Sequence[Rule], raw: str) -> str:
    """What a reply says: the value of the JSON object that a rule asks for, else the reply."""
    keys = [form.marks[0] for form in (rule, *forms) if form.kind == "json"]
    found = _only_pair(_visible_text(raw)) if keys else None
    return found[1] if found and isinstance(found[1], str) else raw


def _carries(rule: Rule, raw: str) -> bool:
    """Whether a reply follows a rule, or has its sign anywhere."""
    return follows(rule, raw) or (is_tag(rule) and _holds_mark(rule, _visible_text(raw)))


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
    found = _only_pair(text)
    if found is None:
        return False
    name, value = found
    return name == key and isinstance(value, str) and bool(value.strip())


def _only_pair(text: str) -> tuple[str, object] | None:
    """Key and value of a text that is a JSON object with one key."""
    if fenced := _FENCE.fullmatch(text):
        text = fenced[1]
    try:
        # Pairs, not a dict: a key that occurs twice must not look like one.
        found = json.loads(text, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return None
    return found[0] if isinstance(found, tuple) and len(found) == 1 else None


def _holds_mark(rule: Rule, text: str) -> bool:
    return _comparable(rule.marks[0]).casefold() in text.casefold()


def _says_something(rules: Sequence[Rule], text: str) -> bool:
    """Whether a word is left without the marks."""
    rest = text.casefold()
    for mark in (mark for rule in rules for mark in rule.marks):
        rest = rest.replace(_comparable(mark).casefold(), " ")
    return _has_word(rest)


def _has_word(text: str) -> bool:
    return any(char.isalnum() for char in text)
