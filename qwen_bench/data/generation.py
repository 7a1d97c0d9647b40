"""A file of made training conversations, among a user's own where there are some."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path

from qwen_bench.chat.json_objects import read_objects
from qwen_bench.chat.jsonl import read_records, record_line
from qwen_bench.data.chat_form import chat_of
from qwen_bench.data.writing import whole_file
from qwen_bench.errors import DataError, InputError, near
from qwen_bench.probes.seeded_draws import Stream
from qwen_bench.training.recipe import GenerateBlock
from qwen_bench.training.training_dialogues import generate, training_families


@dataclass(frozen=True, slots=True)
class Made:
    """How many conversations were written: made ones, and a user's own."""

    made: int
    own: int


def chosen(globs: tuple[str, ...]) -> tuple[str, ...] | None:
    """Families of training conversations by their globs; None for all.

    Raises:
        InputError: a glob matches none.
    """
    if not globs:
        return None
    known = training_families()
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in known):
            raise InputError(f"no family matches '{glob}'; {near(glob, known)}")
    return tuple(name for name in known if any(fnmatchcase(name, glob) for glob in globs))


def write_generated(wanted: GenerateBlock, own: Path | None, target: Path) -> Made:
    """Write conversations of the train split.

    Own conversations keep their order; where the made ones stand among them follows from the seed.

    Args:
        wanted: what to make.
        own: ChatML conversations to mix with; read twice, never as a whole unless it is an array.
        target: to be made.

    Raises:
        InputError: `wanted` cannot be made, or `own` cannot be read.
        DataError: a conversation of `own` cannot be used.
        QwenBenchError: the target cannot be written.
    """
    made = generate(wanted)
    # The first is made before anything is read or written: it tells whether all can be made.
    made = chain([next(made)], made)
    ids = {record.id: record.line for record in read_records(own)} if own else {}
    total = wanted.n + len(ids)
    places = set(Stream("mixed", wanted.seed).sample(total, wanted.n)) if own else set(range(total))
    others = _own_lines(own) if own else iter(())
    with whole_file(target) as out:
        for place in range(total):
            if place not in places:
                out.write(next(others))
                continue
            record = next(made)
            if record.id in ids:
                what = f"id: '{record.id}' is that of a made conversation"
                raise DataError(own, ids[record.id], what, fix="give it another id")
            out.write(record_line(record).encode() + b"\n")
    return Made(wanted.n, len(ids))


def _own_lines(own: Path) -> Iterator[bytes]:
    """A user's conversations with all of their keys, one a line."""
    with own.open("rb") as stream:
        for item in read_objects(own, stream):
            chat, _ = chat_of(item, item.content)
            yield json.dumps(chat, ensure_ascii=False).encode() + b"\n"
