"""What solvers without memory score on the evidence of a family alone, by level."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from qwen_bench.chat.messages import Conversation, Message
from qwen_bench.probes.probe import WORDINGS, Probe, ProbeId
from qwen_bench.solvers.fixed_choice import blind, constant, longest
from qwen_bench.solvers.gender_prejudice import gender
from qwen_bench.solvers.history_reading import frequency, last_entity, primacy, recency
from qwen_bench.solvers.word_overlap import overlap

from .instances import Told, family, told

TOLERANCE = 0.05
READING = {
    "recency": recency,
    "primacy": primacy,
    "frequency": frequency,
    "last-entity": last_entity,
    "overlap": overlap,
}
# Those of one family alone.
SPECIAL = {"gender": gender}
FIXED = {"blind": blind, "constant": constant, "longest": longest}
# As many rotations as a factor has values at most, so that counterbalanced factors are complete.
ROTATIONS, SLOTS = 16, 8
# So many that picks by a hash come near their chance.
MANY_ROTATIONS = 48


def as_probe(item: Told, variant: str) -> tuple[Probe, Conversation]:
    """The question of an instance right after its evidence."""
    question = item.question
    turns = len(item.turns)
    text = item.asked[question.name]
    probe = Probe(
        id=ProbeId(""),
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
        needs=tuple(range(1, turns + 1)),
        question_text=text,
        gold=question.gold,
        candidates=question.candidates,
        rank_candidates=question.rank_candidates,
        aliases=question.aliases,
        answer_kind=item.family.task.answer,
        gold_abstains=question.gold_abstains,
        chance=item.family.task.chance,
        factors={},
        key_words=question.key_words,
    )
    spoken = [
        Message(role, said)
        for turn in item.turns
        for role, said in zip(("user", "assistant"), turn, strict=True)
    ]
    return probe, (*spoken, Message("user", text))


@cache
def twins(
    name: str, lang: str, level: int, rotations: int
) -> list[tuple[tuple[Probe, Conversation], ...]]:
    """Both variants of many instances of a level, in alternating wordings."""
    return [
        tuple(
            as_probe(
                told(
                    name,
                    lang,
                    "eval",
                    variant,
                    rotation,
                    level=level,
                    wording=WORDINGS[(rotation + slot) % 2],
                    slot=slot,
                ),
                variant,
            )
            for variant in "AB"
        )
        for slot in range(SLOTS)
        for rotation in range(rotations)
    ]


def right(solver: str, probe: Probe, messages: Conversation) -> bool:
    """Whether a solver finds the gold; those that read nothing pick from the four to rank."""
    if solver in FIXED:
        return FIXED[solver](replace(probe, candidates=probe.rank_candidates), ()) == probe.gold
    return {**READING, **SPECIAL}[solver](probe, messages) == probe.gold


def score(name: str, solver: str, lang: str, level: int, rotations: int = ROTATIONS) -> float:
    """Share of right answers."""
    found = [
        right(solver, *asked) for pair in twins(name, lang, level, rotations) for asked in pair
    ]
    return sum(found) / len(found)


def group_score(name: str, solver: str, lang: str, level: int, rotations: int = ROTATIONS) -> float:
    """Share of twin groups with both answers right."""
    found = [
        all(right(solver, *one) for one in pair) for pair in twins(name, lang, level, rotations)
    ]
    return sum(found) / len(found)


def declared(name: str, solver: str, level: int) -> tuple[float, bool]:
    """What task.yaml declares for a level, and whether it is an upper gate only."""
    value = family(name).task.shortcuts[solver]
    value = value[level - 1] if isinstance(value, list) else value
    gate = isinstance(value, str)
    return float(value.removeprefix("<=") if gate else value), gate


def undeclared(name: str, lang: str, level: int, rotations: int = ROTATIONS) -> Iterator[str]:
    """Solvers whose score is not what task.yaml says, with what they score."""
    for solver in family(name).task.shortcuts:
        if solver not in {**FIXED, **READING, **SPECIAL}:
            continue
        expected, gate = declared(name, solver, level)
        found = score(name, solver, lang, level, rotations)
        if found - expected > TOLERANCE or (not gate and expected - found > TOLERANCE):
            yield f"{solver}: {found:.3f}, declared {expected}"
