"""What `run` begins by itself where no model is named: a suite on the embedded one, for hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwen_bench.app.config import EMBEDDED, options
from qwen_bench.errors import InputError
from qwen_bench.probes.suites import build_suite
from qwen_bench.record.formats import rough_duration
from qwen_bench.runs.runner import plan
from qwen_bench.runs.store import readable_runs, total_efficiency

if TYPE_CHECKING:
    from pathlib import Path

    from qwen_bench.app.asking import Asking

LONG = 3000
"""Answers of the embedded model above which a CPU is at work for more than some minutes."""
_SHORTER = ("demo", "quick")
_NAMING = ("Model", "Probes", "Generation")


def refuse_unnamed(asking: Asking) -> None:
    """Refuse to begin what nobody asked for: no model, no probes, nothing about either.

    Raises:
        InputError: nothing is named, and it would take long.
    """
    config = asking.config
    named = any(
        config.given(name)
        for name, said in options().items()
        if said.group in _NAMING or name in {"baseline", "resume"}
    )
    if named or not _by_default(asking):
        return
    suite = asking.suite.name
    commands = [f"qwen-bench run --suite {name}" for name in (*_SHORTER, suite)]
    width = max(map(len, commands))
    probes = [_probes(name) for name in _SHORTER]
    raise InputError(
        f"nothing is named; suite {suite} has {asking.plan.probes:,} probes, which take the "
        f"embedded model {_time(asking)}",
        fix=[
            "name a model with --model SPEC, or a suite:",
            *(
                f"  {command:<{width}}  # {count:,} probes"
                for command, count in zip(commands, (*probes, asking.plan.probes), strict=True)
            ),
        ],
    )


def expected_time(asking: Asking) -> str | None:
    """What to expect of the embedded model where it was not named; None where that is not long."""
    if asking.config.resume is not None or not _by_default(asking):
        return None
    return (
        f"{len(asking.plan.keys):,} answers of the embedded model take {_time(asking)}; "
        f"shorter: --suite quick ({_probes('quick'):,} probes), --lang, --lengths, --limit 1"
    )


def _by_default(asking: Asking) -> bool:
    """Whether the embedded model is asked much because no other was named."""
    named = asking.config.model or any(item.engine is not None for item in asking.models)
    return not named and len(asking.plan.keys) > LONG


def _time(asking: Asking) -> str:
    """How long the answers take, from a recorded run of the embedded model if there is one."""
    for rate, run in _rates(asking.config.runs_path):
        return f"about {rough_duration(len(asking.plan.keys) / rate)} at the rate of {run}"
    return "hours on a CPU"


def _rates(runs_dir: Path) -> list[tuple[float, str]]:
    """(answers a second, run) of recorded runs of the embedded model, newest first."""
    found = []
    for _, manifest in readable_runs(runs_dir):
        total = total_efficiency(manifest.invocations) if manifest.model.spec == EMBEDDED else None
        if total and total["answers_per_second"]:
            found.append((float(total["answers_per_second"]), manifest.run_id))
    return found


def _probes(suite: str) -> int:
    """Number of probes of a whole suite."""
    built = build_suite(suite)
    return plan(built.dialogues(), built.modes).probes
