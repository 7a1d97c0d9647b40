"""Solvers that read the history: where it names candidates, and whether it carries a mark.

Texts recur (histories nest, filler is shared), so all work on one text is done once and kept.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from qwen_bench.chat.messages import Conversation, Message
from qwen_bench.chat.token_estimate import prompt_tokens
from qwen_bench.probes.probe import Probe, Rule, apply_rule
from qwen_bench.scoring.mentions import Mention, find_mentions
from qwen_bench.scoring.normalise import normalise
from qwen_bench.solvers.fixed_choice import (
    Solver,
    blind,
    forgetful,
    hashed,
    listed,
    marked_reply,
    unmarked_reply,
)

Aliases = tuple[tuple[str, tuple[str, ...]], ...]

_SPEAKER = re.compile(r"^(?:(User|用户)|(?:Assistant|助手))(?:: |：)")
# Distance of two places in different messages, larger than any message is long.
_MESSAGE = 1_000_000


class MentionPlace(NamedTuple):
    """A mention in a history: number of the message from 0, and the span in its plain text."""

    message: int
    mention: Mention


def history_of(probe: Probe, messages: Conversation) -> Conversation:
    """The messages before the question; a flattened history is taken apart again."""
    if probe.condition != "concat":
        return messages[:-1]
    text = messages[-1].content.removesuffix(probe.question_text)
    return (*messages[:-1], *_unflattened(text))


@lru_cache(maxsize=64)
def _unflattened(text: str) -> Conversation:
    """Messages of the lines ``User: ...`` and ``Assistant: ...``; other lines go on the last."""
    found: list[Message] = []
    for line in text.strip().split("\n")[1:]:
        if start := _SPEAKER.match(line):
            found.append(Message("user" if start[1] else "assistant", line[start.end() :]))
        elif found and line:
            found[-1] = Message(found[-1].role, f"{found[-1].content}\n{line}")
    return tuple(found)


@lru_cache(maxsize=16384)
def plain(text: str) -> str:
    """Comparable form of a text."""
    return normalise(text).text


def aliases_of(probe: Probe) -> Aliases:
    """Aliases of a probe in a form that can be looked up."""
    return tuple(sorted((name, tuple(forms)) for name, forms in probe.aliases.items()))


@lru_cache(maxsize=16384)
def mentions_in(text: str, candidates: tuple[str, ...], aliases: Aliases = ()) -> list[Mention]:
    """Mentions of candidates in one message."""
    return find_mentions(plain(text), candidates, dict(aliases))


def places_of(probe: Probe, history: Conversation) -> list[MentionPlace]:
    """Every mention of a candidate of the probe, in the order of the text."""
    aliases = aliases_of(probe)
    return [
        MentionPlace(number, mention)
        for number, message in enumerate(history)
        for mention in mentions_in(message.content, probe.candidates, aliases)
    ]


def distinct(names: Sequence[str], count: int) -> list[str]:
    """The first `count` different names."""
    return list(dict.fromkeys(names))[:count]


def window_of_tokens(tokens: int) -> Solver:
    """A solver that knows the last `tokens` tokens of its prompt, whole turns of them."""

    def solve(probe: Probe, messages: Conversation) -> str:
        since = probe.distance_first
        if since is None:
            return forgetful(probe, messages, seen=False)
        # From the first turn with evidence on, and the question.
        newest = history_of(probe, messages)[-2 * (since + 1) :]
        size = prompt_tokens((*newest, Message("user", probe.question_text)))
        return forgetful(probe, messages, seen=size <= tokens)

    solve.__doc__ = f"The oracle if all evidence lies in the last {tokens} tokens, else abstains."
    return solve


def presence(probe: Probe, messages: Conversation) -> str:
    """The candidate to rank that the history mentions, if it is one alone; else a blind pick.

    It shows where foils come from outside the history: one binding, asked against foils.
    """
    ranked = set(probe.rank_candidates)
    found = {place.mention.candidate for place in places_of(probe, history_of(probe, messages))}
    found &= ranked
    return found.pop() if len(found) == 1 else blind(probe, messages)


def recency(probe: Probe, messages: Conversation) -> str:
    """The candidate mentioned last; for sets the last ones."""
    found = places_of(probe, history_of(probe, messages))
    return _first_of(probe, messages, list(reversed(found)))


def primacy(probe: Probe, messages: Conversation) -> str:
    """The candidate mentioned first; for sets the first ones."""
    return _first_of(probe, messages, places_of(probe, history_of(probe, messages)))


def frequency(probe: Probe, messages: Conversation) -> str:
    """The candidate mentioned most often, ties by a seeded hash; for sets the most frequent."""
    counts = Counter(dict.fromkeys(probe.candidates, 0))
    counts.update(p.mention.candidate for p in places_of(probe, history_of(probe, messages)))
    if probe.answer_kind == "set":
        return listed(probe, [name for name, _ in counts.most_common(len(probe.gold_items))])
    if not counts:
        return blind(probe, messages)
    most = max(counts.values())
    return hashed(probe, [name for name, count in counts.items() if count == most])


def last_entity(probe: Probe, messages: Conversation) -> str:
    """The candidate nearest to the last mention of what the question asks about."""
    history = history_of(probe, messages)
    places = places_of(probe, history)
    keys = [
        MentionPlace(number, mention)
        for number, message in enumerate(history)
        for mention in mentions_in(message.content, probe.key_words)
    ]
    if not keys:
        return _first_of(probe, messages, list(reversed(places)))
    last = keys[-1]
    return _first_of(probe, messages, sorted(places, key=lambda place: _distance(place, last)))


def copycat(probe: Probe, messages: Conversation) -> str:
    """Gives its reply the form of the last scripted one."""
    replies = [m.content for m in history_of(probe, messages) if m.role == "assistant"]
    for rule in probe.forms or (probe.rule,):
        if replies and _carries(probe, rule, replies[-1]):
            return marked_reply(probe, rule)
    return unmarked_reply(probe)


def _carries(probe: Probe, rule: Rule | None, reply: str) -> bool:
    """Whether a scripted reply obeys a rule: applying it once more changes nothing."""
    return rule is not None and apply_rule(rule, reply, probe.lang) == reply


def _distance(place: MentionPlace, key: MentionPlace) -> tuple[int, int]:
    """Characters between a candidate and the key, messages counted first; before wins a tie."""
    messages = abs(place.message - key.message)
    if messages:
        return messages * _MESSAGE, place.message > key.message
    if place.mention.end <= key.mention.start:
        return key.mention.start - place.mention.end, 0
    return max(place.mention.start - key.mention.end, 0), 1


def _first_of(probe: Probe, messages: Conversation, places: list[MentionPlace]) -> str:
    """The candidate of the first place (for sets of the first places), or a blind pick."""
    names = [place.mention.candidate for place in places]
    if not names:
        return blind(probe, messages)
    if probe.answer_kind == "set":
        return listed(probe, distinct(names, len(probe.gold_items)))
    return names[0]
