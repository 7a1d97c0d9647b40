"""Reads `tasks/suites.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from qwen_bench.errors import DataError
from qwen_bench.probes.probe import Condition, Lang

Mode = Literal["generate", "rank"]


class Block(BaseModel):
    """A condition that only the first rotations of `mixed` have.

    Attributes:
        stack: exchanges of filler in one turn (dense).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lengths: tuple[int, ...]
    rotations: int
    stack: int = 1


class SuiteFile(BaseModel):
    """One entry of suites.yaml.

    Attributes:
        families: None stands for all of the programmes.
        rotations: by programme, for all history lengths or for each of them.
        controls: rotations that have adjacent and blind probes; None stands for all.
        blocks: further conditions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    about: str
    langs: tuple[Lang, ...]
    lengths: tuple[int, ...]
    families: tuple[str, ...] | None = None
    rotations: dict[str, int | dict[int, int]]
    controls: int | None = None
    blocks: dict[Condition, Block] = {}
    modes: tuple[Mode, ...]
    primary: Mode
    max_new_tokens: int

    def rotations_at(self, programme: str, length: int) -> int:
        """Rotations asked at a history length; the smallest of the suite for an added length.

        A programme that the suite does not name (a user's own family) has those of `mixed`.
        """
        rotations = self.rotations.get(programme, self.rotations["mixed"])
        if isinstance(rotations, int):
            return rotations
        return rotations.get(length, min(rotations.values()))


def load_canary(tasks: Path) -> str:
    """The string that marks probe data, for whoever filters training data."""
    return str(_content(tasks)["canary"])


@lru_cache(maxsize=4)
def _content(tasks: Path) -> Mapping[str, object]:
    content: dict[str, object] = yaml.safe_load((tasks / "suites.yaml").read_text("utf-8"))
    return content


@lru_cache(maxsize=4)
def load_suite_files(tasks: Path) -> Mapping[str, SuiteFile]:
    """The suites of a tasks folder by name, in the order of the file.

    Raises:
        DataError: an entry is not as it should be.
    """
    path = tasks / "suites.yaml"
    files = {}
    for name, entry in _content(tasks).items():
        if name == "canary":
            continue
        try:
            files[str(name)] = SuiteFile.model_validate(entry)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in (name, *first["loc"]))
            raise DataError(path, None, f"{place}: {first['msg']}") from None
    return files
