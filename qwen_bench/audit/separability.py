"""Whether evidence can be told from the rest of a conversation without reading it.

A classifier sees of every turn only its surface. Trained on one half of the clusters it tells the
evidence turns of the other half from the rest, and the same the other way round: where it does
better than little above chance, something marks the evidence, and whoever looks for that mark needs
no memory. What BM25 finds by the question is reported beside it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from qwen_bench.audit.findings import AuditLine, Check, RightShare
from qwen_bench.audit.questions import AskedQuestion, questions_of
from qwen_bench.audit.surface import NAMES, surface_of
from qwen_bench.errors import InputError
from qwen_bench.probes.probe import Dialogue
from qwen_bench.solvers.word_overlap import best_texts

MOST = 0.60
# Fewer clusters, or evidence turns, than this and an AUC of 0.60 is chance.
ENOUGH_CLUSTERS = 40
ENOUGH_EVIDENCE = 40
# Features named of each programme and language.
STRONGEST = 3
SEED = 0
INSTALL = "pip install 'qwen-bench[audit]'"

Numbers = NDArray[np.float64]
Truths = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Separated:
    """How well surface tells evidence turns from the rest in one programme and language.

    Attributes:
        auc: mean of both halves; 0.5 is chance.
        clusters: that the turns come from.
        evidence: turns that hold evidence.
        others: turns that do not.
        strongest: features with the AUC that each has alone, above 0.5 if evidence has more of it.
    """

    auc: float
    clusters: int
    evidence: int
    others: int
    strongest: tuple[tuple[str, float], ...]

    @property
    def gated(self) -> bool:
        """Whether there are turns enough to judge."""
        return self.clusters >= ENOUGH_CLUSTERS and self.evidence >= ENOUGH_EVIDENCE


@dataclass(frozen=True, slots=True)
class Found:
    """What a search by the question finds at one level.

    Attributes:
        first: questions with a needed turn ranked first.
        among_three: questions with one among the first three.
    """

    first: RightShare
    among_three: RightShare


def need_classifier() -> None:
    """Does nothing where the classifier is installed.

    Raises:
        InputError: it is not.
    """
    if not _classifier_is_here():
        raise InputError(
            "the audit of separability needs the package scikit-learn, which is not installed",
            fix=INSTALL,
        )


def _classifier_is_here() -> bool:
    return find_spec("sklearn") is not None


class Separability(Check):
    """Tells evidence turns from the rest by their surface, in every programme and language."""

    name = "separability"

    def __init__(self) -> None:
        super().__init__()
        self._turns: defaultdict[tuple[str, str], list[tuple[str, bool, tuple[float, ...]]]]
        self._turns = defaultdict(list)
        self._ranks: defaultdict[tuple[str, int, str], list[int | None]] = defaultdict(list)
        self.separated: dict[tuple[str, str], Separated] = {}

    def see(self, rendering: Sequence[Dialogue]) -> None:
        """Keep the surface of every turn of one variant, and where a search finds the needed."""
        first = rendering[0]
        programme = first.probes[0].probe.programme
        for turn in first.turns:
            row = (str(first.cluster), turn.group is not None, surface_of(turn, first.lang))
            self._turns[programme, first.lang].append(row)
        for asked in questions_of([first]):
            if asked.probe.needs[0] > 0:
                key = (first.lang, asked.probe.level, asked.probe.wording)
                self._ranks[key].append(_rank_of_needs(asked))

    def line(self) -> AuditLine:
        """Train and test; skipped where the classifier is not installed."""
        if not _classifier_is_here():
            return AuditLine(self.name, "skipped", f"needs scikit-learn: {INSTALL}")
        return super().line()

    def summary(self) -> str:
        """The AUC of every programme and language."""
        told = []
        for (programme, lang), rows in self._turns.items():
            separated = separate(rows)
            if separated is None:
                continue
            self.separated[programme, lang] = separated
            told.append(f"{programme} {lang} {separated.auc:.2f}")
            if separated.gated and separated.auc > MOST:
                marks = ", ".join(f"{name} {auc:.2f}" for name, auc in separated.strongest)
                what = f"AUC {separated.auc:.3f}, at most {MOST:.2f} is allowed; alone: {marks}"
                self._findings.add(f"{programme} {lang}", what)
        few = [f"{p} {lang}" for (p, lang), found in self.separated.items() if not found.gated]
        judged = f"; too few turns to judge: {', '.join(few)}" if few else ""
        scores = ", ".join(told) or "no evidence turns"
        return f"AUC of evidence against the rest by surface: {scores}{judged}"

    def found(self) -> dict[tuple[str, int, str], Found]:
        """What BM25 finds by language, level and wording."""
        return {
            key: Found(
                RightShare(sum(rank == 1 for rank in ranks), len(ranks)),
                RightShare(sum(rank is not None and rank <= 3 for rank in ranks), len(ranks)),
            )
            for key, ranks in sorted(self._ranks.items())
        }

    def lines(self) -> list[str]:
        """Tables of both for the terminal."""
        return [*_separated_lines(self.separated), *_found_lines(self.found())]


def _rank_of_needs(asked: AskedQuestion) -> int | None:
    """Place, from 1, of the first needed turn in a search by the question; None if not found."""
    shown = asked.turns[: asked.probe.length]
    texts = [f"{turn.user}\n{turn.assistant}" for turn in shown]
    order = best_texts(asked.probe.question_text, texts)
    places = [order.index(turn - 1) + 1 for turn in asked.probe.needs if turn - 1 in order]
    return min(places, default=None)


def separate(rows: Sequence[tuple[str, bool, tuple[float, ...]]]) -> Separated | None:
    """Train on half of the clusters, test on the other half, and change sides.

    Args:
        rows: cluster, whether the turn holds evidence, and its features in the order of `NAMES`.

    Returns:
        None where a half lacks evidence, or lacks anything else.
    """
    clusters = [cluster for cluster, _, _ in rows]
    truths = np.array([truth for _, truth, _ in rows], dtype=np.bool_)
    features = np.array([row for _, _, row in rows], dtype=np.float64)
    halves = np.array([_half_of(cluster) for cluster in clusters], dtype=np.bool_)
    sides = (halves, ~halves)
    if any(len(set(truths[side].tolist())) < 2 for side in sides):
        return None
    scores = [
        auc(truths[~side], _scores(features[side], truths[side], features[~side])) for side in sides
    ]
    alone = {name: auc(truths, features[:, i]) for i, name in enumerate(NAMES)}
    strongest = sorted(alone.items(), key=lambda item: (-abs(item[1] - 0.5), item[0]))
    return Separated(
        auc=float(np.mean(scores)),
        clusters=len(set(clusters)),
        evidence=int(truths.sum()),
        others=int((~truths).sum()),
        strongest=tuple(strongest[:STRONGEST]),
    )


def _half_of(cluster: str) -> bool:
    """Half that a cluster belongs to."""
    return bool(hashlib.sha256(cluster.encode()).digest()[0] % 2)


def _scores(known: Numbers, truths: Truths, unknown: Numbers) -> Numbers:
    """What a classifier makes of unknown turns, higher for evidence.

    Args:
        known: (n, features).
        truths: (n,).
        unknown: (m, features).

    Returns:
        (m,).
    """
    from sklearn.ensemble import (  # noqa: PLC0415 - an extra, and slow to import
        HistGradientBoostingClassifier,
    )

    model = HistGradientBoostingClassifier(
        max_iter=100, early_stopping=False, class_weight="balanced", random_state=SEED
    )
    model.fit(known, truths)
    found: Numbers = model.predict_proba(unknown)[:, 1]
    return found


def auc(truths: Truths, scores: Numbers) -> float:
    """Probability that a true one scores above another one; a tie counts one half.

    Args:
        truths: (n,), of both kinds.
        scores: (n,).
    """
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positive = int(truths.sum())
    negative = len(truths) - positive
    above = ranks[truths].sum() - positive * (positive + 1) / 2
    return float(above / (positive * negative))


def _separated_lines(separated: Mapping[tuple[str, str], Separated]) -> Iterator[str]:
    if not separated:
        return
    yield " evidence told from the rest by surface (AUC; alone: below .5 evidence has less of it)"
    for (programme, lang), found in separated.items():
        marks = ", ".join(f"{name} {value:.2f}" for name, value in found.strongest)
        turns = f"{found.evidence} of {found.evidence + found.others} turns"
        yield f" {programme:<12} {lang}  {found.auc:.2f}  {turns}; alone: {marks}"
    yield ""


def _found_lines(found: Mapping[tuple[str, int, str], Found]) -> Iterator[str]:
    if not found:
        return
    yield " needed turns found by BM25 of the question: first, and among the first three"
    for (lang, level, wording), search in found.items():
        n = search.first.n
        shares = f"{search.first.value:.2f}  {search.among_three.value:.2f}"
        yield f" {lang}  level {level}  {wording or 'one wording':<12} {shares}  of {n} questions"
    yield ""
