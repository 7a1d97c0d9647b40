"""The HTML report: one self-contained page made from runs, summaries and comparisons.

`qwen_bench.report` is also the name of the function that writes a page, so the package is callable.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """Passes a call on to the function, whichever of the two a caller imported."""

    def __call__(self, *runs: Any, **given: Any) -> Any:  # noqa: ANN401 - see the function
        import qwen_bench  # noqa: PLC0415 - the package above

        return qwen_bench.__getattr__("report")(*runs, **given)


sys.modules[__name__].__class__ = _Callable
