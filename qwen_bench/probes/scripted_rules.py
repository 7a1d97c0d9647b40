"""Makes scripted replies obey a rule, so that a history never teaches a model to break it.

Knows forms only: who is under which rule, and whether a model's reply obeys, is decided elsewhere
(`probes/builders`, `scoring/rules.py`).
"""

from __future__ import annotations

import json
from typing import NamedTuple

from qwen_bench.probes.probe import Lang, Rule


class _Punctuation(NamedTuple):
    """How a language joins a word to a reply; replies up to `short` characters take a comma."""

    stop: str
    comma: str
    blank: str
    short: int


_PUNCTUATION: dict[Lang, _Punctuation] = {
    "en": _Punctuation(stop=".", comma=", ", blank=" ", short=24),
    "zh": _Punctuation(stop="。", comma="，", blank="", short=10),
}


def is_tag(rule: Rule) -> bool:
    """Whether the rule adds a sign such as ``#desk`` or ``【前台】`` instead of a word."""
    mark = rule.marks[0]
    return rule.kind == "suffix" and not (mark[0].isalnum() and mark[-1].isalnum())


def apply_rule(rule: Rule, reply: str, lang: Lang) -> str:
    r"""The reply in a form that obeys the rule; a reply that this function made is left alone.

    >>> apply_rule(Rule("suffix", ("roger",)), "Understood.", "en")
    'Understood, roger.'
    >>> apply_rule(Rule("prefix", ("收到",)), "先用湿布去尘。", "zh")
    '收到，先用湿布去尘。'
    >>> apply_rule(Rule("json", ("msg",)), 'Say "no".', "en")
    '{"msg": "Say \\"no\\"."}'
    """
    first, last = rule.marks[0], rule.marks[-1]
    if rule.kind == "suffix":
        return (
            _with_tag(first, reply, lang) if is_tag(rule) else _with_last_word(first, reply, lang)
        )
    if rule.kind == "prefix":
        return _with_first_word(first, reply, lang)
    if rule.kind == "wrap":
        wrapped = reply.startswith(first) and reply.endswith(last)
        return reply if wrapped else f"{first}{reply}{last}"
    keyed = reply.startswith(f'{{"{first}": "') and reply.endswith('"}')
    return reply if keyed else json.dumps({first: reply}, ensure_ascii=False)


def _with_tag(tag: str, reply: str, lang: Lang) -> str:
    return reply if reply.endswith(tag) else f"{reply}{_PUNCTUATION[lang].blank}{tag}"


def _with_last_word(word: str, reply: str, lang: Lang) -> str:
    """A short reply takes the word after a comma, a longer one as a sentence of its own."""
    stop, comma, blank, short = _PUNCTUATION[lang]
    aside, sentence = f"{comma}{word}{stop}", f"{blank}{_capitalised(word)}{stop}"
    if reply.endswith((aside, sentence)):
        return reply
    body = reply.removesuffix(stop)
    simple = (
        len(reply) <= short and body != reply and not any(c in ".,!?。，！？；：" for c in body)
    )
    return body + aside if simple else reply + sentence


def _with_first_word(word: str, reply: str, lang: Lang) -> str:
    """English sets the word apart as a sentence, since the reply keeps its capital letter."""
    opening = f"{_capitalised(word)}. " if lang == "en" else f"{word}，"
    return reply if reply.startswith(opening) else opening + reply


def _capitalised(word: str) -> str:
    return word[:1].upper() + word[1:]
