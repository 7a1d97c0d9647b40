"""Reads the family folders of `tasks/` and checks them; a bad file is named with its line."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from qwen_bench.errors import DataError, near
from qwen_bench.probes.builders import BUILDERS
from qwen_bench.probes.instance import Builder, Words
from qwen_bench.probes.model import LANGS, AnswerKind, Lang, Split


class Join(Words):
    """How a list is joined: before the last item, and before the others."""

    sep: str
    last: str


class TaskFile(BaseModel):
    """task.yaml of a family."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    version: int
    programme: Literal["mixed", "rule", "extended", "system"]
    builder: str
    evidence_from: str | None = None
    params: dict[str, Any] = {}
    evidence_turns: tuple[int, int] | list[int]
    twin: str
    answer: AnswerKind
    chance: float
    floor: float


@dataclass(frozen=True, slots=True)
class Family:
    """One family: its settings, logic and words.

    Attributes:
        words: by language and split, instances of `builder.words`.
        joins: by language.
        sha256: of all its files.
    """

    task: TaskFile
    builder: Builder
    words: Mapping[tuple[Lang, Split], Any]
    joins: Mapping[Lang, Join]
    sha256: str

    @property
    def name(self) -> str:
        """Name of the family, which is the name of its folder."""
        return self.task.name

    @property
    def group(self) -> str:
        """The family whose evidence it asks about; itself for most."""
        return self.task.evidence_from or self.task.name


@lru_cache(maxsize=8)
def load_families(folder: Path) -> Mapping[str, Family]:
    """All families of a tasks folder, by name, in alphabetical order.

    Raises:
        DataError: a file is missing, not YAML, or does not fit the schema of its builder.
    """
    families = {}
    for path in sorted(folder.glob("*/task.yaml")):
        family = load_family(path.parent)
        families[family.name] = family
    for family in families.values():
        if family.group not in families:
            raise DataError(
                folder / family.name / "task.yaml",
                None,
                f"evidence_from: no family '{family.group}'; {near(family.group, families)}",
            )
    return families


def load_family(folder: Path) -> Family:
    """One family from its folder.

    Raises:
        DataError: with file and line.
    """
    task = _checked(TaskFile, folder / "task.yaml", _read_yaml(folder / "task.yaml"), ())
    if task.name != folder.name:
        raise DataError(folder / "task.yaml", 1, f"name: '{task.name}' in the folder {folder.name}")
    if task.builder not in BUILDERS:
        raise DataError(
            folder / "task.yaml",
            _line(folder / "task.yaml", ("builder",)),
            f"builder: no builder '{task.builder}'; {near(task.builder, BUILDERS)}",
        )
    builder = BUILDERS[task.builder]
    words: dict[tuple[Lang, Split], Any] = {}
    joins: dict[Lang, Join] = {}
    digest = hashlib.sha256((folder / "task.yaml").read_bytes())
    for lang in LANGS:
        path = folder / f"{lang}.yaml"
        content = _read_yaml(path)
        digest.update(path.read_bytes())
        known = {"join", "eval", "train"}
        for key in content:
            if key not in known:
                raise DataError(
                    path, _line(path, (key,)), f"unknown key '{key}'; {near(key, known)}"
                )
        joins[lang] = _checked(Join, path, content.get("join", {"sep": "", "last": ""}), ("join",))
        splits: tuple[Split, ...] = ("eval", "train")
        for split in splits:
            if split not in content:
                raise DataError(path, None, f"the key {split} is missing")
            words[lang, split] = _checked(builder.words, path, content[split], (split,))
    return Family(task, builder, words, joins, digest.hexdigest())


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(path, None, "this file is missing") from None
    except UnicodeDecodeError as error:
        raise DataError(path, None, f"not UTF-8: {error.reason} at byte {error.start}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise DataError(path, line, f"not valid YAML: {error.problem}") from None
    if not isinstance(content, dict):
        raise DataError(path, 1, "not a mapping of keys")
    return content


def _checked(model: type[Any], path: Path, content: object, place: tuple[str, ...]) -> Any:  # noqa: ANN401
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        location = (*place, *first["loc"])
        more = error.error_count() - 1
        what = f"{'.'.join(str(part) for part in location)}: {first['msg']}"
        if first["type"] == "extra_forbidden":
            what = (
                f"unknown key '{first['loc'][-1]}' in {'.'.join(map(str, location[:-1])) or 'file'}"
            )
        raise DataError(
            path,
            _line(path, location),
            what + (f" (and {more} more)" if more else ""),
            fix="compare with the same file of another family",
        ) from None


def _line(path: Path, location: tuple[str | int, ...]) -> int | None:
    """Line of a key path in a YAML file: of its deepest part that exists."""
    node = yaml.compose(path.read_text(encoding="utf-8"))
    line: int | None = None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(part)]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                break
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
