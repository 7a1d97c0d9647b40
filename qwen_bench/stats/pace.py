"""Is it the tokens or the turns? What one run at several paces tells apart.

The same question after the same turns, told with short and with long replies: turns are equal, so
a difference is the tokens'. The same question after few long turns and after many short ones, of
about as many tokens: a difference is the turns'. Pairs differ in nothing else, since pace decides
neither what is said nor what is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

import numpy as np

from qwen_bench.stats.clusters import index_rows
from qwen_bench.stats.intervals import difference_interval
from qwen_bench.stats.results import Gap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qwen_bench.record.outcome import Outcome
    from qwen_bench.stats.bootstrap import Resampler

SHORT, LONG = "brief", "long"


@dataclass(frozen=True, slots=True)
class PacePlace:
    """Where questions are asked.

    Attributes:
        pace: of the replies.
        length: history length in turns.
        accuracy: macro average over families.
        tokens: median of the prompts; None where no row knows its own.
    """

    pace: str
    length: int
    accuracy: float
    tokens: float | None


@dataclass(frozen=True, slots=True)
class PaceDifference:
    """Accuracy after more minus accuracy after less, over questions asked at both places.

    Attributes:
        of: what there is more of: tokens at equal turns, or turns at about equal tokens.
        n: pairs of questions.
        gap: the difference with its interval; it decides nothing.
    """

    of: Literal["tokens", "turns"]
    less: PacePlace
    more: PacePlace
    n: int
    gap: Gap

    @property
    def lost(self) -> bool:
        """Whether the interval lies below zero."""
        return self.gap.high is not None and self.gap.high < 0


def pace_differences(rows: Sequence[Outcome], resampler: Resampler) -> tuple[PaceDifference, ...]:
    """More tokens at each number of turns, then more turns; empty where paces were not asked.

    Args:
        rows: of one run and scorer.
        resampler: source of the draws.
    """
    places: dict[tuple[str, int], dict[str, Outcome]] = {}
    for row in rows:
        if row.condition in {SHORT, LONG}:
            instance = row.probe_id.rsplit("/", 2)[0]
            places.setdefault((row.condition, row.length), {})[instance] = row
    lengths = {pace: {t for name, t in places if name == pace} for pace in (SHORT, LONG)}
    found = [
        _difference("tokens", places, ((SHORT, length), (LONG, length)), resampler)
        for length in sorted(lengths[SHORT] & lengths[LONG])
    ]
    if all(lengths.values()):
        fewest, most = min(lengths[LONG]), max(lengths[SHORT])
        if fewest < most:
            ends = ((LONG, fewest), (SHORT, most))
            found.append(_difference("turns", places, ends, resampler))
    return tuple(one for one in found if one is not None)


def _difference(
    of: Literal["tokens", "turns"],
    places: Mapping[tuple[str, int], Mapping[str, Outcome]],
    ends: tuple[tuple[str, int], tuple[str, int]],
    resampler: Resampler,
) -> PaceDifference | None:
    """None where no question is asked at both ends."""
    less, more = places[ends[0]], places[ends[1]]
    common = sorted(less.keys() & more.keys())
    if not common:
        return None
    first = [less[name] for name in common]
    second = [more[name] for name in common]
    index = index_rows([row.cluster for row in first], [row.family for row in first])
    everything = np.ones(len(common), dtype=np.bool_)
    values = [np.array([row.value for row in side]) for side in (first, second)]
    table = index.table(values[1] - values[0], everything)
    interval = difference_interval(table, resampler)
    here, there = (
        PacePlace(pace, length, index.table(of_side, everything).macro, _tokens(side))
        for (pace, length), side, of_side in zip(ends, (first, second), values, strict=True)
    )
    gap = Gap(table.macro, interval.low, interval.high, interval.reason)
    return PaceDifference(of, here, there, len(common), gap)


def _tokens(rows: Sequence[Outcome]) -> float | None:
    known = [row.prompt_tokens for row in rows if row.prompt_tokens is not None]
    return float(median(known)) if known else None


def tokens_or_turns(differences: Sequence[PaceDifference]) -> str:
    """What costs answers, in a sentence; empty without differences of both kinds.

    The longest history speaks for the tokens.
    """
    tokens = [one for one in differences if one.of == "tokens"]
    turns = [one for one in differences if one.of == "turns"]
    if not tokens or not turns:
        return ""
    if any(one.gap.high is None for one in (tokens[-1], turns[-1])):
        return "too few dialogues to tell tokens from turns"
    return {
        (True, True): "both more tokens and more turns cost answers",
        (True, False): "it is the tokens: more turns of as many tokens cost no answers for sure",
        (False, True): "it is the turns: more tokens in as many turns cost no answers for sure",
        (False, False): "neither more tokens nor more turns cost answers for sure",
    }[tokens[-1].lost, turns[-1].lost]
