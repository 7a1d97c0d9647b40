"""Reads the family folders of `tasks/` and checks them; a bad file is named with its line."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qwen_bench.chat.plain_text import text_fault, texts_in
from qwen_bench.errors import DataError, InputError, near
from qwen_bench.probes.builders import find_builder
from qwen_bench.probes.instance import Builder, Words
from qwen_bench.probes.probe import LANGS, LEVELS, AnswerKind, Lang, Split
from qwen_bench.resources import data_folder

# Ten times faster where libyaml is there, as in the wheels of PyYAML.
FAST_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Join(Words):
    """How a list is joined: before the last item, and before the others."""

    sep: str
    last: str


class TaskFile(BaseModel):
    """task.yaml of a family.

    Attributes:
        programme: dialogues that host it; empty for families outside `tasks/`, which get their own.
        builder: see `find_builder`.
        evidence_from: the family whose evidence this one asks about.
        levels: number of items at each of the five levels of memory load, rising; a family without
            them has four items at every level.
        items: what is counted, for people: "keeps 8 names".
        evidence_turns: turns that the evidence takes, at every level; 0 for a system message.
        twin: what differs between the variants, in a word.
        chance: score of a uniform guess among the candidates to rank.
        shortcuts: score of solvers that do without memory, for each level or one for all levels: a
            number, or an upper gate such as "<=.33"; the audit holds them to it.
        zero_groups: solvers that read the history and yet have no whole twin group right from
            level 2 on; the audit holds them to it.
        canary: marks the file as test data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    version: int
    programme: Literal["", "mixed", "rule", "extended", "everyday", "system"] = ""
    builder: str
    evidence_from: str | None = None
    params: dict[str, Any] = {}
    levels: list[int] = Field(default=[4] * LEVELS, min_length=LEVELS, max_length=LEVELS)
    items: str = "items"
    evidence_turns: int = Field(default=1, ge=0, le=2)
    twin: str
    answer: AnswerKind
    chance: float
    shortcuts: dict[str, float | str | list[float | str]] = {}
    zero_groups: list[str] = []
    canary: str | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """One family: its settings, logic and words.

    Attributes:
        words: by language and split, instances of `builder.words`.
        lures: by language, the same for remarks that look like evidence and are never asked about;
            none where a family brings no lures.
        joins: by language.
        sha256: of all its files.
    """

    task: TaskFile
    builder: Builder
    words: Mapping[tuple[Lang, Split], Any]
    lures: Mapping[Lang, Any]
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
    """The families of `tasks/`, by name, in alphabetical order.

    Raises:
        DataError: a file is missing, not YAML, or does not fit the schema of its builder.
    """
    return _families(folder, own=False)


def load_own_families(folder: Path) -> Mapping[str, Family]:
    """The families of a user's folder; a language or the train split may be missing.

    Raises:
        InputError: the folder holds no family.
        DataError: a file is not YAML, or does not fit the schema of its builder.
    """
    if not folder.is_dir():
        raise InputError(f"--tasks-dir: no folder {folder}")
    families = _families(folder, own=True)
    if not families:
        raise InputError(
            f"--tasks-dir: no family in {folder}",
            why="a family is a folder with task.yaml and en.yaml or zh.yaml",
            fix=f"name the folder that holds the family's folder, not {folder.name}/FAMILY itself",
        )
    return families


def _families(folder: Path, *, own: bool) -> Mapping[str, Family]:
    families = {}
    for path in sorted(folder.glob("*/task.yaml")):
        family = load_family(path.parent, own=own)
        families[family.name] = family
    for family in families.values():
        path = folder / family.name / "task.yaml"
        if family.group not in families:
            what = f"evidence_from: no family '{family.group}'; {near(family.group, families)}"
            raise DataError(path, None, what)
        theirs = families[family.group].task.programme
        if theirs != family.task.programme:
            what = f"programme: '{theirs}' is that of {family.group}, whose evidence it asks about"
            raise DataError(path, line_of(path, ("programme",)), what)
    return families


def declared_chances(suite_version: str | None = None) -> Mapping[str, float]:
    """Score of a uniform guess by built-in family, as its task.yaml declares it.

    Args:
        suite_version: families of another major version than this suite's are left out, since an
            old run was asked other probes; None leaves out none.

    Raises:
        DataError: a task.yaml is no YAML.
    """
    return {name: float(task["chance"]) for name, task in _tasks_of(suite_version).items()}


def declared_loads(suite_version: str | None = None) -> Mapping[str, tuple[str, tuple[int, ...]]]:
    """What the levels of each built-in family count, and how many at level 1 to 5.

    Args:
        suite_version: as for `declared_chances`.

    Returns:
        By family: a word such as ``names``, and five numbers.

    Raises:
        DataError: a task.yaml is no YAML.
    """
    return {
        name: (task["items"], tuple(task["levels"]))
        for name, task in _tasks_of(suite_version).items()
    }


def _tasks_of(suite_version: str | None) -> Mapping[str, Mapping[str, Any]]:
    """The task.yaml of the families with the major version of a suite."""
    major = suite_version.split(".", maxsplit=1)[0] if suite_version else None
    tasks = _tasks(data_folder("tasks"))
    return {name: task for name, task in tasks.items() if major in {None, str(task["version"])}}


@lru_cache(maxsize=4)
def _tasks(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """The task.yaml of every family folder."""
    return {path.parent.name: read_yaml(path) for path in sorted(folder.glob("*/task.yaml"))}


def load_family(folder: Path, *, own: bool = False) -> Family:
    """One family from its folder.

    Args:
        folder: with task.yaml, en.yaml, zh.yaml.
        own: a family of the user's: it has a programme to itself, and needs one language and the
            eval split only.

    Raises:
        DataError: with file and line.
    """
    path = folder / "task.yaml"
    task = _checked(TaskFile, path, read_yaml(path), ())
    if task.name != folder.name:
        raise DataError(path, 1, f"name: '{task.name}' in the folder {folder.name}")
    if own is bool(task.programme):
        what = "belongs to the built-in families; leave it out" if own else "the key is missing"
        raise DataError(path, line_of(path, ("programme",)), f"programme: {what}")
    try:
        builder = find_builder(task.builder)
    except InputError as error:
        raise DataError(
            path, line_of(path, ("builder",)), f"builder: {error.message}", fix=error.fix
        ) from error
    words: dict[tuple[Lang, Split], Any] = {}
    lures: dict[Lang, Any] = {}
    joins: dict[Lang, Join] = {}
    digest = hashlib.sha256(path.read_bytes())
    for lang in LANGS:
        path = folder / f"{lang}.yaml"
        if own and not path.exists():
            continue
        digest.update(path.read_bytes() if path.exists() else b"")
        content = read_yaml(path)
        joins[lang], splits = _language(path, content, builder, own=own)
        words |= {(lang, split): found for split, found in splits.items()}
        if "lures" in content:
            # Lures are never asked about: what only questions need is that of the eval split.
            told = {**content["eval"], **content["lures"]}
            lures[lang] = _checked(builder.words, path, told, ("lures",))
    if not words:
        raise DataError(folder, None, "neither en.yaml nor zh.yaml is here")
    return Family(task, builder, words, lures, joins, digest.hexdigest())


def _language(
    path: Path, content: Mapping[str, Any], builder: Builder, *, own: bool
) -> tuple[Join, dict[Split, Any]]:
    """How lists are joined, and the words of each split, of one language file."""
    known = {"canary", "join", "eval", "train", "lures"}
    for key in content:
        if key not in known:
            raise DataError(path, line_of(path, (key,)), f"unknown key '{key}'; {near(key, known)}")
    join = _checked(Join, path, content.get("join", {"sep": "", "last": ""}), ("join",))
    splits: tuple[Split, ...] = ("eval", "train")
    words: dict[Split, Any] = {}
    for split in splits:
        if split in content:
            words[split] = _checked(builder.words, path, content[split], (split,))
        elif split == "eval" or not own:
            raise DataError(path, None, f"the key {split} is missing")
    return join, words


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        DataError: missing, not UTF-8, not YAML, no mapping, or a text that cannot be asked: half a
            character, or a chat marker.
    """
    try:
        content = _parsed(path.read_text(encoding="utf-8"))
        texts = list(texts_in(content))
    except FileNotFoundError:
        raise DataError(path, None, "this file is missing") from None
    except UnicodeDecodeError as error:
        raise DataError(path, None, f"not UTF-8: {error.reason} at byte {error.start}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise DataError(path, line, f"not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise DataError(path, None, f"not valid YAML: {why}") from None
    if not isinstance(content, dict):
        raise DataError(path, 1, "not a mapping of keys")
    for place, text in texts:
        wrong = text_fault(text)
        if wrong is not None:
            name = ".".join(map(str, place))
            raise DataError(
                path, line_of(path, place), f"{name}: {wrong}", fix="write it in another way"
            )
    return content


def _parsed(text: str) -> Any:  # noqa: ANN401 - whatever YAML holds
    """Content of YAML; libyaml reads it, the parser in Python tells what is wrong with it."""
    try:
        return yaml.load(text, Loader=FAST_LOADER)  # noqa: S506 - safe
    except yaml.YAMLError:
        return yaml.safe_load(text)


def _checked(model: type[Any], path: Path, content: object, place: tuple[str, ...]) -> Any:  # noqa: ANN401
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        location = (*place, *first["loc"])
        more = error.error_count() - 1
        what = f"{'.'.join(str(part) for part in location)}: {first['msg']}"
        if first["type"] == "extra_forbidden":
            key = first["loc"][-1]
            what = f"unknown key '{key}' in {'.'.join(map(str, location[:-1])) or 'file'}"
            if len(first["loc"]) == 1:
                what += f"; {near(str(key), model.model_fields)}"
        raise DataError(
            path,
            line_of(path, location),
            what + (f" (and {more} more)" if more else ""),
            fix="compare with the same file of another family",
        ) from None


def line_of(path: Path, location: tuple[str | int, ...]) -> int | None:
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
