"""How often a solver without memory of its own is right, on evidence that stands by itself."""

from __future__ import annotations

from dataclasses import replace

from qwen_bench.chat.messages import Message
from qwen_bench.probes.probe import Cluster, Probe, ProbeId
from qwen_bench.solvers.solver_engine import SOLVERS

HISTORY_READERS = ("recency", "primacy", "frequency", "last-entity", "overlap")
# These see no history and pick from what is ranked.
PICKERS = ("blind", "constant", "longest")
# Instances are counterbalanced by rotation and slot; a tolerance for what is left of chance.
NEAR = 0.05


def probe_of(item, question) -> Probe:
    """The probe that asks a question directly after its evidence."""
    ranked = question.rank_candidates or question.candidates
    return Probe(
        id=ProbeId("x"),
        programme="",
        cluster=Cluster("x"),
        variant="A",
        lang=item.lang,
        family=question.family,
        question=question.name,
        twin_group="",
        condition="adjacent",
        length=len(item.turns),
        distance=0,
        distance_first=0,
        position=1.0,
        needs=question.needs,
        question_text=item.asked[question.name],
        gold=question.gold,
        candidates=question.candidates,
        rank_candidates=ranked,
        aliases=question.aliases,
        answer_kind=item.family.task.answer,
        gold_abstains=question.gold_abstains,
        chance=1 / len(ranked),
        factors={},
        key_words=question.key_words,
    )


def is_right(solver, item, question) -> bool:
    """Whether a solver names the gold of a question asked directly after its evidence."""
    probe = probe_of(item, question)
    if solver in PICKERS:
        probe = replace(probe, candidates=probe.rank_candidates)
    turns = [
        Message(role, text)
        for turn in item.turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
    asked = (*turns, Message("user", probe.question_text))
    return SOLVERS[solver](probe, asked) == question.gold


def share_right(solver, items) -> float:
    """Share of the questions about these instances that a solver answers right."""
    right = [is_right(solver, item, q) for item in items for q in item.instance.questions]
    assert len(right) >= 200
    return sum(right) / len(right)


def keeps_to(share: float, declared: object) -> bool:
    """Whether a measured share is what task.yaml declares: near a number, or below a gate."""
    if isinstance(declared, str):
        return share <= float(declared.removeprefix("<=")) + NEAR
    assert isinstance(declared, float | int)
    return abs(share - declared) <= NEAR


def declared_at(item, solver, level):
    """What task.yaml declares for a solver at a level."""
    found = item.family.task.shortcuts[solver]
    return found[level - 1] if isinstance(found, list) else found
