"""The rest of the conversation: ordinary exchanges that hold no evidence.

Threads of 2 to 4 exchanges, drawn without replacement inside a dialogue. A run of free turns is
filled with whole threads, the last one cut to its first exchanges, so every prefix must make sense.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from qwen_bench.errors import DataError
from qwen_bench.probes.probe import Lang, Split, Turn
from qwen_bench.probes.seeded_draws import Stream
from qwen_bench.probes.word_templates import pattern_of

Thread = tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class FillerBank:
    """Threads of exchanges in one language, and the hash of the file they come from."""

    threads: tuple[Thread, ...]
    sha256: str
    path: str

    @property
    def exchanges(self) -> int:
        """Number of exchanges in all threads."""
        return sum(len(thread) for thread in self.threads)


@lru_cache(maxsize=8)
def load_filler(tasks: Path, lang: Lang, split: Split) -> FillerBank:
    """The bank of one language and split.

    Raises:
        DataError: the file is missing or a line is not a thread.
    """
    path = tasks / "filler" / (f"{lang}.jsonl" if split == "eval" else f"{lang}.{split}.jsonl")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(path, None, "this file is missing") from None
    threads = tuple(
        _thread(path, number, line)
        for number, line in enumerate(content.decode("utf-8").splitlines(), start=1)
        if line.strip()
    )
    return FillerBank(threads, hashlib.sha256(content).hexdigest(), path.name)


def _thread(path: Path, number: int, line: str) -> Thread:
    try:
        record = json.loads(line)
        messages = [(message["role"], message["content"]) for message in record["messages"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(path, number, f"not a ChatML record: {error}") from None
    if not messages or len(messages) % 2:
        raise DataError(path, number, "messages: not pairs of user and assistant")
    turns = []
    for i in range(0, len(messages), 2):
        (first, user), (second, assistant) = messages[i], messages[i + 1]
        if (first, second) != ("user", "assistant"):
            raise DataError(
                path, number, f"messages[{i}]: {first}, {second} where user, assistant are due"
            )
        if not (isinstance(user, str) and user.strip()) or not (
            isinstance(assistant, str) and assistant.strip()
        ):
            raise DataError(path, number, f"messages[{i}]: blank content")
        turns.append(Turn(user, assistant))
    return tuple(turns)


@lru_cache(maxsize=64)
def without(bank: FillerBank, barred: tuple[str, ...]) -> FillerBank:
    """The bank without the threads that hold one of the words.

    Latin words match whole, with a plural s or es; Chinese ones match as substrings.
    """
    found = pattern_of(barred, plurals=True)
    if found is None:
        return bank
    threads = tuple(
        thread
        for thread in bank.threads
        if not any(found.search(turn.user) or found.search(turn.assistant) for turn in thread)
    )
    return FillerBank(threads, bank.sha256, bank.path)


def fill(
    bank: FillerBank, free: Sequence[bool], stream: Stream, stack: int = 1
) -> list[Turn | None]:
    """Filler for the free turns, None for the others.

    Args:
        bank: threads to draw from.
        free: for each turn, whether it is free. A shorter list gives a prefix of the result.
        stream: decides the order of the threads.
        stack: exchanges of a thread that are merged into one turn.

    Raises:
        DataError: the bank has too few threads for this many turns.
    """
    order = iter(stream.sample(len(bank.threads), len(bank.threads)))
    turns: list[Turn | None] = []
    thread: Thread = ()
    for is_free in free:
        if not is_free:
            turns.append(None)
            thread = ()
            continue
        if not thread:
            chosen = next(order, None)
            if chosen is None:
                raise DataError(
                    bank.path, None, f"too few threads for a history of {len(free)} turns"
                )
            thread = bank.threads[chosen]
        turns.append(_merged(thread[:stack]))
        thread = thread[stack:]
    return turns


def _merged(exchanges: Sequence[Turn]) -> Turn:
    if len(exchanges) == 1:
        return exchanges[0]
    return Turn(
        "\n".join(turn.user for turn in exchanges), "\n".join(turn.assistant for turn in exchanges)
    )
