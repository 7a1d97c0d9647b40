"""What `run` and `check` refuse before anything is asked, since hours of asking cannot mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwen_bench.cli.gating import read_gates
from qwen_bench.cli.outputs import check_page
from qwen_bench.errors import InputError
from qwen_bench.stats.pairing import check_usable

if TYPE_CHECKING:
    from qwen_bench.cli.asking import Asking


def check_beforehand(asking: Asking) -> None:
    """Refuse outputs, gates and a stored baseline that cannot work.

    Raises:
        InputError: an output without its comparison, a gate on what is not asked, or too many runs
            for one page.
        NotComparableError: the stored baseline is empty or not finished.
    """
    _refuse_lonely_outputs(asking)
    read_gates(asking.options.gate, asking.suite.families, asking.suite.lengths)
    if asking.stored_base is not None:
        check_usable([asking.stored_base.view()], allow_partial=asking.options.allow_partial)
    check_page(asking.options, len(asking.specs) + (asking.stored_base is not None))


def _refuse_lonely_outputs(asking: Asking) -> None:
    """What needs a comparison is refused where none will be made.

    Raises:
        InputError: gates, JUnit, or one JSON document of several runs, without a baseline.
    """
    options = asking.options
    if asking.has_base:
        return
    if options.json and len(asking.specs) > 1:
        raise InputError(
            "--json with several models needs a --baseline",
            why="without one there is a summary.json for each model, in its run folder",
        )
    for flag, given in (("--gate", options.gate), ("--junit", options.junit)):
        if given:
            raise InputError(f"{flag} needs a --baseline", why="without one nothing is compared")
