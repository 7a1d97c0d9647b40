"""Solvers that read no history: the oracle, fixed choices, and windows that forget."""

from __future__ import annotations

from qwen_bench.chat.messages import Conversation
from qwen_bench.probes.probe import Probe
from qwen_bench.solvers.history_reading import ABSTAIN, Solver, hashed, listed, options_of
from qwen_bench.solvers.rule_marks import marked_reply, unmarked_reply


def oracle(probe: Probe, _: Conversation) -> str:
    """Knows the latent state; abstains where the prompt holds no evidence."""
    if probe.answer_kind == "rule":
        marked = probe.gold == "marked" and probe.condition != "blind"
        return marked_reply(probe) if marked else unmarked_reply(probe)
    return ABSTAIN[probe.lang] if probe.condition == "blind" else probe.gold


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
    return ABSTAIN[probe.lang]


def never_abstain(probe: Probe, messages: Conversation) -> str:
    """The oracle, but a blind pick where the right answer is to abstain."""
    return blind(probe, messages) if probe.gold_abstains else oracle(probe, messages)


def yes(probe: Probe, _: Conversation) -> str:
    """Always agrees."""
    return "是" if probe.lang == "zh" else "yes"


def no(probe: Probe, _: Conversation) -> str:
    """Always denies."""
    return "否" if probe.lang == "zh" else "no"


def sees(probe: Probe, turns: int) -> bool:
    """Whether all evidence lies in the last `turns` turns of the history."""
    return probe.distance_first is not None and probe.distance_first < turns


def window(turns: int) -> Solver:
    """A solver that knows the last `turns` turns."""

    def solve(probe: Probe, messages: Conversation) -> str:
        if sees(probe, turns):
            return oracle(probe, messages)
        return unmarked_reply(probe) if probe.answer_kind == "rule" else ABSTAIN[probe.lang]

    solve.__doc__ = f"The oracle if all evidence lies in the last {turns} turns, else abstains."
    return solve
