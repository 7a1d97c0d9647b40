"""Solvers that read no history: the oracle, fixed choices, rule marks, and windows that forget."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from qwen_bench.chat.messages import Conversation
from qwen_bench.probes.probe import PLAIN, Probe, Rule, apply_rule

Solver = Callable[[Probe, Conversation], str]

ABSTAIN = {"en": "not mentioned", "zh": "没提过"}
# Asked whether something was said, "not mentioned" would be a no.
UNSURE = {"en": "I don't know", "zh": "不知道"}
# What is said where a rule leaves open what to say.
_SAID = {"en": "I would say a turnip.", "zh": "我会说萝卜。"}


def unmarked_reply(probe: Probe) -> str:
    """The right thing said in no special form."""
    return probe.content or _SAID[probe.lang]


def marked_reply(probe: Probe, rule: Rule | None) -> str:
    """The same reply in the form of a rule."""
    if rule is None:
        raise ValueError(f"{probe.id}: a probe of kind rule has no rule")
    return apply_rule(rule, unmarked_reply(probe), probe.lang)


def options_of(probe: Probe) -> tuple[str, ...]:
    """What a solver that reads no history picks from: the candidates to rank, if there are any."""
    return probe.rank_candidates or probe.candidates


def hashed(probe: Probe, options: Sequence[str]) -> str:
    """One of the options by a hash of the question, the same for both variants."""
    digest = hashlib.sha256(probe.question_text.encode()).digest()
    return sorted(options)[int.from_bytes(digest[:8], "big") % len(options)]


def listed(probe: Probe, items: Sequence[str]) -> str:
    """Items as one writes a list in the language of the probe."""
    return ("、" if probe.lang == "zh" else ", ").join(items)


def oracle(probe: Probe, _: Conversation) -> str:
    """Knows the latent state; abstains where the prompt holds no evidence."""
    if probe.answer_kind == "rule":
        marked = probe.gold != PLAIN and probe.condition != "blind"
        return marked_reply(probe, probe.rule) if marked else unmarked_reply(probe)
    return _abstention(probe) if probe.condition == "blind" else probe.gold


def blind(probe: Probe, _: Conversation) -> str:
    """Sees question and candidates only; picks by a seeded hash of the question."""
    if probe.answer_kind == "rule":
        return unmarked_reply(probe)
    return hashed(probe, options_of(probe))


def constant(probe: Probe, _: Conversation) -> str:
    """The first candidate in listed order."""
    return unmarked_reply(probe) if probe.answer_kind == "rule" else options_of(probe)[0]


def longest(probe: Probe, _: Conversation) -> str:
    """The candidate with the longest surface form; of equal ones the first."""
    if probe.answer_kind == "rule":
        return unmarked_reply(probe)
    return max(options_of(probe), key=len)


def dump(probe: Probe, _: Conversation) -> str:
    """Lists all candidates."""
    if probe.answer_kind == "rule":
        return unmarked_reply(probe)
    return listed(probe, probe.candidates)


def abstain(probe: Probe, _: Conversation) -> str:
    """Always says that it was never stated."""
    return _abstention(probe)


def _abstention(probe: Probe) -> str:
    return (UNSURE if probe.answer_kind == "yesno" else ABSTAIN)[probe.lang]


def never_abstain(probe: Probe, messages: Conversation) -> str:
    """The oracle, but a value picked blindly where the right answer is to abstain."""
    return hashed(probe, probe.candidates) if probe.gold_abstains else oracle(probe, messages)


def yes(probe: Probe, _: Conversation) -> str:
    """Always agrees."""
    return "是" if probe.lang == "zh" else "yes"


def no(probe: Probe, _: Conversation) -> str:
    """Always denies."""
    return "否" if probe.lang == "zh" else "no"


def follow(probe: Probe, _: Conversation) -> str:
    """Always marks its reply in the first form that the history of either variant asks for."""
    return marked_reply(probe, next(iter(probe.forms), probe.rule))


def never_follow(probe: Probe, _: Conversation) -> str:
    """Never marks its reply."""
    return unmarked_reply(probe)


def sees(probe: Probe, turns: int) -> bool:
    """Whether all evidence lies in the last `turns` turns of the history."""
    return probe.distance_first is not None and probe.distance_first < turns


def forgetful(probe: Probe, messages: Conversation, *, seen: bool) -> str:
    """The oracle where the evidence was seen, else one who knows nothing of it."""
    if seen:
        return oracle(probe, messages)
    return unmarked_reply(probe) if probe.answer_kind == "rule" else _abstention(probe)


def window(turns: int) -> Solver:
    """A solver that knows the last `turns` turns."""

    def solve(probe: Probe, messages: Conversation) -> str:
        return forgetful(probe, messages, seen=sees(probe, turns))

    solve.__doc__ = f"The oracle if all evidence lies in the last {turns} turns, else abstains."
    return solve
