"""What solvers without memory score on a family's evidence, beside what task.yaml declares."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from qwen_bench.chat.messages import Conversation, Message
from qwen_bench.probes.probe import WORDINGS, Cluster, Probe, ProbeId
from qwen_bench.solvers.solver_engine import SOLVERS

from .instances import Told, family, told

READ_NOTHING = {"blind", "constant", "longest", "gender"}
TOLERANCE = 0.05
# Every factor of at most eight values is complete in each wording.
ROTATIONS, SLOTS = 48, 8


def asked_directly(item: Told, variant: str, candidates: tuple[str, ...]) -> Probe:
    """The probe that asks an instance's question right after its evidence."""
    question, turns = item.question, len(item.turns)
    return Probe(
        id=ProbeId(question.name),
        programme="",
        cluster=Cluster(""),
        variant=variant,
        lang=item.lang,
        family=question.family,
        question=question.name,
        twin_group="",
        condition="adjacent",
        length=turns,
        distance=0,
        distance_first=turns - 1,
        position=1.0,
        needs=tuple(range(1, turns + 1)),
        question_text=item.asked[question.name],
        gold=question.gold,
        candidates=candidates,
        rank_candidates=question.rank_candidates,
        aliases=question.aliases,
        answer_kind=item.family.task.answer,
        gold_abstains=False,
        chance=item.family.task.chance,
        factors=item.factors,
        key_words=question.key_words,
    )


def is_right(solver: str, item: Told, variant: str) -> bool:
    """Whether a solver names the gold; those that read nothing pick from what is ranked."""
    question = item.question
    candidates = question.rank_candidates if solver in READ_NOTHING else question.candidates
    probe = asked_directly(item, variant, candidates)
    messages: Conversation = tuple(
        Message(role, text)
        for turn in item.turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    )
    asked = (*messages, Message("user", probe.question_text))
    return SOLVERS[solver](probe, asked) == question.gold


@cache
def twins(name: str, lang: str, level: int) -> list[tuple[Told, Told]]:
    """Both variants of many instances of a level, in both wordings."""
    return [
        tuple(
            told(name, lang, "eval", variant, rotation, level=level, wording=wording, slot=slot)
            for variant in "AB"
        )
        for rotation in range(ROTATIONS)
        for slot in range(SLOTS)
        for wording in (WORDINGS[(rotation + slot) % 2],)
    ]


def share_right(name: str, solver: str, lang: str, level: int) -> float:
    """Share of right answers over both variants."""
    found = [
        is_right(solver, item, variant)
        for pair in twins(name, lang, level)
        for variant, item in zip("AB", pair, strict=True)
    ]
    return sum(found) / len(found)


def groups_right(name: str, solver: str, lang: str, level: int) -> int:
    """Twin groups with both answers right."""
    return sum(
        all(is_right(solver, item, variant) for variant, item in zip("AB", pair, strict=True))
        for pair in twins(name, lang, level)
    )


def undeclared(name: str, lang: str, level: int) -> Iterator[str]:
    """Solvers whose score is not what task.yaml says, with what they score."""
    for solver, by_level in family(name).task.shortcuts.items():
        declared = by_level[level - 1] if isinstance(by_level, list) else by_level
        found = share_right(name, solver, lang, level)
        most = float(declared.removeprefix("<=")) if isinstance(declared, str) else declared
        if found - most > TOLERANCE or (declared == most and most - found > TOLERANCE):
            yield f"{solver}: {found:.3f}, declared {declared}"
