"""What a suite asks by `tasks/suites.yaml`, and what of it a user wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from qwen_bench.errors import DataError, InputError, near
from qwen_bench.probes.bank import PACES, Pace
from qwen_bench.probes.probe import (
    CONDITIONS,
    LANGS,
    LONG_PLAN_TURNS,
    PLAN_TURNS,
    Condition,
    Lang,
)

Mode = Literal["generate", "rank"]


class ConditionBlock(BaseModel):
    """A condition that only the first rotations of `mixed` have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lengths: tuple[int, ...]
    rotations: int


class SuiteFile(BaseModel):
    """One entry of suites.yaml.

    Attributes:
        dialogues: begins the names of its skeletons; suites that share it share their dialogues.
        pace: length of the replies.
        longest_exchange: characters of the longest request with its answer; None takes all. Keeps
            a small suite small.
        long_tokens: about how many tokens the requests and answers of a whole plan have at pace
            long; threads with long answers are preferred. None takes them as they come.
        evidence_until: last turn that evidence of `mixed` may stand in, where a suite names its
            families; None is that of the longest history.
        levels: of memory load, increasing.
        twins: both variants of a skeleton are asked; otherwise one, in turn, which halves the
            tokens and leaves no twin groups.
        families: None stands for all of the programmes; named ones have the dialogues of `mixed`
            to themselves.
        rotations: by programme, for all history lengths or for each of them.
        blocks: further conditions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    about: str
    langs: tuple[Lang, ...]
    dialogues: str = ""
    pace: Pace
    longest_exchange: int | None = None
    long_tokens: int | None = None
    evidence_until: int | None = None
    levels: tuple[int, ...]
    lengths: tuple[int, ...]
    twins: bool = True
    families: tuple[str, ...] | None = None
    rotations: dict[str, int | dict[int, int]]
    blocks: dict[Condition, ConditionBlock] = {}
    modes: tuple[Mode, ...]
    primary: Mode
    max_new_tokens: int

    @property
    def turns(self) -> int:
        """Turns that the plan of its dialogues covers, and the longest history one may ask for."""
        return PLAN_TURNS if max(self.lengths) <= PLAN_TURNS else LONG_PLAN_TURNS

    def rotations_at(self, programme: str, length: int) -> int:
        """Rotations asked at a history length; the smallest of the suite for an added length.

        A programme that the suite does not name (a user's own family) has those of `mixed`.
        """
        rotations = self.rotations.get(programme, self.rotations["mixed"])
        if isinstance(rotations, int):
            return rotations
        return rotations.get(length, min(rotations.values()))

    def without_paces(self) -> SuiteFile:
        """The suite without the conditions that tell its dialogues at another pace.

        A user's own conversations have one answer to a request, so they would ask main again.
        """
        kept = {c: block for c, block in self.blocks.items() if c not in PACES}
        return self.model_copy(update={"blocks": kept})

    def blocks_at(
        self, lengths: tuple[int, ...], limit: int | None
    ) -> dict[Condition, ConditionBlock]:
        """The blocks narrowed to history lengths and a limit; those with nothing left are gone."""
        narrowed = {
            condition: block.model_copy(
                update={
                    "lengths": tuple(t for t in block.lengths if t in lengths),
                    "rotations": min(block.rotations, limit or block.rotations),
                }
            )
            for condition, block in self.blocks.items()
        }
        return {condition: block for condition, block in narrowed.items() if block.lengths}

    def chosen_conditions(
        self, globs: tuple[str, ...], blocks: Mapping[Condition, ConditionBlock]
    ) -> tuple[Condition, ...]:
        """Conditions asked.

        Raises:
            InputError: none of that name in the suite, or none at these lengths.
        """
        always = {"main", "adjacent", "blind"}
        known = tuple(c for c in CONDITIONS if c in always or c in self.blocks)
        wanted = chosen("condition", globs, known)
        found = tuple(c for c in known if c in wanted and (c in always or c in blocks))
        if not found:
            lengths = {c: self.blocks[c].lengths for c in known if c in wanted}
            raise InputError(
                f"nothing to ask: {', '.join(lengths)} is not asked at these history lengths",
                why=[f"{c}: {', '.join(map(str, at))}" for c, at in lengths.items()],
            )
        return found


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a user narrows or widens; None or empty means as the suite has it.

    Attributes:
        lengths: history lengths in user turns, 1 to what the plan of the suite covers.
        levels: of memory load; the histories stay as they are.
        families, conditions: glob patterns.
        limit: rotations, more or fewer than the suite has; limits are nested.
        max_tokens: what the lengths were narrowed to fit; kept for the record.
    """

    lengths: tuple[int, ...] | None = None
    levels: tuple[int, ...] | None = None
    families: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    langs: tuple[Lang, ...] | None = None
    limit: int | None = None
    max_tokens: int | None = None


def chosen_lengths(
    wanted: tuple[int, ...] | None, own: tuple[int, ...], most: int
) -> tuple[int, ...]:
    """History lengths, increasing; the suite's own without a wish.

    Args:
        wanted: by the user.
        own: of the suite.
        most: turns that the plan of its dialogues covers.

    Raises:
        InputError: out of range or twice.
    """
    if not wanted:
        return own
    for i, length in enumerate(wanted):
        if length < 1:
            raise InputError(f"history length {length} is below 1")
        if length > most:
            raise InputError(
                f"history length {length} is above {most}, where the dialogues of this suite end",
                fix="--suite long has histories up to 256 turns" if most < LONG_PLAN_TURNS else (),
            )
        if length in wanted[:i]:
            raise InputError(f"history length {length} is repeated")
    return tuple(sorted(wanted))


def chosen_levels(wanted: tuple[int, ...] | None, own: tuple[int, ...]) -> tuple[int, ...]:
    """Levels of memory load, increasing; the suite's own without a wish.

    Raises:
        InputError: the suite asks no such level, or one is given twice.
    """
    if not wanted:
        return own
    for i, level in enumerate(wanted):
        if level not in own:
            known = ", ".join(map(str, own))
            raise InputError(f"the suite asks no level {level}; it has {known}")
        if level in wanted[:i]:
            raise InputError(f"level {level} is repeated")
    return tuple(level for level in own if level in wanted)


def chosen_langs(wanted: tuple[Lang, ...] | None, own: tuple[Lang, ...]) -> tuple[Lang, ...]:
    """Languages in a fixed order.

    Raises:
        InputError: there is no such language.
    """
    if not wanted:
        return own
    for lang in wanted:
        if lang not in LANGS:
            raise InputError(f"no such language '{lang}'; there are {', '.join(LANGS)}")
    return tuple(lang for lang in LANGS if lang in wanted)


def chosen(what: str, globs: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """Known names that match a pattern; all without patterns.

    Raises:
        InputError: a pattern matches nothing.
    """
    if not globs:
        return known
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in known):
            raise InputError(f"no {what} matches '{glob}'; {near(glob, known)}")
    return tuple(name for name in known if any(fnmatchcase(name, glob) for glob in globs))
