"""What shortcuts score on a family's evidence alone, level by level, beside what it declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from qwen_bench.chat.messages import Message
from qwen_bench.probes.instance import Question
from qwen_bench.probes.probe import LANGS, WORDINGS, Probe, ProbeId
from qwen_bench.solvers.solver_engine import SOLVERS

from .instances import Told, family, told

READ_NOTHING = {"blind", "constant", "longest"}
ROTATIONS, SLOTS = range(40), range(3)
TOLERANCE = 0.05


def probe_of(item: Told, question: Question, variant: str) -> Probe:
    """The probe that asks a question about an instance whose evidence is the whole history."""
    turns = len(item.turns)
    return Probe(
        id=ProbeId(f"{item.family.name}/{question.name}"),
        programme="",
        cluster="",
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
        needs=tuple(number + 1 for number in question.needs),
        question_text=item.asked[question.name],
        gold=question.gold,
        candidates=question.candidates,
        rank_candidates=question.rank_candidates or question.candidates,
        aliases=question.aliases,
        answer_kind=item.family.task.answer,
        gold_abstains=question.gold_abstains,
        chance=item.family.task.chance,
        factors=item.factors,
        key_words=question.key_words,
    )


def _says(solver: str, item: Told, question: Question, variant: str) -> str:
    """What a solver answers."""
    probe = probe_of(item, question, variant)
    if solver in READ_NOTHING:
        probe = replace(probe, candidates=probe.rank_candidates)
    history = [
        message
        for user, reply in item.turns
        for message in (Message("user", user), Message("assistant", reply))
    ]
    return SOLVERS[solver](probe, (*history, Message("user", probe.question_text)))


def scores(name: str, solver: str, level: int) -> Mapping[str, float]:
    """Share of right answers by language, over both variants and wordings, in the eval split."""
    found = {}
    for lang in LANGS:
        right = [
            _says(solver, item, question, variant) == question.gold
            for rotation in ROTATIONS
            for slot in SLOTS
            for wording in WORDINGS
            for variant in "AB"
            for item in [
                told(name, lang, "eval", variant, rotation, level=level, wording=wording, slot=slot)
            ]
            for question in item.instance.questions
        ]
        found[lang] = sum(right) / len(right)
    return found


def undeclared(name: str, level: int) -> list[tuple[str, str, float, object]]:
    """Solver, language, score and declaration, wherever the two differ at a level."""
    wrong: list[tuple[str, str, float, object]] = []
    for solver, declared in family(name).task.shortcuts.items():
        value = declared[level - 1] if isinstance(declared, list) else declared
        gate = isinstance(value, str)
        limit = float(str(value).removeprefix("<="))
        for lang, score in scores(name, solver, level).items():
            if score > limit + TOLERANCE or (not gate and score < limit - TOLERANCE):
                wrong.append((solver, lang, score, value))
    return wrong
