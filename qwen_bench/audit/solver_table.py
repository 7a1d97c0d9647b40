"""What each solver scores by construction: the table of the probe specification, section 7.2.

What depends on the probe, such as one of its number of candidates, is averaged over those asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qwen_bench.probes.probe import Probe
from qwen_bench.solvers.solver_engine import applies, window_of

FAMILIES = (
    *("fact_recall", "assistant_recall", "update_latest", "update_previous", "pronoun", "ellipsis"),
    *("ordinal_ref", "alias_chain", "state_tracking", "temporal_order", "instruction_retention"),
    *("abstention", "system_rule", "speaker_attribution", "topic_return"),
    "false_history_resistance",
)

# One cell a family, in the order above. `.` is blank, `r` reported only, `k` one of the number of
# candidates, `p` one third where the evidence is two turns and else 0, `<x` gated from above only.
_TABLE = """
oracle        1   1     1   1   1    1    1    1    1   1    1   1    1   1    1    1
blind         k   k     k   k   k    k    k    k    .25 k    .5  .125 .5  k    k    k
constant      k   k     k   k   k    k    k    k    .25 k    .5  .125 .5  k    k    k
longest       k   k     k   k   k    k    k    k    .25 k    .5  .125 .5  k    k    k
recency       .25 .25   1/3 0   .5   0    .25  1/3  0   .5   .   .125 .   <1/3 .5   .
primacy       .25 .25   0   p   .5   .25  .25  1/3  0   .5   .   .125 .   <1/3 .5   .
frequency     .25 .25   k   k   .5   0    .25  1/3  0   .5   .   .125 .   <1/3 .5   .
last-entity   .   <.5   .   .   .5   <.5  .    <1/3 .   .5   .   .    .   <.5  .5   .
overlap       r   <.5   r   r   <.5  <.5  <.25 <1/3 0   <.5  .   <.5  .   <.5  <.5  <.5
dump          0   0     0   0   0    0    0    0    0   0    .   0    .   0    0    0
abstain       0   0     0   0   0    0    0    0    0   0    .   .5   .   0    0    0
never-abstain .   .     .   .   .    .    .    .    .   .    .   .5   .   .    .    .
follow        .   .     .   .   .    .    .    .    .   .    .5  .    .5  .    .    .
never-follow  .   .     .   .   .    .    .    .    .   .    .5  .    .5  .    .    .
copycat       .   .     .   .   .    .    .    .    .   .    .5  .    .5  .    .    .
yes           .   .     .   .   .    .    .    .    .   .    .   .    .   .    .    .5
no            .   .     .   .   .    .    .    .    .   .    .   .    .   .    .    .5
gender        .   .     .   .   .5   .    .    .    .   .    .   .    .   .    .    .
"""
CELLS: dict[tuple[str, str], str] = {
    (row.split()[0], family): cell
    for row in _TABLE.strip().splitlines()
    for family, cell in zip(FAMILIES, row.split()[1:], strict=True)
}
# Of a family that is not in the table: what holds for any probe of its answer kind.
_OWN = {
    "oracle": "1",
    **dict.fromkeys(("blind", "constant", "longest"), "k"),
    **dict.fromkeys(("dump", "abstain"), "0"),
    **dict.fromkeys(("follow", "never-follow", "copycat", "yes", "no"), ".5"),
}
_OWN_BY_KIND = {
    ("abstain", "abstain"): ".5",
    ("never-abstain", "abstain"): ".5",
    **{(solver, "rule"): ".5" for solver in ("blind", "constant", "longest")},
    **{(solver, "abstain"): "c" for solver in ("blind", "constant", "longest")},
}
POSITIONAL = ("recency", "primacy", "frequency")
SOLVERS = tuple(dict.fromkeys(solver for solver, _ in CELLS))
WINDOWS = ("window-2", "window-8", "window-32")


@dataclass(frozen=True, slots=True)
class PassRule:
    """How a cell of the table is judged.

    Attributes:
        kind: `exact` at any size, `near` within a tolerance, `most` gated from above, `shown` not.
        shown: how the expected value is printed.
    """

    kind: Literal["exact", "near", "most", "shown"]
    shown: str


def cell_of(solver: str, probe: Probe, floor: float | None = None) -> str | None:
    """The cell of the table for a probe; None where the solver does not apply.

    Args:
        solver: name.
        probe: any.
        floor: declared by a family that is not in the table, the most a heuristic may reach.
    """
    if window_of(solver) is not None:
        return "r"
    if not applies(solver, probe):
        return None
    if probe.family in FAMILIES:
        cell = CELLS.get((solver, probe.family), ".")
        return None if cell == "." else cell
    if floor is not None and solver in POSITIONAL:
        return f"<{floor}"
    return _OWN_BY_KIND.get((solver, probe.answer_kind), _OWN.get(solver, "r"))


def rule_of(cell: str) -> PassRule:
    """How a cell is judged."""
    if cell in {"0", "1"}:
        return PassRule("exact", cell)
    if cell == "r":
        return PassRule("shown", "")
    if cell.startswith("<"):
        return PassRule("most", f"<={_short(_number(cell[1:]))}")
    return PassRule("near", "")


def by_construction(cell: str, probe: Probe) -> float | None:
    """Expected score of one probe, averaged over draws; None where it is only reported."""
    k = len(probe.candidates)
    if cell == "r":
        return None
    if cell == "k":
        return 1 / max(len(probe.rank_candidates) if probe.answer_kind == "set" else k, 1)
    if cell == "c":
        return 1 / (2 * k)
    if cell == "p":
        return 1 / 3 if k == 6 else 0.0
    return _number(cell.removeprefix("<"))


def _number(cell: str) -> float:
    above, _, below = cell.partition("/")
    return float(above) / float(below or 1)


def _short(value: float) -> str:
    return f"{value:.2f}".removeprefix("0").rstrip("0") or "0"
