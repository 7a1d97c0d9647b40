"""How long an instruction survives, what of it is kept, and how a model abstains.

All read outcomes in the main condition; a row without a score counts as a violation or as wrong.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qwen_bench.record.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One history length of a survival curve.

    Attributes:
        at_risk: dialogues under observation here that had no violation before.
        violated: of these, the ones with their first violation here.
        survival: Kaplan-Meier estimate after this checkpoint.
    """

    at_risk: int
    violated: int
    survival: float


@dataclass(frozen=True, slots=True)
class RuleScores:
    """The two scores of replies to rules; a reply is right only with both.

    Attributes:
        n: replies that have both scores.
        form: share that kept the rule.
        content: share that named the right thing.
        both: share that did both.
    """

    n: int
    form: float
    content: float
    both: float


@dataclass(frozen=True, slots=True)
class Abstention:
    """Whether a model says that something was never stated exactly when it was not.

    Attributes:
        stated, absent: probes whose answer was stated (variant A) and was not (variant B).
        balanced_accuracy: mean of the accuracies on both.
        false_abstain: share of the stated ones answered by abstaining.
        invented: share of the absent ones answered with one value and no word of doubt. Answers
            with several values, or with a value and an abstain phrase, are wrong for the reason
            `multiple`, so this is at most 1 - accuracy.
    """

    stated: int
    absent: int
    balanced_accuracy: float
    false_abstain: float
    invented: float


def kaplan_meier(
    observed: Sequence[tuple[int, int, bool]], lengths: Sequence[int]
) -> dict[int, Checkpoint]:
    """Survival over the checkpoints (Kaplan and Meier 1958).

    A dialogue is at risk from its first checkpoint on, so a rule stated late does not count as kept
    before it was given, and up to its last one, where it is censored if nothing was violated.

    Args:
        observed: of each dialogue the first checkpoint asked, the checkpoint of the first violation
            or else the last one asked, and whether there was a violation.
        lengths: checkpoints, increasing.

    Returns:
        By checkpoint, without those before the first dialogue enters.
    """
    survival = 1.0
    found: dict[int, Checkpoint] = {}
    for length in lengths:
        at_risk = sum(first <= length <= last for first, last, _ in observed)
        violated = sum(last == length and ended for _, last, ended in observed)
        if at_risk:
            survival *= 1 - violated / at_risk
        if at_risk or found:
            found[length] = Checkpoint(at_risk, violated, survival)
    return found


def instruction_survival(outcomes: Iterable[Outcome]) -> dict[int, Checkpoint]:
    """Share of dialogues whose instruction was never violated, by history length.

    A dialogue (cluster, variant, language) is violated at the first history length at which the
    answer to any of its questions is wrong; one without a violation is censored at its last.
    Dialogues of a cluster are not independent; no interval is made.

    Args:
        outcomes: of one scorer and of rule families, one row per probe; other conditions than main
            are left out.
    """
    dialogues: dict[tuple[str, str, str], dict[int, int]] = {}
    for row in outcomes:
        if row.condition == "main":
            kept = dialogues.setdefault((row.cluster, row.variant, row.lang), {})
            kept[row.length] = min(row.value, kept.get(row.length, 1))
    observed = []
    for kept in dialogues.values():
        violations = [length for length, value in kept.items() if not value]
        last = min(violations) if violations else max(kept)
        observed.append((min(kept), last, bool(violations)))
    lengths = sorted({length for kept in dialogues.values() for length in kept})
    return kaplan_meier(observed, lengths)


def rule_scores(outcomes: Iterable[Outcome]) -> RuleScores | None:
    """Form and content of the replies to rules.

    Args:
        outcomes: of one scorer, one row per probe; other conditions than main are left out, and
            rows without the two scores: of other families, failed, or of scorers before 2.0.

    Returns:
        None without any.
    """
    scores = [
        (row.form, row.content)
        for row in outcomes
        if row.condition == "main" and row.form is not None and row.content is not None
    ]
    if not scores:
        return None
    return RuleScores(
        n=len(scores),
        form=sum(form for form, _ in scores) / len(scores),
        content=sum(content for _, content in scores) / len(scores),
        both=sum(form * content for form, content in scores) / len(scores),
    )


def abstention(outcomes: Iterable[Outcome]) -> Abstention | None:
    """Balanced accuracy and both ways to be wrong.

    Args:
        outcomes: of one scorer and of the family abstention, one row per probe; other conditions
            than main are left out.

    Returns:
        None unless both variants were asked.
    """
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    reasons: Counter[tuple[str, str | None]] = Counter()
    for row in outcomes:
        if row.condition == "main":
            asked[row.variant] += 1
            right[row.variant] += row.value
            reasons[row.variant, row.reason] += 1
    if not asked["A"] or not asked["B"]:
        return None
    return Abstention(
        stated=asked["A"],
        absent=asked["B"],
        balanced_accuracy=(right["A"] / asked["A"] + right["B"] / asked["B"]) / 2,
        false_abstain=reasons["A", "abstained"] / asked["A"],
        invented=reasons["B", "wrong_candidate"] / asked["B"],
    )
