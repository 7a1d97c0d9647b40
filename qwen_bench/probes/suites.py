"""Suites: named, versioned sets of probes; pure functions of name, selection and seed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from qwen_bench.errors import InputError, near
from qwen_bench.probes.bank import Bank, Pace, all_banks_sha256, load_bank
from qwen_bench.probes.definitions import Family, load_families
from qwen_bench.probes.dialogue import WantedProbes, build_dialogue
from qwen_bench.probes.instance import Question
from qwen_bench.probes.probe import (
    CONDITIONS,
    LANGS,
    VARIANTS,
    AskedProbe,
    Condition,
    Dialogue,
    Lang,
    Split,
    Variant,
)
from qwen_bench.probes.programmes import (
    MIXED,
    PlacedInstance,
    Programme,
    Sources,
    host_of,
    in_order,
    narrowed,
    place,
    stretched,
)
from qwen_bench.probes.selection import (
    ConditionBlock,
    Mode,
    Selection,
    SuiteFile,
    chosen,
    chosen_langs,
    chosen_lengths,
    chosen_levels,
    load_suite_files,
)
from qwen_bench.resources import data_folder

if TYPE_CHECKING:
    from qwen_bench.probes.filler_screening import Screened

# Raised when the code that builds dialogues changes the text of any probe.
CONSTRUCTION = 3
_ID = re.compile(
    r"(?P<programme>[^/]*)-(?P<number>[0-9]+)"
    rf"/(?P<variant>{'|'.join(VARIANTS)})/(?P<lang>{'|'.join(LANGS)})"
    rf"/(?P<family>[^/]*)\.[^./]*/T?(?P<length>[0-9]+)/(?P<condition>{'|'.join(CONDITIONS)})"
)


@dataclass(frozen=True, slots=True)
class Own:
    """What a user adds to the built-in material.

    Attributes:
        tasks_dirs: folders of further families.
        filler: ChatML JSONL that replaces the built-in filler.
    """

    tasks_dirs: tuple[str, ...] = ()
    filler: str | None = None


class AskedQuestion(NamedTuple):
    """A question of a suite.

    Attributes:
        times: how often it is asked in each condition.
    """

    item: PlacedInstance
    question: Question
    lang: Lang
    times: Mapping[Condition, int]


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite with its selection resolved.

    Attributes:
        sha256: of wording, lexicons, filler and construction rules; independent of the selection.
        programmes: recipes of the dialogues, in their order.
        rotations: rotations of the main condition by programme and history length.
        blocks: conditions that only the first rotations of `mixed` have.
        twins: both variants of every cluster are asked, not one in turn.
        max_tokens: what the lengths were narrowed to fit; None where they were not.
        screened: what a user's own filler gave; None with the built-in one.
    """

    name: str
    version: str
    sha256: str
    seed: int
    filler_sha256: str
    own: Own
    langs: tuple[Lang, ...]
    families: tuple[str, ...]
    lengths: tuple[int, ...]
    levels: tuple[int, ...]
    conditions: tuple[Condition, ...]
    limit: int | None
    modes: tuple[Mode, ...]
    primary: Mode
    max_new_tokens: int
    programmes: tuple[Programme, ...]
    rotations: Mapping[str, Mapping[int, int]] = field(hash=False)
    blocks: Mapping[Condition, ConditionBlock] = field(hash=False)
    sources: Sources = field(repr=False, compare=False)
    twins: bool = True
    max_tokens: int | None = None
    screened: Screened | None = field(default=None, repr=False, compare=False)

    def dialogues(self) -> Iterator[Dialogue]:
        """All dialogues in a fixed order, built one at a time."""
        for programme in self.programmes:
            rotations = max(self.rotations[programme.name].values())
            for number in range(programme.rotation * rotations):
                yield from self._of_cluster(programme, number)

    def questions(self) -> Iterator[AskedQuestion]:
        """Every question of one variant of every cluster, and how often it is asked; no turns."""
        for programme in self.programmes:
            rotations = max(self.rotations[programme.name].values())
            for number in range(programme.rotation * rotations):
                asking = self._asking(programme, number // programme.rotation)
                if asking is not None:
                    for lang in self.langs:
                        placed = place(self.sources, programme, number, VARIANTS[0], lang)
                        yield from (
                            AskedQuestion(item, question, lang, asking.times(item))
                            for item in placed
                            for question in item.instance.questions
                            if asking.asks(item, question)
                        )

    def count(self) -> int:
        """Number of its probes, without writing them."""
        variants = len(VARIANTS) if self.twins else 1
        return variants * sum(sum(asked.times.values()) for asked in self.questions())

    def without(self, programme: Programme) -> Suite:
        """The suite without the families that name this programme; itself if it has none."""
        kept = tuple(p for p in self.programmes if p.recipe != programme.recipe)
        if kept == self.programmes:
            return self
        tasks = {name: self.sources.families[name].task for name in self.families}
        families = tuple(f for f, task in tasks.items() if task.programme != programme.recipe)
        return replace(self, programmes=kept, families=families)

    def _of_cluster(self, programme: Programme, number: int) -> Iterator[Dialogue]:
        asking = self._asking(programme, number // programme.rotation)
        if asking is None:
            return
        variants = VARIANTS if self.twins else (VARIANTS[number % len(VARIANTS)],)
        for lang in self.langs:
            for variant in variants:
                rendering = (variant, lang)
                dialogue = build_dialogue(self.sources, programme, number, rendering, asking)
                if dialogue.probes:
                    yield dialogue

    def _asking(self, programme: Programme, rotation: int) -> WantedProbes | None:
        """What is asked of a cluster in this rotation; None if nothing is."""
        lengths = tuple(t for t in self.lengths if rotation < self.rotations[programme.name][t])
        asked: dict[Condition, tuple[int, ...]] = {}
        for condition in self.conditions:
            if condition == "main":
                asked["main"] = lengths
            elif condition not in self.blocks:
                asked[condition] = ()
            elif programme.recipe == MIXED.name and rotation < self.blocks[condition].rotations:
                asked[condition] = self.blocks[condition].lengths
        if not (lengths and asked):
            return None
        return WantedProbes(lengths, frozenset(self.families), asked, self.levels)


def load_suite_names() -> tuple[str, ...]:
    """Names of the built-in suites, in the order of suites.yaml."""
    return tuple(load_suite_files(data_folder("tasks")))


def build_suite(
    name: str, selection: Selection | None = None, seed: int = 0, own: Own | None = None
) -> Suite:
    """A suite with a selection applied.

    Raises:
        InputError: unknown suite, family, condition, language or an impossible length.
        DataError: a file of tasks/, a user's family or a user's filler is unusable.
    """
    selection = selection or Selection()
    own = own or Own()
    tasks = data_folder("tasks")
    files = load_suite_files(tasks)
    if name not in files:
        raise InputError(f"no suite '{name}'; {near(name, files)}")
    file = files[name] if own.filler is None else files[name].without_paces()
    built_in, added = load_families(tasks), _own_families(own, load_families(tasks))
    families = _chosen_families(file, selection, built_in, added)
    known = {**built_in, **added}
    programmes = tuple(dict.fromkeys(_host(file, known, name) for name in families))
    lengths = chosen_lengths(selection.lengths, file.lengths, file.turns)
    rotations = {
        p.name: {t: selection.limit or file.rotations_at(p.recipe, t) for t in lengths}
        for p in programmes
    }
    mixed = any(p.recipe == MIXED.name for p in programmes)
    blocks = file.blocks_at(lengths, selection.limit) if mixed else {}
    langs = chosen_langs(selection.langs, file.langs)
    major = file.version.split(".", maxsplit=1)[0]
    sources = make_sources(tasks, known, (major, seed), file.pace, file.levels)
    sources = replace(
        sources,
        dialogues=file.dialogues,
        longest_exchange=file.longest_exchange,
        long_tokens=file.long_tokens,
        turns=file.turns,
    )
    screened = None
    if own.filler is not None:
        from qwen_bench.probes.filler_screening import load_own_filler  # noqa: PLC0415 - rare

        screened = load_own_filler(Path(own.filler), sources.families, langs)
        sources = replace(sources, banks={**sources.banks, **screened.banks})
    return Suite(
        name=name,
        version=file.version,
        sha256=_definition_sha256(file, built_in, added, families, sources.banks),
        seed=seed,
        filler_sha256=all_banks_sha256(sources.banks),
        own=own,
        langs=langs,
        families=families,
        lengths=lengths,
        levels=chosen_levels(selection.levels, file.levels),
        conditions=file.chosen_conditions(selection.conditions, blocks),
        limit=selection.limit,
        modes=file.modes,
        primary=file.primary,
        max_new_tokens=file.max_new_tokens,
        programmes=programmes,
        rotations=rotations,
        blocks=blocks,
        sources=sources,
        twins=file.twins,
        max_tokens=selection.max_tokens,
        screened=screened,
    )


def make_sources(
    tasks: Path,
    families: Mapping[str, Family],
    scope: tuple[object, ...],
    pace: Pace,
    levels: tuple[int, ...],
    *,
    split: Split = "eval",
) -> Sources:
    """What dialogues are made from.

    Args:
        tasks: folder of the bank.
        families: by name.
        scope: what seeds all draws.
        pace: length of the replies.
        levels: of memory load, increasing.
        split: of the words and the bank.

    Raises:
        DataError: a file of the bank is unusable.
    """
    return Sources(
        families=families,
        banks={lang: load_bank(tasks, lang, split) for lang in LANGS},
        split=split,
        scope=(*scope, split),
        pace=pace,
        levels=levels,
    )


@lru_cache(maxsize=1)
def _installed_folders() -> tuple[str, ...]:
    """Folders of families that installed packages offer."""
    return tuple(str(found.load()) for found in entry_points(group="qwen_bench.probes"))


def _own_families(own: Own, built_in: Mapping[str, Family]) -> dict[str, Family]:
    added: dict[str, Family] = {}
    folders = (*_installed_folders(), *own.tasks_dirs)
    if not folders:
        return added
    from qwen_bench.probes.family_checks import load_checked_families  # noqa: PLC0415 - rare

    for folder in folders:
        for name, family in load_checked_families(Path(folder)).items():
            if name in built_in or name in added:
                raise InputError(
                    f"{folder}: there is a family '{name}' already",
                    fix="give the folder and its name in task.yaml another name",
                )
            added[name] = family
    return added


def _chosen_families(
    file: SuiteFile,
    selection: Selection,
    built_in: Mapping[str, Family],
    added: Mapping[str, Family],
) -> tuple[str, ...]:
    """Families asked, in the order of the programmes; a user's only when named."""
    ordered = [
        family.name
        for family in in_order(built_in.values())
        if family.task.programme in file.rotations
        and (file.families is None or family.name in file.families)
    ]
    if not selection.families:
        return tuple(ordered)
    return chosen("family", selection.families, (*ordered, *added))


def _host(file: SuiteFile, known: Mapping[str, Family], family: str) -> Programme:
    """The programme of a family; a suite that names its families seats no others in `mixed`."""
    host = host_of(known[family])
    if file.families is None or host != MIXED:
        return stretched(host, file.turns)
    groups = {known[name].group for name in file.families}
    return narrowed(MIXED, groups, file.evidence_until or max(file.lengths))


def _definition_sha256(
    file: SuiteFile,
    built_in: Mapping[str, Family],
    added: Mapping[str, Family],
    asked: tuple[str, ...],
    banks: Mapping[Lang, Bank],
) -> str:
    """Hash of everything that decides a probe's text, gold answer and id, but not the selection.

    A user's family counts only when it is asked, so that the same suite without it stays the same.
    """
    own = {name: family.sha256 for name, family in added.items() if name in asked}
    definition = {
        "construction": CONSTRUCTION,
        "version": file.version,
        "families": {name: family.sha256 for name, family in built_in.items()} | own,
        "levels": file.levels,
        "pace": file.pace,
        "longest_exchange": file.longest_exchange,
        "twins": file.twins,
        "filler": all_banks_sha256(banks),
    }
    if file.evidence_until is not None:
        definition["evidence_until"] = file.evidence_until
    if file.long_tokens is not None:
        definition["long_tokens"] = file.long_tokens
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()


def find_probe(
    probe_id: str, suite: str | None = None, seed: int = 0, own: Own | None = None
) -> tuple[Dialogue, AskedProbe]:
    """A probe of any suite by its id, with its dialogue.

    Args:
        probe_id: ``CLUSTER/VARIANT/LANG/FAMILY.QUESTION/T<length>/CONDITION``.
        suite: look in this one only.
        seed: of the probe construction.
        own: families and filler of the user's.

    Raises:
        InputError: no such probe.
    """
    parts = _ID.fullmatch(probe_id)
    if parts is None:
        raise _no_probe(probe_id, ())
    asked_instead: dict[str, None] = {}
    selection = Selection(families=(parts["family"],) if own and own.tasks_dirs else ())
    for name in (suite,) if suite else load_suite_names():
        dialogue = _dialogue(build_suite(name, selection, seed, own), parts)
        if dialogue is None:
            continue
        for asked in dialogue.probes:
            if asked.probe.id == probe_id:
                return dialogue, asked
            if asked.probe.family == parts["family"]:
                asked_instead[asked.probe.id] = None
    raise _no_probe(probe_id, tuple(asked_instead))


def _no_probe(probe_id: str, instead: tuple[str, ...]) -> InputError:
    """The error for an id that names nothing, with probes of the same dialogue and family."""
    shape = "an id reads CLUSTER/VARIANT/LANG/FAMILY.QUESTION/T<length>/CONDITION"
    if not instead:
        return InputError(f"no probe '{probe_id}'", why=shape, fix="qwen-bench probes list")
    return InputError(
        f"no probe '{probe_id}'",
        why="a family is asked once its turns in this dialogue are over",
        fix=[f"qwen-bench probes show {name}" for name in instead[:3]],
    )


def _dialogue(suite: Suite, parts: re.Match[str]) -> Dialogue | None:
    """The dialogue of a probe in one suite; None if the suite has no such programme."""
    named = {f"{suite.sources.dialogues}{p.name}": p for p in suite.programmes}
    programme = named.get(parts["programme"])
    if programme is None or int(parts["length"]) > suite.sources.turns:
        return None
    condition = cast("Condition", parts["condition"])
    lengths = tuple(sorted({*suite.lengths, max(1, int(parts["length"]))}))
    asking = WantedProbes(lengths, frozenset(suite.families), {condition: lengths})
    rendering = cast("tuple[Variant, Lang]", (parts["variant"], parts["lang"]))
    return build_dialogue(suite.sources, programme, int(parts["number"]), rendering, asking)
