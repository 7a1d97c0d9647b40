"""What each solver scores by construction: rules for all families, and what task.yaml declares.

A family declares what its own words and draws decide, for each level of memory load, since a reader
of presence or position is right where there is one value and near chance where there are many.
What holds for any family stands here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from qwen_bench.errors import InputError
from qwen_bench.probes.definitions import Family, TaskFile
from qwen_bench.probes.probe import LEVELS, AnswerKind
from qwen_bench.solvers.solver_engine import SOLVERS, check_solver_name, is_window

WINDOWS = ("window-2", "window-8", "window-32")
# They see no history, or give the same answer to all of them, so no twin group is theirs.
BLIND_TO_HISTORY = frozenset(
    {
        *("blind", "constant", "longest", "dump", "abstain", "never-abstain"),
        *("follow", "never-follow", "yes", "no"),
    }
)
# Lowest level at which a solver that a family names in `zero_groups` has no twin group right.
ZERO_GROUPS_FROM = 2
_AT_MOST = re.compile(r"<=\s*(\d*\.?\d+)")


@dataclass(frozen=True, slots=True)
class Due:
    """What a solver must score.

    Attributes:
        value: share of answers right, 0 to 1.
        at_most: less is right as well.
    """

    value: float
    at_most: bool = False

    @property
    def exact(self) -> bool:
        """Whether no tolerance applies."""
        return not self.at_most and self.value in {0.0, 1.0}

    def __str__(self) -> str:
        text = f"{self.value:.3f}".rstrip("0").rstrip(".").removeprefix("0") or "0"
        return f"<={text}" if self.at_most else text


ByLevel = tuple[Due, ...]


def same_everywhere(solver: str, kind: AnswerKind) -> Due | None:
    """What a solver scores in every family with this kind of answer; None where families differ."""
    if solver == "oracle":
        return Due(1)
    if solver in {"abstain", "never-abstain"} and kind == "abstain":
        return Due(0.5)
    if solver in {"dump", "abstain"}:
        return Due(0)
    return Due(0.5) if solver in {"yes", "no"} else None


def declared(task: TaskFile) -> dict[str, ByLevel]:
    """What a family's task.yaml declares, by solver and level.

    Raises:
        InputError: an unknown solver, one that no family may declare, or no share.
    """
    found: dict[str, ByLevel] = {}
    for solver, given in task.shortcuts.items():
        where = f"{task.name}: task.yaml, shortcuts.{solver}"
        try:
            check_solver_name(solver)
        except InputError as error:
            raise InputError(f"{where}: {error.message}") from error
        if solver == "oracle" or is_window(solver):
            raise InputError(f"{where}: it scores the same in every family; leave it out")
        values = given if isinstance(given, list) else [given] * LEVELS
        if len(values) != LEVELS:
            raise InputError(f"{where}: {len(values)} values, one or {LEVELS} are due")
        found[solver] = tuple(_due(value, where) for value in values)
    for solver in task.zero_groups:
        if solver not in SOLVERS:
            raise InputError(f"{task.name}: task.yaml, zero_groups: unknown solver '{solver}'")
    return found


def _due(given: float | str, where: str) -> Due:
    bound = _AT_MOST.fullmatch(given) if isinstance(given, str) else None
    if isinstance(given, str) and bound is None:
        raise InputError(
            f"{where}: '{given}' is no share", fix="write .25, or <=.25 for an upper gate"
        )
    value = float(bound[1]) if bound else float(given)
    if not 0 <= value <= 1:
        raise InputError(f"{where}: {given} is not between 0 and 1")
    return Due(value, at_most=bound is not None)


class Expected:
    """What every solver must score in the families of a suite.

    Args:
        families: by name; of one that is missing nothing is declared.

    Raises:
        InputError: a task.yaml declares something unusable.
    """

    def __init__(self, families: Mapping[str, Family]) -> None:
        self._declared = {name: declared(family.task) for name, family in families.items()}
        self._zero_groups = {name: family.task.zero_groups for name, family in families.items()}

    def due(self, solver: str, family: str, kind: AnswerKind, level: int) -> Due | None:
        """What a solver must score at one level; None where it is only reported.

        Args:
            solver: name.
            family: its name.
            kind: of its answers.
            level: of memory load, from 1.
        """
        if is_window(solver):
            return None
        by_level = self._declared.get(family, {}).get(solver)
        return by_level[level - 1] if by_level else same_everywhere(solver, kind)

    def group_is_zero(self, solver: str, family: str, level: int) -> bool:
        """Whether a solver can have no whole twin group right at a level."""
        named = solver in self._zero_groups.get(family, ())
        return solver in BLIND_TO_HISTORY or (named and level >= ZERO_GROUPS_FROM)
