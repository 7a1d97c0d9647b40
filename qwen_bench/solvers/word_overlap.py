"""A search engine as a solver: the clause that shares most words with the question.

BM25 (Robertson & Zaragoza 2009) over clauses of the history, with English words and pairs of
Chinese characters as terms. It shows how much of a family literal matching can do (NoLiMa).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from qwen_bench.chat.messages import Conversation
from qwen_bench.probes.probe import Probe
from qwen_bench.solvers.fixed_choice import blind, listed
from qwen_bench.solvers.history_reading import distinct, history_of, places_of, plain

K1, B = 1.5, 0.75
_CLAUSE = re.compile(r"[^,.;:!?\n，。；：！？、]+")
_TERM = re.compile(r"[0-9a-z']+|[\u3400-\u9fff]+")


class Clauses(NamedTuple):
    """One message cut into clauses.

    Attributes:
        spans: start and end of each in the plain text.
        sizes: number of terms of each.
        holding: for each term the clauses that hold it, with counts.
    """

    spans: tuple[tuple[int, int], ...]
    sizes: tuple[int, ...]
    holding: dict[str, list[tuple[int, int]]]


def terms(text: str) -> list[str]:
    """English words and pairs of Chinese characters of a plain text."""
    found: list[str] = []
    for run in _TERM.findall(text):
        if run[0].isascii():
            found.append(run)
        else:
            found += [run[i : i + 2] for i in range(max(len(run) - 1, 1))]
    return found


@lru_cache(maxsize=16384)
def _clauses(text: str) -> Clauses:
    """Clauses of one message."""
    spans: list[tuple[int, int]] = []
    sizes: list[int] = []
    holding: dict[str, list[tuple[int, int]]] = {}
    text = plain(text)
    for match in _CLAUSE.finditer(text):
        counts = Counter(terms(match[0]))
        if not counts:
            continue
        for term, count in counts.items():
            holding.setdefault(term, []).append((len(spans), count))
        spans.append(match.span())
        sizes.append(counts.total())
    return Clauses(tuple(spans), tuple(sizes), holding)


@lru_cache(maxsize=64)
def _query(question: str) -> tuple[str, ...]:
    """Different terms of a question."""
    return tuple(dict.fromkeys(terms(plain(question))))


class Clause(NamedTuple):
    """A clause of a history: number of the message from 0, and the span in its plain text."""

    message: int
    start: int
    end: int


def best_clause(question: str, history: Conversation) -> Clause | None:
    """The clause that fits the question best; None if none shares a term."""
    messages = [_clauses(message.content) for message in history]
    total = sum(len(clauses.spans) for clauses in messages)
    mean = sum(sum(clauses.sizes) for clauses in messages) / max(total, 1)
    scores: dict[tuple[int, int], float] = {}
    for term in _query(question):
        hits = [
            (number, clause, count)
            for number, clauses in enumerate(messages)
            for clause, count in clauses.holding.get(term, ())
        ]
        weight = math.log(1 + (total - len(hits) + 0.5) / (len(hits) + 0.5))
        for number, clause, count in hits:
            gain = weight * _gain(count, messages[number].sizes[clause] / mean)
            scores[number, clause] = scores.get((number, clause), 0.0) + gain
    if not scores:
        return None
    number, clause = min(scores, key=lambda key: (-scores[key], key))
    return Clause(number, *messages[number].spans[clause])


@lru_cache(maxsize=16384)
def _counts(text: str) -> Counter[str]:
    """Terms of a text with counts."""
    return Counter(terms(plain(text)))


def best_texts(question: str, texts: Sequence[str]) -> list[int]:
    """Numbers of the texts that share a term with the question, the one that fits best first.

    Args:
        question: whose terms are looked for.
        texts: whole turns, for example.
    """
    counts = [_counts(text) for text in texts]
    mean = sum(count.total() for count in counts) / max(len(counts), 1)
    scores: dict[int, float] = {}
    for term in _query(question):
        hits = [number for number, count in enumerate(counts) if term in count]
        weight = math.log(1 + (len(texts) - len(hits) + 0.5) / (len(hits) + 0.5))
        for number in hits:
            scores[number] = scores.get(number, 0.0) + weight * _gain(
                counts[number][term], counts[number].total() / mean
            )
    return sorted(scores, key=lambda number: (-scores[number], number))


def _gain(count: int, length: float) -> float:
    """Weight of a term by how often a text holds it, for a length relative to the mean."""
    return count * (K1 + 1) / (count + K1 * (1 - B + B * length))


def overlap(probe: Probe, messages: Conversation) -> str:
    """First candidate in the best clause, else the nearest before it; for sets from there on."""
    history = history_of(probe, messages)
    best = best_clause(probe.question_text, history)
    places = places_of(probe, history)
    if best is None or not places:
        return blind(probe, messages)
    start, end = (best.message, best.start), (best.message, best.end)
    before = [p for p in places if (p.message, p.mention.start) < start]
    after = [p for p in places if (p.message, p.mention.start) >= start]
    inside = [p for p in after if (p.message, p.mention.start) < end]
    if probe.answer_kind == "set":
        names = [p.mention.candidate for p in (*(after if inside else before), *places)]
        return listed(probe, distinct(names, len(probe.gold_items)))
    if inside:
        return inside[0].mention.candidate
    return before[-1].mention.candidate if before else places[0].mention.candidate
