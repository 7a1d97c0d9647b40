"""What solvers without memory score on the evidence of a family alone, level by level."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from qwen_bench.chat.messages import Message
from qwen_bench.probes.instance import Question
from qwen_bench.probes.probe import LANGS, WORDINGS, Probe, ProbeId
from qwen_bench.solvers.solver_engine import SOLVERS

from .instances import Told, family, pair

# These see no history and pick from what is ranked.
PICKERS = ("blind", "constant", "longest")
TOLERANCE = 0.05
# These pick by a hash, some of them where two are equal: random, no balanced factor. So both
# languages are taken together, and four standard errors are allowed.
HASHING = (*PICKERS, "frequency", "gender")
HASH_TOLERANCE = 0.07
ROTATIONS, SLOTS = range(12), range(10)


def as_probe(item: Told, question: Question, variant: str = "A") -> Probe:
    """The probe that asks a question right after its evidence."""
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
        gold_items=question.gold_items,
        candidates=question.candidates,
        rank_candidates=question.rank_candidates or question.candidates,
        aliases=question.aliases,
        answer_kind=item.family.task.answer,
        gold_abstains=question.gold_abstains,
        chance=item.family.task.chance,
        factors=item.factors,
        key_words=question.key_words,
    )


def is_right(solver: str, item: Told, question: Question) -> bool:
    """Whether a solver that sees nothing but the evidence and the question gives the gold."""
    probe = as_probe(item, question)
    history = [
        Message(role, text)
        for turn in item.turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
    said = SOLVERS[solver](probe, (*history, Message("user", probe.question_text)))
    if question.gold_items:
        return set(said.split(item.words.comma)) == set(question.gold_items)
    return said == question.gold or (question.gold_abstains and solver == "abstain")


@cache
def right(name: str, solver: str, lang: str, level: int) -> list[dict[tuple[str, str], bool]]:
    """For many twin pairs: by question and variant whether a solver is right."""
    host = family(name).group
    return [
        {
            (question.name, variant): is_right(solver, item, question)
            for variant, item in zip("AB", twins, strict=True)
            for question in item.instance.questions
            if question.family == name
        }
        for rotation in ROTATIONS
        for slot in SLOTS
        for wording in [WORDINGS[(rotation + slot) % len(WORDINGS)]]
        for twins in [pair(host, lang, "eval", rotation, level=level, slot=slot, wording=wording)]
    ]


def score(name: str, solver: str, lang: str, level: int) -> float:
    """Share of right answers over both variants and wordings."""
    marks = [mark for found in right(name, solver, lang, level) for mark in found.values()]
    return sum(marks) / len(marks)


def declared(name: str, solver: str, level: int) -> float | str:
    """What task.yaml declares for a level."""
    found = family(name).task.shortcuts[solver]
    return found[level - 1] if isinstance(found, list) else found


def keeps_to(found: float, due: float | str, tolerance: float = TOLERANCE) -> bool:
    """Whether a share is what is declared: near a number, or not above a gate such as "<=.33"."""
    limit = float(str(due).removeprefix("<="))
    return found <= limit + tolerance and (isinstance(due, str) or found >= limit - tolerance)


def undeclared(name: str, level: int) -> Iterator[str]:
    """Solvers whose score at a level is not what task.yaml declares, and what they score."""
    for solver in family(name).task.shortcuts:
        due = declared(name, solver, level)
        found = {lang: score(name, solver, lang, level) for lang in LANGS}
        if solver in HASHING:
            wrong = not keeps_to(sum(found.values()) / len(found), due, HASH_TOLERANCE)
        else:
            wrong = not all(keeps_to(share, due) for share in found.values())
        if wrong:
            yield f"{solver}: {found}, declared {due}"
