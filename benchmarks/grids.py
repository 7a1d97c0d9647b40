"""What is asked: prompts as token ids, some of which begin alike.

A grid is a pure function of its name; only `real` is read from a file, which `models.py` writes.
Knows no model and no runner. A grid is a list of dialogues, because an engine plans by dialogue.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

VOCABULARY = 4096
CONTINUATION = 4
"""Last tokens of a prompt that are scored when a grid is ranked."""
TURN = 16
"""Tokens of a turn in the growing grids."""
GROWTH = (8, 16, 32, 64, 128, 256)
PROBES = (1, 5, 10, 20, 40)
MANY = (3, 30)
_DOUBLING = (32, 64, 128, 256, 512, 1024, 2048)
# The first seed that gives the 83,545 prompt and 4,313 tree tokens of earlier measurements.
_SEED = 431


class Scored(NamedTuple):
    """A prompt and the continuations whose log-probability is wanted."""

    context: tuple[int, ...]
    candidates: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """Prompts to continue, and the same content to score.

    Attributes:
        prompts: for each dialogue the ids of its prompts.
        scored: for each dialogue what is ranked.
        trunks: tokens of the longest shared history of each dialogue; 0 where nothing is shared.
        new_tokens: generated for each prompt.
    """

    name: str
    prompts: tuple[tuple[tuple[int, ...], ...], ...]
    scored: tuple[tuple[Scored, ...], ...]
    trunks: tuple[int, ...]
    new_tokens: int

    @property
    def flat(self) -> tuple[tuple[int, ...], ...]:
        """All prompts, dialogue by dialogue."""
        return tuple(ids for dialogue in self.prompts for ids in dialogue)

    @property
    def batches(self) -> tuple[tuple[int, ...], ...]:
        """Places in `flat` of prompts that differ by at most 16 tokens in length, in order."""
        found: list[list[int]] = []
        sizes = [len(ids) for ids in self.flat]
        for place in sorted(range(len(sizes)), key=lambda place: sizes[place]):
            if not found or sizes[place] > sizes[found[-1][0]] + 16:
                found.append([])
            found[-1].append(place)
        return tuple(map(tuple, found))

    @property
    def tree_order(self) -> tuple[int, ...]:
        """Places in `flat`, so that each prompt begins as far as possible like the one before."""
        found: list[int] = []
        for dialogue in self.prompts:
            deepest = max(dialogue, key=len)
            keys = [(_shared(deepest, ids), ids) for ids in dialogue]
            order = sorted(range(len(keys)), key=keys.__getitem__)
            begun = len(found)
            found += [begun + place for place in order]
        return tuple(found)

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt, its answer included."""
        return max(len(ids) for ids in self.flat) + self.new_tokens


def load(name: str, folder: Path) -> Grid:
    """A grid by name.

    Args:
        name: `G140`, `G180`, `growth-T`, `doubling-T`, `probes-N`, `dialogues-N`, `control-1`,
            `control-0`, `real`.
        folder: of the prepared models; holds `real.json`.

    Raises:
        ValueError: no grid has this name.
    """
    kind, _, size = name.partition("-")
    count = int(size) if size else 0
    if name == "real":
        return _from_file(folder / "real.json")
    if name in {"G140", "G180", "control-1", "control-0"}:
        dialogues = _fixed(name)
    elif kind == "growth" and count in GROWTH:
        dialogues = [_forked(_SEED, _spread(count), 1, (TURN, TURN))]
    elif kind == "doubling" and count in GROWTH:
        lengths = [TURN * turns for turns in GROWTH if turns <= count]
        dialogues = [_forked(_SEED, lengths, 20, (TURN, TURN))]
    elif kind == "probes" and count in PROBES:
        dialogues = [_forked(_SEED, _DOUBLING, count)]
    elif kind == "dialogues" and count in MANY:
        dialogues = [_forked(seed, _DOUBLING[:5], 4, (TURN, TURN)) for seed in range(count)]
    else:
        raise ValueError(f"there is no grid '{name}'")
    return _of(name, dialogues, 32 if name == "G180" else 8)


def _fixed(name: str) -> list[_Forked]:
    """Dialogues of the grids without a size."""
    if name == "control-1":
        return [_forked(seed, (length,), 1) for seed, length in _thrice()]
    if name == "control-0":
        return [_unrelated(_SEED, 20)]
    longer = (4096, 8192) if name == "G180" else ()
    return [_forked(_SEED, (*_DOUBLING, *longer), 20)]


def custom(lengths: Sequence[int], probes: int, new_tokens: int, vocabulary: int) -> Grid:
    """A forked grid for any model: ids are taken modulo `vocabulary`."""
    prompts, trunk = _forked(_SEED, lengths, probes)
    held = tuple(tuple(token % vocabulary for token in ids) for ids in prompts)
    return _of("custom", [_Forked(held, trunk)], new_tokens)


def warm_up(grid: Grid) -> Grid:
    """The few short prompts that every runner answers once before the clock starts."""
    small = _of("warm-up", [_forked(1, (16, 32), 2)], 4)
    return replace(small, new_tokens=min(4, grid.new_tokens))


def naive_tokens(grid: Grid) -> int:
    """Prompt tokens of a runner that shares nothing."""
    return sum(map(len, grid.flat))


def tree_tokens(grid: Grid) -> int:
    """Distinct prefixes within each dialogue."""
    return sum(tree_tokens_of(dialogue) for dialogue in grid.prompts)


def suffix_tokens(grid: Grid) -> int:
    """Tokens of questions and of answers, of the dialogue that has most."""
    return max(
        tree_tokens_of(prompts) - trunk + len(prompts) * grid.new_tokens
        for prompts, trunk in zip(grid.prompts, grid.trunks, strict=True)
    )


def tree_tokens_of(prompts: Iterable[Sequence[int]]) -> int:
    """Distinct prefixes of some prompts."""
    root: dict[int, dict] = {}  # type: ignore[type-arg]  # nested without end
    count = 0
    for ids in prompts:
        node = root
        for token in ids:
            if token not in node:
                node[token] = {}
                count += 1
            node = node[token]
    return count


class _Forked(NamedTuple):
    prompts: tuple[tuple[int, ...], ...]
    trunk: int


def _forked(
    seed: int, lengths: Sequence[int], probes: int, sizes: tuple[int, int] = (8, 24)
) -> _Forked:
    """One random history, and `probes` random questions after each of its `lengths` tokens.

    Questions of one length differ from the history and from each other in their first token, so
    that the size of the tree is known beforehand.
    """
    source = random.Random(seed)  # noqa: S311 - not secret
    history = _draw(source, max(lengths))
    found = []
    taken = {(length, history[length]) for length in lengths if length < len(history)}
    for length in lengths:
        for _ in range(probes):
            question = _draw(source, source.randint(*sizes))
            while (length, question[0]) in taken:
                question = (source.randrange(VOCABULARY), *question[1:])
            taken.add((length, question[0]))
            found.append((*history[:length], *question))
    return _Forked(tuple(found), max(lengths))


def _unrelated(seed: int, count: int) -> _Forked:
    """Prompts of 64 to 512 tokens that share nothing, not even the first token."""
    source = random.Random(seed)  # noqa: S311 - not secret
    firsts = source.sample(range(VOCABULARY), count)
    return _Forked(tuple((first, *_draw(source, source.randint(63, 511))) for first in firsts), 0)


def _draw(source: random.Random, count: int) -> tuple[int, ...]:
    return tuple(source.randrange(VOCABULARY) for _ in range(count))


def _thrice() -> list[tuple[int, int]]:
    """(seed, history length) of 21 dialogues."""
    return [(seed, _DOUBLING[seed // 3]) for seed in range(3 * len(_DOUBLING))]


def _spread(turns: int) -> list[int]:
    """History tokens of 96 probes, as evenly as possible over 1, 2, ..., `turns` turns."""
    return [TURN * -(-(place + 1) * turns // 96) for place in range(96)]


def _of(name: str, dialogues: Sequence[_Forked], new_tokens: int) -> Grid:
    return Grid(
        name,
        tuple(dialogue.prompts for dialogue in dialogues),
        tuple(
            tuple(Scored(ids[:-CONTINUATION], (ids[-CONTINUATION:],)) for ids in dialogue.prompts)
            for dialogue in dialogues
        ),
        tuple(dialogue.trunk for dialogue in dialogues),
        new_tokens,
    )


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens two prompts begin alike with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _from_file(path: Path) -> Grid:
    held = json.loads(path.read_text(encoding="utf-8"))
    prompts = tuple(tuple(ids) for ids in held["prompts"])
    longest = max(prompts, key=len)
    others = [ids for ids in prompts if ids is not longest]
    return Grid(
        "real",
        (prompts,),
        (tuple(Scored(tuple(ids), tuple(map(tuple, more))) for ids, more in held["scored"]),),
        (max(_shared(longest, ids) for ids in others),),
        int(held["new_tokens"]),
    )
