"""The pass rules of the solver table (probe specification, section 7.2)."""

from __future__ import annotations

from qwen_bench.audit.findings import AuditLine, Findings, RightShare
from qwen_bench.audit.solver_scores import SolverTable
from qwen_bench.audit.solver_table import POSITIONAL, rule_of
from qwen_bench.solvers.solver_engine import window_of

TOLERANCE = 0.05
# Fewer clusters than this and a deviation of 0.05 is chance; `core` has 48 and more a family.
ENOUGH_CLUSTERS = 48
# Level of the factor `wording` in which a question describes its key instead of naming it.
PARAPHRASE = "1"
_GROUPS_REPORTED = frozenset({"oracle", "overlap", "last-entity", "never-abstain"})
# Positional solvers may win whole twin groups where the question itself fixes the position.
_GROUPS_BY_POSITION = {"ordinal_ref": 0.25}


class JudgedTable:
    """The solver table after its gates.

    Args:
        table: filled.
    """

    def __init__(self, table: SolverTable) -> None:
        self._table = table
        self.cells = {(str(s), str(f)): v for (s, f), v in table.shares(0, 1).items()}
        self.groups = table.groups()
        self.failed: set[tuple[str, str]] = set()
        self.shown: dict[tuple[str, str], str] = {}
        self._scores, self._wholes = Findings(), Findings()
        for (solver, family), share in self.cells.items():
            self.shown[solver, family] = self._shown(solver, family)
            if window_of(solver) is None:
                self._score(solver, family, share)
                self._group(solver, family)
        self._tense_words()
        self._paraphrases()

    def lines(self) -> list[AuditLine]:
        """One line for accuracies and one for twin groups."""
        few = [f for f, n in self._table.clusters.items() if n < ENOUGH_CLUSTERS]
        scope = "exact gates" if few else f"exact gates and those within {TOLERANCE}"
        if few and len(few) < len(self._table.families):
            scope += f" (with tolerance only where there are {ENOUGH_CLUSTERS} skeletons)"
        return [
            self._scores.line("solver table", f"{len(self.cells)} cells, {scope}"),
            self._wholes.line("twin groups", "0 for every shortcut, 1 for the oracle"),
        ]

    def _shown(self, solver: str, family: str) -> str:
        rule = rule_of(self._table.cell(solver, family))
        expected = self._table.expected(solver, family)
        return rule.shown or ("" if expected is None else f"{expected:.3f}")

    def _score(self, solver: str, family: str, share: RightShare) -> None:
        rule = rule_of(self._table.cell(solver, family))
        expected = self._table.expected(solver, family)
        if expected is None:
            return
        large = self._table.clusters[family] >= ENOUGH_CLUSTERS
        difference = share.value - expected
        wrong = (
            (rule.kind == "exact" and share.right != round(expected * share.n))
            or (rule.kind == "near" and large and abs(difference) > TOLERANCE)
            or (rule.kind == "most" and large and difference > TOLERANCE)
        )
        if wrong:
            self._fail(
                self._scores,
                solver,
                family,
                f"{solver} scores {share.value:.3f} ({share.right} of {share.n}), "
                f"by construction {'at most ' if rule.kind == 'most' else ''}{expected:.3f}",
            )

    def _group(self, solver: str, family: str) -> None:
        share = self.groups[solver, family]
        if solver == "oracle":
            wrong = share.right != share.n
        elif solver in _GROUPS_REPORTED or self._table.cell(solver, family) == "r":
            return
        elif solver in POSITIONAL and family in _GROUPS_BY_POSITION:
            large = self._table.clusters[family] >= ENOUGH_CLUSTERS
            wrong = large and share.value > _GROUPS_BY_POSITION[family] + TOLERANCE
        else:
            wrong = share.right > 0
        if wrong:
            what = f"{solver} has {share.right} of {share.n} twin groups right"
            self._fail(self._wholes, solver, family, what)

    def _tense_words(self) -> None:
        """A solver that ignores "now" and "before" cannot have both right: overlap UL + UP <= 1."""
        pair = ("update_latest", "update_previous")
        if not all(("overlap", family) in self.cells for family in pair):
            return
        both = sum(self.cells["overlap", family].value for family in pair)
        large = min(self._table.clusters[family] for family in pair) >= ENOUGH_CLUSTERS
        if large and both > 1 + TOLERANCE:
            what = f"overlap scores {both:.3f} on both updates together, by construction at most 1"
            self._fail(self._scores, "overlap", pair[0], what)

    def _paraphrases(self) -> None:
        """A question that shares no word with the statement is not answered by overlap."""
        share = self._table.worded("overlap", "fact_recall", PARAPHRASE)
        large = self._table.clusters.get("fact_recall", 0) >= ENOUGH_CLUSTERS
        if share.n and large and share.value > 0.25 + TOLERANCE:
            what = f"overlap scores {share.value:.3f} on paraphrases, by construction at most 0.25"
            self._fail(self._scores, "overlap", "fact_recall", what)

    def _fail(self, findings: Findings, solver: str, family: str, what: str) -> None:
        self.failed.add((solver, family))
        findings.add(family, what)
