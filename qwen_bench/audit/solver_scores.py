"""Runs all solvers over the dialogues of a suite and counts what they get right.

Answers pass through the scorer of models. Verdicts of one question are kept while its dialogues
last, since solvers often agree and histories of several lengths get the same answer.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

from qwen_bench.audit.findings import AuditLine, Findings, RightShare
from qwen_bench.audit.questions import group_of
from qwen_bench.probes.probe import VARIANTS, AnswerKind, AskedProbe, Dialogue, Probe
from qwen_bench.scoring.score import judge_text
from qwen_bench.solvers.fixed_choice import sees
from qwen_bench.solvers.solver_engine import applies, find_solver, window_of

# Solver, family, language, level, cluster.
Cell = tuple[str, str, str, int, str]


class SolverTable:
    """Accuracy of every solver by family, language and level in the main condition.

    Args:
        solvers: names.
        on_window: is told size, probe and score of every answer of a window.
    """

    def __init__(
        self,
        solvers: Sequence[str],
        on_window: Callable[[int, Probe, int], None] = lambda *_: None,
    ) -> None:
        self.solvers = tuple(solvers)
        self._solve = {name: find_solver(name) for name in solvers}
        self._turns = {name: window_of(name) for name in solvers}
        self._right: Counter[Cell] = Counter()
        self._asked: Counter[Cell] = Counter()
        self._whole: Counter[tuple[str, str, int]] = Counter()
        self._groups: Counter[tuple[str, str, int]] = Counter()
        self._hosts: dict[str, str] = {}
        self.kinds: dict[str, AnswerKind] = {}
        self._clusters: defaultdict[str, set[str]] = defaultdict(set)
        self._oracle = Findings()
        self._windows = Findings()
        self._on_window = on_window
        self.probes = 0

    def see(self, rendering: Sequence[Dialogue]) -> None:
        """Ask every solver the probes of one cluster in one language; one variant is no group."""
        verdicts: dict[tuple[str, str, str, str], int] = {}
        groups: dict[tuple[str, str, int, str], bool] = {}
        for dialogue in rendering:
            for asked in dialogue.probes:
                self.probes += 1
                for name, score in self._scores(asked, verdicts):
                    self._count(name, asked.probe, score, groups)
        if len({dialogue.variant for dialogue in rendering}) < len(VARIANTS):
            return
        for (name, host, level, _), whole in groups.items():
            self._groups[name, host, level] += 1
            self._whole[name, host, level] += whole

    def _scores(
        self, asked: AskedProbe, verdicts: dict[tuple[str, str, str, str], int]
    ) -> Iterator[tuple[str, int]]:
        """Score of every solver that has something to say; beside the main condition of few."""
        probe, main = asked.probe, asked.probe.condition == "main"
        for name, solve in self._solve.items():
            window = self._turns[name] is not None
            if not (main or window or (name == "oracle" and probe.condition != "blind")):
                continue
            if not applies(name, probe):
                continue
            answer = solve(probe, asked.messages)
            key = (probe.family, probe.question, probe.variant, answer)
            if key not in verdicts:
                verdicts[key] = judge_text(probe, answer).score
            yield name, verdicts[key]

    def _count(
        self, name: str, probe: Probe, score: int, groups: dict[tuple[str, str, int, str], bool]
    ) -> None:
        if probe.condition == "main":
            cell = (name, probe.family, probe.lang, probe.level, probe.cluster)
            self._asked[cell] += 1
            self._right[cell] += score
            host = group_of(probe)
            self._hosts[probe.family] = host
            self.kinds[probe.family] = probe.answer_kind
            self._clusters[probe.family].add(probe.cluster)
            key = (name, host, probe.level, probe.twin_group)
            groups[key] = groups.get(key, True) and bool(score)
        if name == "oracle" and not score:
            self._oracle.add(probe.id, f"the oracle's answer is not judged right: {probe.gold}")
        turns = self._turns[name]
        if turns is not None:
            self._on_window(turns, probe, score)
            if score != window_verdict(probe, turns):
                self._windows.add(probe.id, f"{name} scores {score}, its needs say {1 - score}")

    @property
    def families(self) -> tuple[str, ...]:
        """Families seen in the main condition, in the order in which they were seen."""
        return tuple(self._hosts)

    @property
    def clusters(self) -> dict[str, int]:
        """Number of clusters by family."""
        return {family: len(found) for family, found in self._clusters.items()}

    def shares(self, *keys: int) -> dict[tuple[object, ...], RightShare]:
        """Accuracy by parts of (0 solver, 1 family, 2 language, 3 level)."""
        right: Counter[tuple[object, ...]] = Counter()
        asked: Counter[tuple[object, ...]] = Counter()
        for cell, n in self._asked.items():
            key = tuple(cell[i] for i in keys)
            asked[key] += n
            right[key] += self._right[cell]
        return {key: RightShare(right[key], n) for key, n in asked.items()}

    def by_level(self) -> dict[tuple[str, str], dict[int, RightShare]]:
        """Accuracy at each level, in their order, by solver and family."""
        counts: defaultdict[tuple[str, str], defaultdict[int, list[int]]]
        counts = defaultdict(lambda: defaultdict(lambda: [0, 0]))
        for cell in sorted(self._asked, key=lambda cell: cell[3]):
            solver, family, _, level, _ = cell
            count = counts[solver, family][level]
            count[0] += self._right[cell]
            count[1] += self._asked[cell]
        return {
            key: {level: RightShare(right, n) for level, (right, n) in levels.items()}
            for key, levels in counts.items()
        }

    def spread(self) -> dict[tuple[str, str, int], tuple[float, int]]:
        """Standard error over clusters, and their number, by solver, family and level.

        Both languages of a cluster count as one, since they have the same draws.
        """
        right: defaultdict[tuple[str, str, int], Counter[str]] = defaultdict(Counter)
        asked: defaultdict[tuple[str, str, int], Counter[str]] = defaultdict(Counter)
        for cell, n in self._asked.items():
            solver, family, _, level, cluster = cell
            asked[solver, family, level][cluster] += n
            right[solver, family, level][cluster] += self._right[cell]
        return {key: _standard_error(right[key], counts) for key, counts in asked.items()}

    def groups(self) -> dict[tuple[str, str, int], RightShare]:
        """Whole twin groups right by solver, family and level; families of one evidence share."""
        return {
            (name, family, level): RightShare(self._whole[name, host, level], n)
            for family, host in self._hosts.items()
            for (name, of, level), n in self._groups.items()
            if of == host
        }

    def lines(self) -> list[AuditLine]:
        """The audits that watch single probes: oracle (solvability) and windows."""
        lines = []
        if "oracle" in self.solvers:
            lines.append(self._oracle.line("oracle", "1 in every cell that keeps the evidence"))
        turns = [str(n) for n in self._turns.values() if n is not None]
        if turns:
            summary = f"windows of {', '.join(turns)} turns score what needs predict, every probe"
            lines.append(self._windows.line("windows", summary))
        return lines


def _standard_error(right: Counter[str], asked: Counter[str]) -> tuple[float, int]:
    """Standard error of a share of answers that come in clusters, and the number of clusters."""
    clusters, n = len(asked), asked.total()
    if clusters < 2:
        return math.inf, clusters
    share = right.total() / n
    squares = sum((right[cluster] - share * count) ** 2 for cluster, count in asked.items())
    return math.sqrt(squares * clusters / (clusters - 1)) / n, clusters


def window_verdict(probe: Probe, turns: int) -> int:
    """Score of `window-N` that follows from the needs of a probe."""
    plain_is_right = probe.answer_kind == "rule" and probe.gold == "plain"
    return int(sees(probe, turns) or probe.gold_abstains or plain_is_right)
