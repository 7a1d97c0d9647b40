"""Run folders named on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwen_bench.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qwen_bench.cli.display import Screen
    from qwen_bench.runs.store import StoredRun


def read_runs(names: Sequence[str], runs_dir: Path, screen: Screen) -> list[StoredRun]:
    """Read run folders by path or name, each once.

    Args:
        names: as typed.
        runs_dir: where names without a folder are looked up.
        screen: is told what the reader forgave.

    Raises:
        InputError: one is no run folder, or is named twice.
        RunError: one is damaged.
    """
    from qwen_bench.runs.store import find_run, read_run

    folders = [find_run(name, runs_dir) for name in names]
    resolved = [folder.resolve() for folder in folders]
    for number, folder in enumerate(resolved):
        if folder in resolved[:number]:
            both = len(resolved) == 2
            raise InputError(
                "both arguments are the same run" if both else f"{names[number]} is named twice"
            )
    runs = [read_run(folder) for folder in folders]
    for run in runs:
        for notice in run.notices:
            screen.say(notice)
    return runs
