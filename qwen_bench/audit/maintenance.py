"""Audits of the benchmark itself: a checkout has them in `tools/audit`, an installed package not.

They look at what no family or filler of a user's can change: that the scorer asks no model, that
other processes build the same bytes, that the statistics know a solver that forgets, how a model's
tokenizer cuts the built-in words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qwen_bench.audit.findings import AuditLine, Rebuild
from qwen_bench.errors import InputError
from qwen_bench.probes.probe import Probe
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Suite

if TYPE_CHECKING:
    from qwen_bench.engines.prompter import Prompter

# Label of a model, and what turns messages into its ids.
Named = tuple[str, "Prompter"]
# Size of the window in turns, family, language.
Key = tuple[int, str, str]
Inspections = Mapping[str, Callable[[], Sequence[AuditLine]]]
_LEFT_OUT = {
    "determinism": ("determinism",),
    "suites": ("suites",),
    "lexicon": ("lexicon",),
    "parser": ("parser",),
    "judge-free": ("judge-free",),
    "tokens": ("rank tokens", "prompt tokens", "template"),
}
_NEEDS = "audits the benchmark itself: needs a checkout of the repository"


@dataclass(frozen=True, slots=True)
class WindowCurve:
    """A window's answers about one family in one language.

    Attributes:
        accuracy: by history length, exact.
        expected: the closed form; None where a slot is cut.
        history: effective history length as it is printed, and what needs demand.
        half_life: as it is printed, and whether that fits a window.
    """

    accuracy: Mapping[int, Fraction]
    expected: Mapping[int, Fraction | None]
    history: tuple[str, str]
    half_life: tuple[str, bool]


class Maintenance:
    """What stands in for the audits of a checkout where there is none: it says what is left out."""

    def window(self, turns: int, probe: Probe, score: int) -> None:
        """Keep one answer of `window-<turns>`."""

    def curves(self, suite: Suite) -> Mapping[Key, WindowCurve]:
        """What the statistics make of the answers that were kept."""
        del suite
        return {}

    def forgetting(self, curves: Mapping[Key, WindowCurve], *, enough: bool) -> list[AuditLine]:
        """The audit of the curves, if there are any.

        Args:
            curves: of all windows.
            enough: whether there are clusters enough for the half-life.
        """
        del curves, enough
        return _left_out(["forgetting"])

    def inspections(
        self, suite: Suite, selection: Selection, rebuild: Rebuild, models: Sequence[Named]
    ) -> Inspections:
        """Further audits in their order, by the name that progress has for them.

        Args:
            suite: small.
            selection: it was built with.
            rebuild: builds another one.
            models: whose tokenizers are audited.
        """
        del suite, selection, rebuild, models
        return {step: partial(_left_out, names) for step, names in _LEFT_OUT.items()}


def _left_out(names: Sequence[str]) -> list[AuditLine]:
    return [AuditLine(name, "skipped", _NEEDS) for name in names]


def find_maintenance() -> Maintenance:
    """The audits of the checkout that this package runs from, or what stands in for them."""
    try:
        from tools.audit import Checkout  # noqa: PLC0415 - an installed package has no `tools`
    except ImportError:
        return Maintenance()
    return Checkout()


def checkout(tasks: Path, flag: str = "--write") -> Path:
    """The tasks folder, if it is one of a checkout and not of an installed package.

    Raises:
        InputError: it was installed.
    """
    if not (tasks.parent / "pyproject.toml").is_file():
        raise InputError(
            f"{flag} needs a checkout of the repository",
            why=f"the tasks of this installation are part of the package: {tasks}",
            fix="git clone the repository, pip install -e . and run the command there",
        )
    return tasks
