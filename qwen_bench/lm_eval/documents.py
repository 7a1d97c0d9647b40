"""Cells, the tasks of the plugin, and the documents in them: which probes, and in what form.

A cell is a family at a history length. Knows suites; knows nothing of the harness, so that
importing a log needs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from qwen_bench.chat.messages import as_dicts
from qwen_bench.errors import InputError, near
from qwen_bench.lm_eval.log_errors import TaskError
from qwen_bench.probes.probe import LANGS, AskedProbe, Lang
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import Suite, build_suite, load_suite_names

PREFIX = "qwen_bench"
DEFAULT = "core"
WHOLE = "full"
LONG = "long"
# Suites with groups of tasks; a task is asked as in the first of them that asks it.
GROUPED = (DEFAULT, WHOLE, LONG)
# Suites whose tasks have tags: those with a group, and one that lacks families of `core`.
TAGGED = (*GROUPED, "quick")
OPENAI_ONLY = "openai_only"
_SETTINGS = ("suite", "lang", "limit", "seed", OPENAI_ONLY)


@dataclass(frozen=True, slots=True)
class TaskCell:
    """A family at a history length.

    Attributes:
        ranked: whether candidates can be ranked; not where a rule asks for a form of reply.
    """

    family: str
    length: int
    ranked: bool

    def task(self, *, rank: bool) -> str:
        """Name of its task."""
        return f"{prefix(DEFAULT, rank=rank)}_{self.family}_h{self.length}"

    @property
    def alias(self) -> str:
        """Name in tables of results."""
        turns = "turn" if self.length == 1 else "turns"
        return f"{self.family.replace('_', ' ')}, {self.length} {turns}"


def prefix(suite: str, *, rank: bool) -> str:
    """Name of a suite's group, and how the tags of its cells begin.

    >>> prefix("core", rank=False), prefix("full", rank=True)
    ('qwen_bench', 'qwen_bench_full_rank')
    """
    words = [PREFIX, *([] if suite == DEFAULT else [suite]), *(["rank"] if rank else [])]
    return "_".join(words)


@lru_cache(maxsize=4)
def cells_of(suite: str) -> tuple[TaskCell, ...]:
    """TaskCells of a suite's main condition, in the order of its families and lengths.

    Raises:
        InputError: no such suite.
    """
    built = build_suite(suite, Selection(conditions=("main",), langs=("en",), limit=1))
    ranked = {
        (asked.question.family, length): bool(asked.question.options)
        for asked in built.questions()
        for length in built.lengths
        if asked.item.asked_at(length)
    }
    return tuple(
        TaskCell(family, length, ranked[family, length])
        for family in built.families
        for length in built.lengths
        if (family, length) in ranked
    )


@dataclass(frozen=True, slots=True)
class ProbeChoice:
    """Which probes of a cell are asked.

    Attributes:
        langs: None for the suite's own.
        limit: rotations; None for the suite's own number.
    """

    suite: str
    langs: tuple[Lang, ...] | None
    limit: int | None
    seed: int


def read_choice(settings: Mapping[str, Any], family: str, length: int, task: str) -> ProbeChoice:
    """The probes that a user's settings choose in a cell.

    Args:
        settings: what `--metadata` holds under `qwen_bench`.
        family: of the cell.
        length: history length of the cell.
        task: name of the task, for messages.

    Raises:
        TaskError: an unknown setting, a value that is none, or a suite that does not ask the cell.
    """
    for name in settings:
        if name not in _SETTINGS:
            raise TaskError(f"{task}: no setting '{name}' in {PREFIX}; {near(name, _SETTINGS)}")
    suite = settings.get("suite") or _default_suite(family, length)
    if suite not in load_suite_names():
        raise TaskError(f"{task}: no suite '{suite}'; {near(str(suite), load_suite_names())}")
    _check_cell(suite, family, length, task)
    wanted = settings.get("lang") or ()
    langs = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    for lang in langs:
        if lang not in LANGS:
            raise TaskError(f"{task}: no language '{lang}'; there are {', '.join(LANGS)}")
    limit, seed = settings.get("limit"), settings.get("seed", 0)
    if limit is not None and (not _is_whole(limit) or limit < 1):
        raise TaskError(f"{task}: limit is a number of rotations from 1, not {limit!r}")
    if not _is_whole(seed):
        raise TaskError(f"{task}: seed is a whole number, not {seed!r}")
    return ProbeChoice(suite, tuple(lang for lang in LANGS if lang in langs) or None, limit, seed)


@lru_cache(maxsize=8)
def chosen_suite(choice: ProbeChoice, length: int) -> Suite:
    """The suite narrowed to a choice and a history length, main condition.

    Raises:
        InputError: the suite does not have what is chosen.
    """
    selection = Selection(
        lengths=(length,), conditions=("main",), langs=choice.langs, limit=choice.limit
    )
    return build_suite(choice.suite, selection, choice.seed)


@lru_cache(maxsize=8)
def probes_at(choice: ProbeChoice, length: int) -> Mapping[str, AskedProbe]:
    """All chosen probes at a history length by id.

    Clusters are in their own order, so that smaller limits are nested in larger ones; the probes
    of one cluster stand together.
    """
    return {
        asked.probe.id: asked
        for dialogue in chosen_suite(choice, length).dialogues()
        for asked in dialogue.probes
    }


def probes_of_cell(choice: ProbeChoice, family: str, length: int, task: str) -> list[AskedProbe]:
    """The chosen probes of a cell.

    Raises:
        TaskError: there are none, or the choice is impossible.
    """
    try:
        found = probes_at(choice, length).values()
    except InputError as error:
        raise TaskError(f"{task}: {error.message}", why=error.why, fix=error.fix) from error
    return [asked for asked in found if asked.probe.family == family]


def document(asked: AskedProbe, choice: ProbeChoice) -> dict[str, Any]:
    """A probe as the harness stores it; every document has the same keys and types."""
    probe = asked.probe
    suite = chosen_suite(choice, probe.length)
    ranked = list(probe.rank_candidates)
    return {
        "id": str(probe.id),
        "family": probe.family,
        "lang": probe.lang,
        "length": probe.length,
        "level": probe.level,
        "wording": probe.wording,
        "position": float(probe.position or 0.0),
        "cluster": str(probe.cluster),
        "messages": as_dicts(asked.messages),
        "question_text": probe.question_text,
        "gold": probe.gold,
        "gold_index": ranked.index(probe.gold) if probe.gold in ranked else -1,
        "candidates": ranked,
        "candidate_tokens": [],
        "suite": {
            "name": suite.name,
            "version": suite.version,
            "sha256": suite.sha256,
            "seed": suite.seed,
            "langs": list(choice.langs or ()),
            "limit": choice.limit,
        },
    }


def choice_of(doc: Mapping[str, Any]) -> ProbeChoice:
    """The choice a document was made with."""
    suite = doc["suite"]
    langs = tuple(lang for lang in LANGS if lang in suite["langs"])
    return ProbeChoice(suite["name"], langs or None, suite["limit"], suite["seed"])


def probe_of(doc: Mapping[str, Any]) -> AskedProbe:
    """The probe a document was made from.

    Raises:
        KeyError: there is none of that id.
        InputError: the suite does not have what the document says.
    """
    return probes_at(choice_of(doc), doc["length"])[doc["id"]]


def _default_suite(family: str, length: int) -> str:
    """The first suite with groups that asks the cell."""
    for suite in GROUPED:
        if (family, length) in {(cell.family, cell.length) for cell in cells_of(suite)}:
            return suite
    return WHOLE


def _check_cell(suite: str, family: str, length: int, task: str) -> None:
    cells = cells_of(suite)
    lengths = [cell.length for cell in cells if cell.family == family]
    if length in lengths:
        return
    what = f"{task}: the suite {suite} does not ask {family}"
    why = f"its families: {', '.join(dict.fromkeys(cell.family for cell in cells))}"
    if lengths:
        what += f" at history length {length}"
        why = f"it asks at {', '.join(map(str, lengths))} turns"
    fix = f"leave this task out, or choose another suite in --metadata, such as {WHOLE}"
    raise TaskError(what, why=why, fix=fix)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
