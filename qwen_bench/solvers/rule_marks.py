"""Solvers of rule families: what they say does not matter, only whether it carries the mark."""

from __future__ import annotations

from qwen_bench.chat.messages import Conversation
from qwen_bench.probes.probe import Probe, apply_rule
from qwen_bench.solvers.history_reading import history_of

_SAID = {"en": "I would say a turnip.", "zh": "我会说萝卜。"}


def unmarked_reply(probe: Probe) -> str:
    """A reply without the mark."""
    return _SAID[probe.lang]


def marked_reply(probe: Probe) -> str:
    """The same reply in the form of the probe's rule."""
    if probe.rule is None:
        raise ValueError(f"{probe.id}: a probe of kind rule has no rule")
    return apply_rule(probe.rule, _SAID[probe.lang], probe.lang)


def follow(probe: Probe, _: Conversation) -> str:
    """Always marks its reply."""
    return marked_reply(probe)


def never_follow(probe: Probe, _: Conversation) -> str:
    """Never marks its reply."""
    return unmarked_reply(probe)


def copycat(probe: Probe, messages: Conversation) -> str:
    """Marks its reply exactly when the last scripted reply carries the mark."""
    replies = [m.content for m in history_of(probe, messages) if m.role == "assistant"]
    carries = bool(replies) and _carries(probe, replies[-1])
    return marked_reply(probe) if carries else unmarked_reply(probe)


def _carries(probe: Probe, reply: str) -> bool:
    """Whether a scripted reply obeys the rule: applying it once more changes nothing."""
    return probe.rule is not None and apply_rule(probe.rule, reply, probe.lang) == reply
