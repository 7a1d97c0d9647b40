"""Planted forgetting in a real model: its own run under a history policy against the full history.

What the policy cuts is known, so the verdict is: a loss where the evidence was cut, none where the
policy kept every turn. Reads two run folders; asks no model.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

from qwen_bench.chat.policy import FULL, parse_policy
from qwen_bench.errors import InputError
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.summary import summarise

if TYPE_CHECKING:
    from qwen_bench.runs.store import StoredRun
    from qwen_bench.stats.results import Cell, Comparison, PolicySplit

FIELD = "suite.policy"
_COLUMNS = (
    "turns",
    "probes",
    "full",
    "cut",
    "difference",
    "95 % interval",
    "verdict",
    "evidence visible",
    "accuracy given visible",
)
LATEST, EARLIEST = 2, 2
"""Histories of `LATEST` x the kept turns must be called regressed, of 1 / `EARLIEST` must not."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A run under a policy that keeps N turns, against the same model's full run.

    Attributes:
        full, cut: the runs.
        turns: N.
        comparison: the full run is the baseline.
        split: what was cut, by history length.
    """

    full: StoredRun
    cut: StoredRun
    turns: int
    comparison: Comparison
    split: PolicySplit

    @property
    def cells(self) -> dict[int, Cell]:
        """The comparison by history length."""
        return dict(self.comparison.modes[self.comparison.primary].by_length)

    @property
    def wrong(self) -> tuple[str, ...]:
        """Lengths with another word than the cut must give; empty when all are right."""
        found = []
        for length, cell in self.cells.items():
            if length >= LATEST * self.turns and cell.word != "regressed":
                found.append(f"T = {length}: {cell.word}, the evidence was cut")
            if length <= self.turns // EARLIEST and cell.word == "regressed":
                found.append(f"T = {length}: regressed, nothing was cut")
        return tuple(found)


def cut_against_full(full: StoredRun, cut: StoredRun) -> Cut:
    """Compare a run under `last-turns:N` with the same model's run over full histories.

    Raises:
        InputError: the runs are not such a pair.
        NotComparableError: they differ in more than the policy.
    """
    policy = parse_policy(cut.manifest.suite.policy)
    same = full.manifest.model.fingerprint == cut.manifest.model.fingerprint
    if policy.kind != "last-turns" or policy.limit is None or not same:
        raise InputError(
            "planted forgetting needs two runs of one model, the second under last-turns:N",
            why=f"the second has the policy {policy}" + ("" if same else " and other weights"),
        )
    primary = full.manifest.suite.primary
    comparison = compare(
        pair(full.view("full"), cut.view(str(policy)), allow_mismatch=(FIELD,)), primary=primary
    )
    split = summarise(cut.outcomes)[primary].policy
    assert split is not None, "a run under a policy has a policy summary"  # noqa: S101
    return Cut(full, cut, policy.limit, comparison, split)


def real_page(found: Cut) -> str:
    """`docs/calibration-model.md`."""
    verdict = found.comparison.verdict
    head = fill(
        f"{found.full.manifest.model.resolved} answers the same "
        f"{verdict.n} probes twice: with every turn in the prompt, and with the newest "
        f"{found.turns} turns only. Nothing was trained in between, so every loss is one of cut "
        "evidence, and the verdict has to say where it begins. Written by `make calibrate-model`.",
        100,
    )
    commands = "\n".join(f"    {_command(run)}" for run in (found.full, found.cut))
    lines = [
        f"| {' | '.join(_COLUMNS)} |",
        "| --: | --: | --: | --: | --: | --: | --- | --: | --: |",
        *(_row(length, cell, found.split) for length, cell in found.cells.items()),
    ]
    result = "\n".join(f"- {line}" for line in found.wrong)
    end = (
        f"**Not as it must be:**\n\n{result}"
        if result
        else f"**As it must be:** regressed from {LATEST * found.turns} turns on, not at "
        f"{found.turns // EARLIEST} or fewer."
    )
    title = "# Calibration on a real model"
    return "\n\n".join([title, head, commands, "\n".join(lines), end]) + "\n"


def _command(run: StoredRun) -> str:
    """The command that asks the same again."""
    suite = run.manifest.suite
    words = ["qwen-bench", "run", "--model", run.manifest.model.spec, "--suite", suite.name]
    words += ["--mode", suite.primary]
    words += [part for name in suite.conditions for part in ("--condition", name)]
    words += ["--lengths", ",".join(map(str, suite.lengths))]
    words += ["--limit", str(suite.limit)] if suite.limit else []
    words += ["--policy", suite.policy] if suite.policy != str(FULL) else []
    return shlex.join(words)


def _row(length: int, cell: Cell, split: PolicySplit) -> str:
    """One history length."""
    seen = split.by_length[length]
    given = seen.accuracy_given_visible
    interval = "none"
    if cell.low is not None and cell.high is not None:
        interval = f"{100 * cell.low:+.1f} to {100 * cell.high:+.1f}"
    columns = [
        str(length),
        str(cell.n),
        f"{100 * cell.base:.1f} %",
        f"{100 * cell.candidate:.1f} %",
        f"{100 * cell.difference:+.1f}",
        interval,
        str(cell.word),
        f"{100 * seen.share_visible:.1f} %",
        "none" if given is None else f"{100 * given:.1f} %",
    ]
    return f"| {' | '.join(columns)} |"
