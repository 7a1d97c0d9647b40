"""Cells, the tasks of the plugin: a family at a history length, and their names.

Knows suites; knows nothing of the harness.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite

PREFIX = "qwen_bench"
DEFAULT = "core"
WHOLE = "full"


@dataclass(frozen=True, slots=True)
class Cell:
    """A family at a history length.

    Attributes:
        ranked: whether candidates can be ranked; not where a rule asks for a form of reply.
    """

    family: str
    length: int
    ranked: bool

    def task(self, *, rank: bool) -> str:
        """Name of its task."""
        return f"{prefix(DEFAULT, rank=rank)}_{self.family}_h{self.length}"

    @property
    def alias(self) -> str:
        """Name in tables of results."""
        turns = "turn" if self.length == 1 else "turns"
        return f"{self.family.replace('_', ' ')}, {self.length} {turns}"


def prefix(suite: str, *, rank: bool) -> str:
    """Name of a suite's group, and how the tags of its cells begin.

    >>> prefix("core", rank=False), prefix("full", rank=True)
    ('qwen_bench', 'qwen_bench_full_rank')
    """
    words = [PREFIX, *([] if suite == DEFAULT else [suite]), *(["rank"] if rank else [])]
    return "_".join(words)


@lru_cache(maxsize=4)
def cells_of(suite: str) -> tuple[Cell, ...]:
    """Cells of a suite's main condition, in the order of its families and lengths.

    Raises:
        InputError: no such suite.
    """
    built = build_suite(suite, Selection(conditions=("main",), langs=("en",), limit=1))
    ranked = {
        (asked.probe.family, asked.probe.length): bool(asked.probe.rank_candidates)
        for dialogue in built.dialogues()
        for asked in dialogue.probes
    }
    return tuple(
        Cell(family, length, ranked[family, length])
        for family in built.families
        for length in built.lengths
        if (family, length) in ranked
    )
