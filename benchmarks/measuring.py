"""How one measurement is taken and handed on; the same for every runner.

Standard library only, because a peer may live in an environment of its own. One thread on one
core: two threads on a busy machine of two cores made times five to ten times longer and erratic.
`prepare_process` must run before torch or any other library with threads is imported.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from benchmarks import grids, models

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM")


class Asked(NamedTuple):
    """What one process has to do.

    Attributes:
        grid: what is asked.
        folder: of the model.
        mode: `generate` or `rank`.
        setting: of the runner, for those that have several.
    """

    grid: grids.Grid
    folder: Path
    mode: str
    setting: str


@dataclass(frozen=True, slots=True)
class Measured:
    """What a runner did.

    Attributes:
        answers: generated ids by prompt; empty when ranking.
        scores: sum of log-probabilities by candidate of each scored prompt; empty when generating.
        counters: whole numbers the runner counted itself; `forward_tokens` where it knows them.
        margins: smallest gap of the best two log-probabilities of each answer, where known.
    """

    answers: Sequence[Sequence[int]] = ()
    scores: Sequence[Sequence[float]] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    margins: Sequence[float] = ()


def prepare_process() -> None:
    """One thread, one core, no network, no progress bars."""
    for name in _THREADS:
        os.environ[name] = "false" if name == "TOKENIZERS_PARALLELISM" else "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def measure(
    script: str,
    packages: Sequence[str],
    load: Callable[[Asked], Callable[[grids.Grid], Measured]],
    *,
    settings: Sequence[str] = ("default",),
    modes: Sequence[str] = ("generate",),
) -> None:
    """Parse the command line, load, warm up on a small grid, measure once, write one JSON line.

    Args:
        script: name of the runner.
        packages: distributions whose versions are recorded.
        load: loads model and runner, and gives a function that answers a grid.
        settings: what `--setting` may be; the first is the default.
        modes: what `--mode` may be.
    """
    prepare_process()
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{script}")
    parser.add_argument("--grid", default="G140", help="name of a grid, see benchmarks/grids.py")
    parser.add_argument("--model", default="qwen3-tiny", choices=models.MODELS)
    parser.add_argument("--mode", default=modes[0], choices=modes)
    parser.add_argument("--setting", default=settings[0], choices=settings)
    parser.add_argument("--models", type=Path, default=models.default_folder())
    parser.add_argument("--out", type=Path, help="file for the JSON line; default is stdout")
    given = parser.parse_args()
    grid = grids.load(given.grid, given.models)
    asked = Asked(grid, given.models / given.model, given.mode, given.setting)
    begun = time.perf_counter()
    answer = load(asked)
    loaded = time.perf_counter()
    answer(grids.warm_up(grid))
    cpu, wall = time.process_time(), time.perf_counter()
    found = answer(grid)
    line = {
        "script": script,
        "grid": given.grid,
        "model": given.model,
        "mode": given.mode,
        "setting": given.setting,
        "command": _command(script, given),
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.perf_counter() - wall,
        "load_seconds": loaded - begun,
        "process_bytes": _process_bytes(),
        "counters": dict(found.counters),
        "answers": [list(ids) for ids in found.answers],
        "scores": [list(row) for row in found.scores],
        "margins": list(found.margins),
        "versions": {name: _version(name) for name in packages},
        "python": sys.version.split()[0],
    }
    text = json.dumps(line) + "\n"
    if given.out is None:
        sys.stdout.write(text)
    else:
        given.out.write_text(text, encoding="utf-8")


def torch_thread() -> None:
    """One thread inside torch; call after importing it."""
    import torch  # noqa: PLC0415 - not every runner has it

    torch.set_num_threads(1)


def _command(script: str, given: argparse.Namespace) -> str:
    """The command line without paths."""
    named = ("grid", "model", "mode", "setting")
    options = " ".join(f"--{name} {getattr(given, name)}" for name in named)
    return f"python -m benchmarks.{script} {options}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _process_bytes() -> int:
    """Most memory of this process, weights included; 0 where unknown."""
    try:
        import resource  # noqa: PLC0415 - does not exist on Windows
    except ImportError:
        return 0
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
