"""What solvers read: the history of a prompt, and where it names candidates.

Texts recur (histories nest, filler is shared), so all work on one text is done once and kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from qwen_bench.chat.messages import Conversation, Message
from qwen_bench.probes.probe import Probe
from qwen_bench.scoring.mentions import Mention, find_mentions
from qwen_bench.scoring.normalise import normalise

Solver = Callable[[Probe, Conversation], str]
Aliases = tuple[tuple[str, tuple[str, ...]], ...]

ABSTAIN = {"en": "not mentioned", "zh": "没提过"}
_SPEAKER = re.compile(r"^(?:(User|用户)|(?:Assistant|助手))(?:: |：)")


class Place(NamedTuple):
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


def places_of(probe: Probe, history: Conversation) -> list[Place]:
    """Every mention of a candidate of the probe, in the order of the text."""
    aliases = aliases_of(probe)
    return [
        Place(number, mention)
        for number, message in enumerate(history)
        for mention in mentions_in(message.content, probe.candidates, aliases)
    ]


def options_of(probe: Probe) -> tuple[str, ...]:
    """What a solver that reads no history picks from."""
    return probe.rank_candidates if probe.answer_kind == "set" else probe.candidates


def hashed(probe: Probe, options: Sequence[str]) -> str:
    """One of the options by a hash of the question, the same for both variants."""
    digest = hashlib.sha256(probe.question_text.encode()).digest()
    return sorted(options)[int.from_bytes(digest[:8], "big") % len(options)]


def distinct(names: Iterator[str] | Sequence[str], count: int) -> list[str]:
    """The first `count` different names."""
    return list(dict.fromkeys(names))[:count]


def listed(probe: Probe, items: Sequence[str]) -> str:
    """Items as one writes a list in the language of the probe."""
    return ("、" if probe.lang == "zh" else ", ").join(items)
