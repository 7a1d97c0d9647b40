"""Solvers that look where candidates are named and at nothing else."""

from __future__ import annotations

from collections import Counter

from qwen_bench.chat.messages import Conversation
from qwen_bench.probes.probe import Probe
from qwen_bench.solvers.fixed_choice import blind
from qwen_bench.solvers.history_reading import (
    Place,
    distinct,
    hashed,
    history_of,
    listed,
    mentions_in,
    places_of,
)

# Distance of two places in different messages, larger than any message is long.
_MESSAGE = 1_000_000


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
        Place(number, mention)
        for number, message in enumerate(history)
        for mention in mentions_in(message.content, probe.key_words)
    ]
    if not keys:
        return _first_of(probe, messages, list(reversed(places)))
    last = keys[-1]
    return _first_of(probe, messages, sorted(places, key=lambda place: _distance(place, last)))


def _distance(place: Place, key: Place) -> tuple[int, int]:
    """Characters between a candidate and the key, messages counted first; before wins a tie."""
    messages = abs(place.message - key.message)
    if messages:
        return messages * _MESSAGE, place.message > key.message
    if place.mention.end <= key.mention.start:
        return key.mention.start - place.mention.end, 0
    return max(place.mention.start - key.mention.end, 0), 1


def _first_of(probe: Probe, messages: Conversation, places: list[Place]) -> str:
    """The candidate of the first place (for sets of the first places), or a blind pick."""
    names = [place.mention.candidate for place in places]
    if not names:
        return blind(probe, messages)
    if probe.answer_kind == "set":
        return listed(probe, distinct(names, len(probe.gold_items)))
    return names[0]
