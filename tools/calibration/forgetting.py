"""Planted forgetting: solvers that know the last N turns, and simulated curves of a known form.

The figures of the solvers follow from the construction of the suite and hold without tolerance
(statistics specification, section 11); those of the curves are recovered within their intervals.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Suite, build_suite
from qwen_bench.protocol import Generation
from qwen_bench.record.outcome import Run
from qwen_bench.runs.draft_manifest import draft_manifest
from qwen_bench.runs.runner import ask, plan
from qwen_bench.solvers.solver_engine import SolverEngine
from qwen_bench.stats.bootstrap import child_generator
from qwen_bench.stats.half_life import half_life
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair
from tools.calibration.counting import Demand, Finding, Share
from tools.calibration.curves import answers, chances, curve_rows
from tools.calibration.sizes import Size

if TYPE_CHECKING:
    from qwen_bench.record.outcome import Outcome
    from qwen_bench.stats.results import Comparison

WINDOWS = (2, 8, 32)
CLUSTERS = 60
FLAT = float("inf")
NEAR = 0.3


@dataclass(frozen=True, slots=True)
class Expected:
    """What the construction of `core` makes of a window.

    Attributes:
        difference: macro average over the twelve families.
        word: of the verdict.
        history: effective history length.
        half_life: as it is printed.
    """

    difference: Fraction
    word: str
    history: str
    half_life: str


EXPECTED = {
    8: Expected(Fraction(-3755, 8208), "regressed", "8", "not exponential"),
    32: Expected(Fraction(0), "cannot tell", ">= 32", "> 31"),
}


@dataclass(frozen=True, slots=True)
class Planted:
    """A window against the oracle.

    Attributes:
        window: turns that are known.
        difference, low, high: of the accuracy, fractions.
        word: of the verdict.
        by_length: accuracy of the window by history length.
        words: of each history length.
        history: effective history length.
        half_life: as it is printed.
        gained: probes that only the window answers.
        ability, memory: parts of the difference.
        clusters: number compared.
        expected: exact figures; None where the specification has none.
    """

    window: int
    difference: float
    low: float | None
    high: float | None
    word: str
    by_length: dict[int, float]
    words: dict[int, str]
    history: str
    half_life: str
    gained: int
    ability: float
    memory: float
    clusters: int
    expected: Expected | None

    @property
    def passed(self) -> bool:
        """Whether it is what the construction says, and loses no probe inside the window."""
        inside = all(
            share == 1 and self.words[length] not in {"regressed", "improved"}
            for length, share in self.by_length.items()
            if length <= self.window
        )
        outside = all(
            self.words[length] == "regressed" for length in self.by_length if length > self.window
        )
        exact = self.expected is None or (
            abs(self.difference - float(self.expected.difference)) < 1e-12
            and self.word == self.expected.word
            and self.history == self.expected.history
            and self.half_life.startswith(self.expected.half_life)
            and abs(self.ability) < 1e-12
            and abs(self.memory - self.difference) < 1e-12
        )
        return inside and outside and exact and self.gained == 0


def planted_windows(size: Size) -> list[Planted]:
    """Every window against the oracle, asked and scored like a model.

    Args:
        size: how much of the suite.
    """
    conditions = ("main", "adjacent", "blind")
    suite = build_suite("core", Selection(limit=size.rotations, conditions=conditions))
    oracle = _view("oracle", suite)
    found = []
    for window in WINDOWS:
        other = _view(f"window-{window}", suite)
        comparison = compare(pair(oracle, other), primary="generate")
        found.append(_planted(window, comparison))
    return found


def _planted(window: int, comparison: Comparison) -> Planted:
    """The figures of one comparison."""
    cells, mode = comparison.verdict, comparison.modes["generate"]
    retained = mode.retention["all"].candidate
    parts = cells.parts
    lengths = mode.by_length
    return Planted(
        window=window,
        difference=cells.difference,
        low=cells.low,
        high=cells.high,
        word=str(cells.word),
        by_length={length: cell.candidate for length, cell in lengths.items()},
        words={length: str(cell.word) for length, cell in lengths.items()},
        history="-" if retained.history.ehl is None else retained.history.ehl.text,
        half_life=retained.half_life.text,
        gained=cells.gained,
        ability=np.nan if parts is None else parts.ability.value,
        memory=np.nan if parts is None else parts.memory.value,
        clusters=cells.clusters,
        expected=EXPECTED.get(window),
    )


def _view(solver: str, suite: Suite) -> Run:
    """A finished run of a solver, without a folder."""
    engine = SolverEngine(solver, suite)
    outcomes: list[Outcome] = []
    asked = plan(suite.dialogues(), ("generate",))
    ask(
        suite.dialogues(),
        engine,
        asked.keys,
        modes=("generate",),
        generation=Generation(suite.max_new_tokens),
        write=outcomes.append,
        attempts={},
        stopped=lambda: False,
    )
    manifest = draft_manifest(
        suite,
        ("generate",),
        asked,
        engine.identity(),
        spec=f"mock:{solver}",
        label=solver,
        generation=Generation(suite.max_new_tokens),
    ).model_copy(update={"run_id": solver, "status": "finished"})
    return Run(solver, manifest, tuple(outcomes))


def planted_curves(size: Size, seed: int) -> list[Finding]:
    """Simulated curves at 60 clusters: what the half-life says of each form.

    Args:
        size: how much.
        seed: of everything random.
    """
    runs = size.coverage // 4
    return [
        _decay(12.0, runs, seed),
        _said("flat curve at 90 %, printed as > 63", (FLAT, 0.90, 0.05), "> 63", runs, seed),
        _said("floor curve at 5 %, not measurable", (FLAT, 0.05, 0.05), "not", runs, seed),
    ]


def _decay(h: float, runs: int, seed: int) -> Finding:
    """An exponential decay: how near the estimate comes; its interval is a row of the coverage."""
    rows = curve_rows(CLUSTERS)
    generator = child_generator(seed, "decay")
    estimates = []
    for _ in range(runs):
        effects = generator.normal(size=CLUSTERS)
        drawn = answers(rows, chances(h), effects, generator.random(len(rows.value)))
        found = half_life(drawn, None)
        estimates.append(found.decay.h if found.decay else np.nan)
    near = sum(abs(estimate / h - 1) <= NEAR for estimate in estimates)
    return Finding(
        f"decay with half-life {h:g}, estimate within {100 * NEAR:.0f} %",
        CLUSTERS,
        Share(near, runs),
        Demand(least=0.95),
        f"median estimate {float(np.median(estimates)):.1f} turns",
    )


def _said(name: str, form: tuple[float, float, float], text: str, runs: int, seed: int) -> Finding:
    """How often a curve is printed as it should be."""
    h, top, guess = form
    rows = curve_rows(CLUSTERS)
    generator = child_generator(seed, name)
    said: Counter[str] = Counter()
    for _ in range(runs):
        effects = generator.normal(size=CLUSTERS)
        means = chances(h, top=top, guess=guess)
        drawn = answers(rows, means, effects, generator.random(len(rows.value)))
        said[half_life(drawn, None).text] += 1
    hits = sum(count for printed, count in said.items() if printed.startswith(text))
    others = [printed for printed in said if not printed.startswith(text)]
    note = f"else {', '.join(sorted(others)[:3])}" if others else ""
    return Finding(name, CLUSTERS, Share(hits, runs), Demand(least=0.95), note)
