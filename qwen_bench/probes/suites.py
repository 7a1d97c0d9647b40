"""Suites: named, versioned sets of probes; pure functions of name, selection and seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from qwen_bench.errors import DataError, InputError, near
from qwen_bench.probes.definitions import Family, load_families
from qwen_bench.probes.dialogue import Asking, Sources, build_dialogue
from qwen_bench.probes.filler import load_filler
from qwen_bench.probes.model import (
    CONDITIONS,
    LANGS,
    VARIANTS,
    AskedProbe,
    Condition,
    Dialogue,
    Lang,
    Split,
)
from qwen_bench.probes.plan import MAX_TURNS, ROTATION
from qwen_bench.resources import data_folder

# Raised when the code that builds dialogues changes the text of any probe.
CONSTRUCTION = 1

Mode = Literal["generate", "rank"]


class SuiteFile(BaseModel):
    """One entry of suites.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    about: str
    langs: tuple[Lang, ...]
    lengths: tuple[int, ...]
    families: tuple[str, ...] | None = None
    rotations: int | dict[int, int]
    adjacent: int | None = None
    blind: int | None = None
    modes: tuple[Mode, ...]
    primary: Mode
    max_new_tokens: int

    def rotations_at(self, length: int) -> int:
        """Rotations asked at a history length; the smallest of the suite for an added length."""
        if isinstance(self.rotations, int):
            return self.rotations
        return self.rotations.get(length, min(self.rotations.values()))


@dataclass(frozen=True, slots=True)
class Selection:
    """What a user narrows or widens; None or empty means as the suite has it.

    Attributes:
        lengths: history lengths in user turns, 1 to 64.
        families, conditions: glob patterns.
        limit: rotations, more or fewer than the suite has; limits are nested.
    """

    lengths: tuple[int, ...] | None = None
    families: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    langs: tuple[Lang, ...] | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite with its selection resolved.

    Attributes:
        sha256: of wording, lexicons, filler and construction rules; independent of the selection.
        rotations: rotations of the main condition by history length.
        control_rotations: rotations of the adjacent and blind conditions.
    """

    name: str
    version: str
    sha256: str
    seed: int
    filler_sha256: str
    langs: tuple[Lang, ...]
    families: tuple[str, ...]
    lengths: tuple[int, ...]
    conditions: tuple[Condition, ...]
    limit: int | None
    modes: tuple[Mode, ...]
    primary: Mode
    max_new_tokens: int
    rotations: Mapping[int, int]
    control_rotations: Mapping[Condition, int]
    sources: Sources = field(repr=False, compare=False)

    def dialogues(self) -> Iterator[Dialogue]:
        """All dialogues in a fixed order, built one at a time."""
        for skeleton in range(ROTATION * max(self.rotations.values())):
            asking = self._asking(skeleton // ROTATION)
            if asking is None:
                continue
            for lang in self.langs:
                for variant in VARIANTS:
                    dialogue = build_dialogue(self.sources, skeleton, variant, lang, asking)
                    if dialogue.probes:
                        yield dialogue

    def _asking(self, rotation: int) -> Asking | None:
        lengths = tuple(t for t in self.lengths if rotation < self.rotations[t])
        conditions = tuple(
            c for c in self.conditions if c == "main" or rotation < self.control_rotations[c]
        )
        if not lengths or not conditions:
            return None
        return Asking(lengths, frozenset(self.families), conditions)


def load_suite_names() -> tuple[str, ...]:
    """Names of the built-in suites, in the order of suites.yaml."""
    return tuple(_suite_files(data_folder("tasks")))


def build_suite(name: str, selection: Selection | None = None, seed: int = 0) -> Suite:
    """A suite with a selection applied.

    Raises:
        InputError: unknown suite, family, condition, language or an impossible length.
        DataError: a file of tasks/ is unusable.
    """
    selection = selection or Selection()
    tasks = data_folder("tasks")
    files = _suite_files(tasks)
    if name not in files:
        raise InputError(f"no suite '{name}'; {near(name, files)}")
    file = files[name]
    families = load_families(tasks)
    lengths = _lengths(selection.lengths) if selection.lengths else file.lengths
    rotations = {t: selection.limit or file.rotations_at(t) for t in lengths}
    most = max(rotations.values())
    controls: dict[Condition, int] = {
        "adjacent": most if file.adjacent is None else min(file.adjacent, most),
        "blind": most if file.blind is None else min(file.blind, most),
    }
    sources = make_sources(tasks, families, file.version, seed, "eval")
    return Suite(
        name=name,
        version=file.version,
        sha256=_definition_sha256(file, families, sources),
        seed=seed,
        filler_sha256=_filler_sha256(sources),
        langs=_langs(selection.langs) if selection.langs else file.langs,
        families=_matching("family", selection.families, file.families or tuple(families)),
        lengths=tuple(sorted(lengths)),
        conditions=tuple(
            c for c in CONDITIONS if c in _matching("condition", selection.conditions, CONDITIONS)
        ),
        limit=selection.limit,
        modes=file.modes,
        primary=file.primary,
        max_new_tokens=file.max_new_tokens,
        rotations=rotations,
        control_rotations=controls,
        sources=sources,
    )


def make_sources(
    tasks: Path, families: Mapping[str, Family], version: str, seed: int, split: Split
) -> Sources:
    """What dialogues of one split are made from.

    The scope names the major version, so that suites of one major version share their skeletons.
    """
    return Sources(
        families=families,
        filler={lang: load_filler(tasks, lang, split) for lang in LANGS},
        split=split,
        scope=(version.split(".", maxsplit=1)[0], seed, split),
    )


def find_probe(
    probe_id: str, suite: str | None = None, seed: int = 0
) -> tuple[Dialogue, AskedProbe]:
    """A probe of any suite by its id, with its dialogue.

    Raises:
        InputError: no such probe.
    """
    parts = probe_id.split("/")
    names = (suite,) if suite else load_suite_names()
    fault = InputError(
        f"no probe '{probe_id}'",
        why="an id reads CLUSTER/VARIANT/LANG/FAMILY.QUESTION/T<length>/CONDITION",
        fix="qwen-bench probes list",
    )
    if len(parts) != 6 or parts[2] not in LANGS or parts[1] not in VARIANTS:
        raise fault
    number = parts[0].rpartition("-")[2]
    length = parts[4].removeprefix("T")
    if not number.isdecimal() or not length.isdecimal() or int(length) > MAX_TURNS:
        raise fault
    for name in names:
        built = build_suite(name, seed=seed)
        lengths = tuple(sorted({*built.lengths, max(1, int(length))}))
        asking = Asking(lengths, frozenset(built.families), CONDITIONS)
        dialogue = build_dialogue(
            built.sources,
            int(number),
            "A" if parts[1] == "A" else "B",
            "en" if parts[2] == "en" else "zh",
            asking,
        )
        for asked in dialogue.probes:
            if asked.probe.id == probe_id:
                return dialogue, asked
    raise fault


@lru_cache(maxsize=4)
def _suite_files(tasks: Path) -> Mapping[str, SuiteFile]:
    path = tasks / "suites.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    files = {}
    for name, entry in content.items():
        try:
            files[str(name)] = SuiteFile.model_validate(entry)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in (name, *first["loc"]))
            raise DataError(path, None, f"{place}: {first['msg']}") from None
    return files


def _lengths(lengths: tuple[int, ...]) -> tuple[int, ...]:
    for i, length in enumerate(lengths):
        if length < 1:
            raise InputError(f"history length {length} is below 1")
        if length > MAX_TURNS:
            raise InputError(f"history length {length} is above {MAX_TURNS}")
        if length in lengths[:i]:
            raise InputError(f"history length {length} is repeated")
    return lengths


def _langs(langs: tuple[Lang, ...]) -> tuple[Lang, ...]:
    for lang in langs:
        if lang not in LANGS:
            raise InputError(f"no such language '{lang}'; there are {', '.join(LANGS)}")
    return tuple(lang for lang in LANGS if lang in langs)


def _matching(what: str, globs: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    if not globs:
        return known
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in known):
            raise InputError(f"no {what} matches '{glob}'; {near(glob, known)}")
    return tuple(name for name in known if any(fnmatchcase(name, glob) for glob in globs))


def _filler_sha256(sources: Sources) -> str:
    joined = "".join(sources.filler[lang].sha256 for lang in LANGS)
    return hashlib.sha256(joined.encode()).hexdigest()


def _definition_sha256(file: SuiteFile, families: Mapping[str, Family], sources: Sources) -> str:
    """Hash of everything that decides a probe's text, gold answer and id, but not the selection."""
    definition = {
        "construction": CONSTRUCTION,
        "version": file.version,
        "families": {name: family.sha256 for name, family in families.items()},
        "filler": _filler_sha256(sources),
    }
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
