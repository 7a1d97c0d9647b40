"""Errors inside the harness, and which versions of it serve.

The harness prints tracebacks, so an error says in its text what is wrong and what mends it.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from qwen_bench.errors import MissingExtraError, QwenBenchError

PACKAGE = "lm_eval"
OLDEST = "0.4.13"


class TaskError(QwenBenchError, ValueError):
    """A task cannot be built or asked; a ValueError too, as the harness expects of tasks."""

    def __str__(self) -> str:
        """Message, reasons and remedies, for a traceback."""
        lines = [self.message]
        for word, texts in (("why", self.why), ("fix", self.fix)):
            lines += [f"  {word}: {text}" for text in texts]
        return "\n".join(lines)


def installed_harness() -> str | None:
    """Version of the installed harness; None without one."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None


def too_old(found: str) -> bool:
    """Whether a version of the harness is older than the tasks need.

    >>> too_old("0.4.9.2"), too_old("0.4.13"), too_old("0.5.0.dev1")
    (True, False, False)
    """
    return _numbers(found) < _numbers(OLDEST)


def check_harness() -> str:
    """Version of the harness, which is new enough.

    Raises:
        MissingExtraError: none is installed.
        TaskError: it is too old.
    """
    found = installed_harness()
    if found is None:
        raise MissingExtraError("lm-eval", PACKAGE)
    if too_old(found):
        raise TaskError(
            f"the qwen_bench tasks need {PACKAGE} {OLDEST} or newer; {found} is installed",
            why="they are tested with 0.4.13 and 0.5; older versions read task files differently",
            fix="pip install 'qwen-bench[lm-eval]'",
        )
    return found


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])
