"""Statistics of files of training data: counts, tokens, and how much answers need their history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from qwen_bench.data.summary import Counts
from qwen_bench.stats.intervals import wilson

if TYPE_CHECKING:
    from qwen_bench.data.context_use import HistoryUse
    from qwen_bench.data.template_lint import TemplateLint

_MOST_TURNS = 16
_HELP = (-0.25, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Bars:
    """One row of bars: a heading and how often each name occurs, in the order they are drawn."""

    title: str
    counts: Mapping[str, int]


@dataclass(slots=True)
class Statistics:
    """Of one or more files.

    Attributes:
        faulty: records with errors, which are not counted.
        lint: tokens under a model; None without one.
        history: answers that were measured with and without their history; None if not asked for.
    """

    counts: Counts = field(default_factory=Counts)
    faulty: int = 0
    lint: TemplateLint | None = None
    history: Sequence[HistoryUse] | None = None

    def lines(self) -> list[str]:
        """The figures for people."""
        lines = [*self.counts.lines(), self.counts.roles_line()]
        if self.lint is not None:
            lines += self.lint.lines()
        if self.history:
            needed, n = sum(use.needed for use in self.history), len(self.history)
            low, high = wilson(needed, n)
            middle = median(use.help for use in self.history)
            between = f"95 % interval {100 * low:.1f} to {100 * high:.1f}"
            told = f"{100 * needed / n:.1f} % of {n:,} later answers need it ({between})"
            lines.append(f"history        {told}")
            told = f"without it their loss is {middle:.2f} nats a token higher (median)"
            lines.append(f"               {told}")
        elif self.history is not None:
            lines.append("history        no learned answer is behind a second user message")
        if self.faulty:
            lines.append(f"not counted    {self.faulty:,} records with errors: data validate")
        return lines

    def pictures(self) -> list[Bars]:
        """What there is to draw."""
        turns: dict[str, int] = {str(n): self.counts.exactly[n] for n in range(1, _MOST_TURNS)}
        turns[f"{_MOST_TURNS}+"] = sum(
            count for n, count in self.counts.exactly.items() if n >= _MOST_TURNS
        )
        sizes = self.counts.sizes
        span = range(min(sizes, default=0), max(sizes, default=0) + 1)
        rows = [
            Bars("Conversations by user turns", turns),
            Bars("Conversations by characters", {f"< {1 << n:,}": sizes[n] for n in span}),
        ]
        if self.history:
            rows.append(Bars("Answers by what history saves, nats a token", _by_help(self.history)))
        return rows

    def document(self) -> dict[str, object]:
        """The figures as JSON."""
        return {
            "schema_version": 1,
            "summary": self.counts.document(),
            "user_turns": {str(n): count for n, count in sorted(self.counts.exactly.items())},
            "records_with_errors": self.faulty,
            "model": self.lint.document() if self.lint else None,
            "history": self._history() if self.history is not None else None,
        }

    def _history(self) -> dict[str, object]:
        uses = self.history or ()
        needed = sum(use.needed for use in uses)
        return {
            "answers": len(uses),
            "need_history": needed,
            "share": needed / len(uses) if uses else None,
            "interval": list(wilson(needed, len(uses))) if uses else None,
            "rows": [
                {
                    "line": use.line,
                    "turn": use.turn,
                    "tokens": use.tokens,
                    "loss": use.loss,
                    "loss_without": use.without,
                }
                for use in uses
            ],
        }


def _by_help(uses: Sequence[HistoryUse]) -> dict[str, int]:
    """Answers by classes of what their history saves."""
    edges = (float("-inf"), *_HELP, float("inf"))
    names = [f"< {_HELP[0]:g}"]
    names += [f"{low:g} to {high:g}" for low, high in pairwise(_HELP)]
    names.append(f"> {_HELP[-1]:g}")
    return {
        name: sum(low < use.help <= high for use in uses)
        for name, (low, high) in zip(names, pairwise(edges), strict=True)
    }
