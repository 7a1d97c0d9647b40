"""Runs all solvers over the dialogues of a suite and counts what they get right.

Answers pass through the scorer of models. Verdicts of one question are kept while its dialogues
last, since solvers often agree and histories of several lengths get the same answer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from qwen_bench.audit.findings import AuditLine, Findings, RightShare
from qwen_bench.audit.solver_table import FAMILIES, by_construction, cell_of
from qwen_bench.probes.probe import AskedProbe, Dialogue, Probe
from qwen_bench.scoring.score import judge_text
from qwen_bench.solvers.fixed_choice import sees
from qwen_bench.solvers.solver_engine import find_solver, window_of


class SolverTable:
    """Accuracy of every solver by family, language, condition and history length.

    Args:
        solvers: names.
        floors: the declared floor of families.
        on_window: is told size, probe and score of every answer of a window.
    """

    def __init__(
        self,
        solvers: Sequence[str],
        floors: Mapping[str, float] | None = None,
        on_window: Callable[[int, Probe, int], None] = lambda *_: None,
    ) -> None:
        self._floors = floors or {}
        self.solvers = tuple(solvers)
        self._solve = {name: find_solver(name) for name in solvers}
        self._turns = {name: window_of(name) for name in solvers}
        self._right: Counter[tuple[str, str, str, str, int]] = Counter()
        self._asked: Counter[tuple[str, str, str, str, int]] = Counter()
        self._expected: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._cells: dict[tuple[str, str], str] = {}
        self._whole: Counter[tuple[str, str]] = Counter()
        self._groups: Counter[tuple[str, str]] = Counter()
        self._hosts: dict[str, str] = {}
        self._clusters: defaultdict[str, set[str]] = defaultdict(set)
        self._wordings: Counter[tuple[str, str, str]] = Counter()
        self._wordings_right: Counter[tuple[str, str, str]] = Counter()
        self._oracle = Findings()
        self._windows = Findings()
        self._on_window = on_window
        self.probes = 0

    def see(self, rendering: Sequence[Dialogue]) -> None:
        """Ask every solver the probes of one cluster in one language."""
        verdicts: dict[tuple[str, str, str, str], int] = {}
        groups: dict[tuple[str, str, str], bool] = {}
        for dialogue in rendering:
            for asked in dialogue.probes:
                self.probes += 1
                for name, score in self._scores(asked, verdicts):
                    self._count(name, asked.probe, score, groups)
        for (name, host, _), whole in groups.items():
            self._groups[name, host] += 1
            self._whole[name, host] += whole

    def _scores(
        self, asked: AskedProbe, verdicts: dict[tuple[str, str, str, str], int]
    ) -> Iterator[tuple[str, int]]:
        """Score of every solver that has something to say; beside the main condition of few."""
        probe, main = asked.probe, asked.probe.condition == "main"
        for name, solve in self._solve.items():
            window = self._turns[name] is not None
            if not (main or window or (name == "oracle" and probe.condition != "blind")):
                continue
            cell = cell_of(name, probe, self._floors.get(probe.family))
            if cell is None:
                continue
            self._cells[name, probe.family] = cell
            answer = solve(probe, asked.messages)
            key = (probe.family, probe.question, probe.variant, answer)
            if key not in verdicts:
                verdicts[key] = judge_text(probe, answer).score
            yield name, verdicts[key]

    def _count(
        self, name: str, probe: Probe, score: int, groups: dict[tuple[str, str, str], bool]
    ) -> None:
        cell = (name, probe.family, probe.lang, probe.condition, probe.length)
        self._asked[cell] += 1
        self._right[cell] += score
        if probe.condition == "main":
            host = probe.twin_group.split("/")[2]
            self._hosts[probe.family] = host
            key = (name, host, probe.twin_group)
            groups[key] = groups.get(key, True) and bool(score)
            self._clusters[probe.family].add(probe.cluster)
            if "wording" in probe.factors:
                worded = (name, probe.family, probe.factors["wording"])
                self._wordings[worded] += 1
                self._wordings_right[worded] += score
            expected = by_construction(self._cells[name, probe.family], probe)
            self._expected[name, probe.family] += expected or 0.0
        if name == "oracle" and not score:
            self._oracle.add(probe.id, f"the oracle's answer is not judged right: {probe.gold}")
        turns = self._turns[name]
        if turns is not None:
            self._on_window(turns, probe, score)
            if score != window_verdict(probe, turns):
                self._windows.add(probe.id, f"{name} scores {score}, its needs say {1 - score}")

    @property
    def families(self) -> tuple[str, ...]:
        """Families seen in the main condition, in the order of the specification."""
        known = [family for family in FAMILIES if family in self._hosts]
        return (*known, *(family for family in self._hosts if family not in FAMILIES))

    @property
    def clusters(self) -> dict[str, int]:
        """Number of clusters by family."""
        return {family: len(found) for family, found in self._clusters.items()}

    def shares(self, *keys: int, condition: str = "main") -> dict[tuple[object, ...], RightShare]:
        """Accuracy by parts of (0 solver, 1 family, 2 language, 3 condition, 4 length)."""
        right: Counter[tuple[object, ...]] = Counter()
        asked: Counter[tuple[object, ...]] = Counter()
        for cell, n in self._asked.items():
            if cell[3] == condition:
                key = tuple(cell[i] for i in keys)
                asked[key] += n
                right[key] += self._right[cell]
        return {key: RightShare(right[key], n) for key, n in asked.items()}

    def groups(self) -> dict[tuple[str, str], RightShare]:
        """Whole twin groups right by solver and family; families of one evidence share them."""
        return {
            (name, family): RightShare(self._whole[name, host], self._groups[name, host])
            for family, host in self._hosts.items()
            for name in self.solvers
            if (name, host) in self._groups
        }

    def worded(self, solver: str, family: str, wording: str) -> RightShare:
        """Accuracy in the main condition under one level of the factor `wording`."""
        key = (solver, family, wording)
        return RightShare(self._wordings_right[key], self._wordings[key])

    def cell(self, solver: str, family: str) -> str:
        """The cell of the expected table."""
        return self._cells[solver, family]

    def expected(self, solver: str, family: str) -> float | None:
        """Mean score by construction of the probes seen; None where it is only reported."""
        if self._cells[solver, family] == "r":
            return None
        return self._expected[solver, family] / self.shares(0, 1)[solver, family].n

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


def window_verdict(probe: Probe, turns: int) -> int:
    """Score of `window-N` that follows from the needs of a probe."""
    plain_is_right = probe.answer_kind == "rule" and probe.gold == "plain"
    return int(sees(probe, turns) or probe.gold_abstains or plain_is_right)
