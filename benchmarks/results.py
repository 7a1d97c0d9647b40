"""From single measurements to what a results file holds: equality first, then ratios.

Pure: measurements in, JSON values out. A ratio exists only between equal answers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks import grids
from benchmarks.plan import PAIRS, Alone, Pair

SCHEMA = 1
SCORE_TOLERANCE = 1e-4
"""Largest difference of two log-probabilities that count as equal."""
BUSY = 1.25
"""Spread of our own times above which the machine was not quiet."""
_RUN = ("cpu_seconds", "wall_seconds", "load_seconds", "process_bytes")

Line = Mapping[str, Any]


def paired(
    pair: Pair,
    grid: grids.Grid,
    ours: Sequence[Line],
    theirs: Sequence[Line],
    gaps: Sequence[float],
) -> dict[str, Any]:
    """Entry of a pair.

    Args:
        pair: what was compared.
        grid: what was asked.
        ours: measurements of us, in order.
        theirs: of the peer, in the same order.
        gaps: of the first differing token of each unequal answer, see `partings`.
    """
    equal, worst = agreement(ours[0], theirs[0])
    count = len(ours[0]["scores"] or ours[0]["answers"])
    # Every run must have given what the first one gave, up to rounding of scores.
    steady = all(agreement(side[0], line)[0] == count for side in (ours, theirs) for line in side)
    entry: dict[str, Any] = {
        "name": pair.name,
        "peer": pair.peer,
        "setting": pair.setting,
        "mode": pair.mode,
        "grid": pair.grid,
        "model": pair.model,
        "grid_tokens": _grid_tokens(grid),
        "commands": {"ours": ours[0]["command"], "peer": theirs[0]["command"]},
        "versions": {"ours": ours[0]["versions"], "peer": theirs[0]["versions"]},
        "answers": count,
        "different_answers": len({tuple(ids) for ids in ours[0]["answers"]}) or None,
        "equal": equal,
        "largest_difference": worst,
        "steady": steady,
        "differences": [
            {"prompt": place, "token": len(common), "gap": gap}
            for (place, common), gap in zip(partings(ours[0], theirs[0]), gaps, strict=True)
        ],
        "answers_sha256": {"ours": _sha256(ours[0]), "peer": _sha256(theirs[0])},
        "counters": {"ours": ours[0]["counters"], "peer": theirs[0]["counters"]},
        "ours": [{key: line[key] for key in _RUN} for line in ours],
        "peer_runs": [{key: line[key] for key in _RUN} for line in theirs],
    }
    entry["busy"] = spread(entry["ours"]) > BUSY
    comparable = equal == count and steady and len(ours) >= PAIRS
    entry["ratios"] = (
        [
            one["cpu_seconds"] / own["cpu_seconds"]
            for own, one in zip(entry["ours"], entry["peer_runs"], strict=True)
        ]
        if comparable
        else []
    )
    return entry


def alone(item: Alone, grid: grids.Grid, lines: Sequence[Line]) -> dict[str, Any]:
    """Entry of a grid on which only we are measured."""
    runs = [{key: line[key] for key in _RUN} for line in lines]
    return {
        "name": item.name,
        "grid": item.grid,
        "model": lines[0]["model"],
        "grid_tokens": _grid_tokens(grid),
        "command": lines[0]["command"],
        "versions": lines[0]["versions"],
        "counters": lines[0]["counters"],
        "answers_sha256": _sha256(lines[0]),
        "runs": runs,
        "busy": spread(runs) > BUSY,
    }


def agreement(ours: Line, theirs: Line) -> tuple[int, float | None]:
    """Number of equal answers; when ranking also the largest difference of log-probabilities."""
    if not ours["scores"]:
        pairs = zip(ours["answers"], theirs["answers"], strict=True)
        return sum(list(own) == list(other) for own, other in pairs), None
    gaps = [
        max(abs(a - b) for a, b in zip(own, other, strict=True))
        for own, other in zip(ours["scores"], theirs["scores"], strict=True)
    ]
    return sum(gap <= SCORE_TOLERANCE for gap in gaps), max(gaps)


def partings(ours: Line, theirs: Line) -> list[tuple[int, list[int]]]:
    """(place, ids both begin with) of every unequal answer."""
    found = []
    for place, (own, other) in enumerate(zip(ours["answers"], theirs["answers"], strict=True)):
        if list(own) != list(other):
            both = zip(own, other, strict=False)
            same = next((n for n, (a, b) in enumerate(both) if a != b), min(len(own), len(other)))
            found.append((place, list(own[:same])))
    return found


def spread(runs: Sequence[Mapping[str, float]]) -> float:
    """Longest by shortest processor time."""
    times = [run["cpu_seconds"] for run in runs]
    return max(times) / min(times)


def cpu(runs: Sequence[Mapping[str, float]]) -> float:
    """Median processor time, seconds."""
    return median(run["cpu_seconds"] for run in runs)


def _grid_tokens(grid: grids.Grid) -> dict[str, Any]:
    return {
        "prompts": len(grid.flat),
        "dialogues": len(grid.prompts),
        "naive": grids.naive_tokens(grid),
        "tree": grids.tree_tokens(grid),
        "trunk": max(grid.trunks),
        "longest": grid.longest,
        "suffixes": grids.suffix_tokens(grid),
        "new_tokens": grid.new_tokens,
    }


def _sha256(line: Line) -> str:
    """Hash of the answers, or of the scores to four digits."""
    held = line["answers"] or [[round(value, 4) for value in row] for row in line["scores"]]
    return hashlib.sha256(json.dumps(held).encode()).hexdigest()
