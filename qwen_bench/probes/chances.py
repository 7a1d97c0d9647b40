"""What a blind guess scores in the families of `tasks/`, without reading their words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from qwen_bench.probes.definitions import read_yaml
from qwen_bench.resources import data_folder


def declared_chances() -> Mapping[str, float]:
    """Score of a uniform guess by built-in family, as its task.yaml declares it.

    Raises:
        DataError: a task.yaml is no YAML.
    """
    return _chances(data_folder("tasks"))


@lru_cache(maxsize=4)
def _chances(folder: Path) -> Mapping[str, float]:
    """The key `chance` of every family folder."""
    found = {path.parent.name: read_yaml(path) for path in sorted(folder.glob("*/task.yaml"))}
    return {name: float(task["chance"]) for name, task in found.items()}
