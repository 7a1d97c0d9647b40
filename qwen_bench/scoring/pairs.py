"""Answers that give every thing its own value: "Godwit on the ferry and Lapwing on the trawler"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from qwen_bench.scoring.mentions import Mention
from qwen_bench.scoring.normalise import normalise

# Normalised text: small letters, plain marks, blanks for brackets. A thing that is but the answer
# itself binds nothing.
_THING = r"(?P<thing>(?:the|my|our|your) (?!(?:answer|name|choice|one|word)\b)[a-z][a-z -]*?)"
_BEHIND = re.compile(
    rf" (?:on|for|beside|to) (?:{_THING}(?=[,.;:!?\n]| and |\Z)|(?:the|my|our|your)\Z)"
    r"| (?P<thing_zh>[\u4e00-\u9fff]+) ?(?=[,.;。、\n]|\Z)"
)
_BEFORE = re.compile(
    r"(?P<thing>(?:the|my|our|your) (?!(?:answer|name|choice|one|word)\b)[a-z-]+(?: [a-z-]+)?)"
    r" (?:would [a-z]+ )?(?:as|is|was) \Z"
    r"|(?:\A|[,;:.!?。、\n])(?P<thing_zh>[\u4e00-\u9fff]{1,8}?)就?(?:叫|报|用|写)\Z"
)


def own_value(segment: str, mentions: Sequence[Mention], keys: Sequence[str]) -> Mention | None:
    """The mention that an answer binds to what is asked about, if it binds each to another thing.

    Args:
        segment: normalised answer.
        mentions: of candidates in it, in text order.
        keys: forms by which the evidence names what is asked about.

    Returns:
        None unless every mention stands in the same way beside a thing, no two values beside one
        thing, and one of the things is what is asked about.
    """
    asked = {normalise(key).text for key in keys}
    for bindings in (_behind(segment, mentions), _before(segment, mentions)):
        values: dict[str, set[str]] = {}
        for mention, thing in zip(mentions, bindings, strict=True):
            if thing:
                values.setdefault(thing, set()).add(mention.candidate)
        whole = all(thing is not None for thing in bindings)
        if whole and len(values) > 1 and all(len(found) == 1 for found in values.values()):
            for mention, thing in zip(mentions, bindings, strict=True):
                if thing in asked:
                    return mention
    return None


def _behind(segment: str, mentions: Sequence[Mention]) -> list[str | None]:
    """The thing behind each mention; empty where the answer was cut there, None without one."""
    return [_thing(_BEHIND.match(segment, mention.end)) for mention in mentions]


def _before(segment: str, mentions: Sequence[Mention]) -> list[str | None]:
    """The thing before each mention."""
    return [_thing(_BEFORE.search(segment[: mention.start])) for mention in mentions]


def _thing(found: re.Match[str] | None) -> str | None:
    return found and (found["thing"] or found["thing_zh"] or "")
