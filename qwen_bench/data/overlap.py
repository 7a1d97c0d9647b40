"""Does a file of training data hold what a suite will ask?

Texts of the suite are compared with messages of the file by runs of words (of Chinese by runs of
characters), letter case and punctuation aside. What is shorter than a run must be a whole message.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from qwen_bench.chat.chat_record import ChatRecord
from qwen_bench.chat.jsonl import read_records
from qwen_bench.probes.suites import Suite

WORDS, CHARACTERS = 8, 13
"""Lengths of runs, of words and of Chinese characters."""
SHORTEST, SHORTEST_CHINESE = 4, 6
"""A text with less is said everywhere and proves nothing."""
PARTS = ("questions", "evidence", "other turns")
_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")
_HAN = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class Found:
    """A text of the suite that stands in the file.

    Attributes:
        line: of the file, where the first run of it stands.
        run: of words or characters that both have.
    """

    part: str
    text: str
    line: int
    run: str


@dataclass(slots=True)
class Overlap:
    """What a file and a suite share.

    Attributes:
        texts: of the suite by part.
        short: those too short to tell.
        found: texts that stand in the file.
        probes: main probes of the suite.
        touched: those whose question or evidence was found, by family.
    """

    texts: Counter[str] = field(default_factory=Counter)
    short: int = 0
    found: list[Found] = field(default_factory=list)
    probes: int = 0
    touched: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """Percentage of the probes that are touched."""
        return 100 * self.touched.total() / self.probes if self.probes else 0.0

    @property
    def verdict(self) -> str:
        """What it means for a model that is trained on the file."""
        if self.touched:
            return (
                "leaked: what this suite asks or tells stands in the file; a model trained on it "
                "may know answers from training"
            )
        if self.found:
            return "clean of questions and evidence; some other turns of the histories are shared"
        return "clean: no text of the suite stands in the file"


def overlap(path: Path, suite: Suite, words: int = WORDS, characters: int = CHARACTERS) -> Overlap:
    """Compare a file with a suite.

    Args:
        path: ChatML, read as a stream.
        suite: all texts of its selection count.
        words: length of a run.
        characters: the same of Chinese.

    Raises:
        InputError: the file cannot be opened.
        DataError: it cannot be read.
    """
    done = Overlap()
    parts: dict[str, str] = {}
    needed: list[tuple[str, tuple[str, ...]]] = []
    for dialogue in suite.dialogues():
        own: set[int] = set()
        for asked in dialogue.probes:
            probe = asked.probe
            parts[probe.question_text] = "questions"
            if probe.condition == "main":
                turns = [dialogue.turns[turn - 1] for turn in probe.needs if turn]
                own |= set(probe.needs)
                evidence = tuple(text for turn in turns for text in (turn.user, turn.assistant))
                needed.append((probe.family, (probe.question_text, *evidence)))
        for number, turn in enumerate(dialogue.turns, start=1):
            for text in (turn.user, turn.assistant):
                kind = "evidence" if number in own else "other turns"
                if parts.get(text) != "questions" and (kind == "evidence" or text not in parts):
                    parts[text] = kind
    wanted: set[int] = set()
    for text in parts:
        runs = list(_hashes(text, words, characters))
        done.short += not runs
        wanted.update(runs)
    seen = _seen(read_records(path, check_texts=False), wanted, words, characters)
    held: set[str] = set()
    for text, part in parts.items():
        done.texts[part] += 1
        found = next(((run, h) for run, h in _runs(text, words, characters) if h in seen), None)
        if found is not None:
            held.add(text)
            done.found.append(Found(part, text, seen[found[1]], found[0]))
    done.probes = len(needed)
    done.touched.update(family for family, texts in needed if held.intersection(texts))
    return done


def _seen(
    records: Iterable[ChatRecord], wanted: set[int], words: int, characters: int
) -> dict[int, int]:
    """The wanted runs that stand in the records, each with the first line it stands in."""
    seen: dict[int, int] = {}
    for record in records:
        for message in record.messages:
            for found in wanted.intersection(_hashes(message.content, words, characters)):
                seen.setdefault(found, record.line)
    return seen


def _hashes(text: str, words: int, characters: int) -> Iterator[int]:
    """Hashes of the runs of a text, the same within this process only."""
    return (key for _, key in _runs(text, words, characters))


def _runs(text: str, words: int, characters: int) -> Iterator[tuple[str, int]]:
    """Runs of a text with their hashes; a shorter text is one run, a very short one has none."""
    tokens = _TOKEN.findall(text.casefold())
    chinese = not text.isascii() and len(_HAN.findall(text)) > len(tokens) / 2
    length, shortest = (characters, SHORTEST_CHINESE) if chinese else (words, SHORTEST)
    if len(tokens) < length:
        if len(tokens) >= shortest:
            whole = " ".join(tokens)
            yield whole, hash(("whole", whole))
        return
    for start in range(len(tokens) - length + 1):
        run = " ".join(tokens[start : start + length])
        yield run, hash(run)


def lines(done: Overlap, path: Path) -> list[str]:
    """What was found, for people."""
    table = [f" {'':<12}{'texts':>8}{'found':>8}{'share':>9}  first"]
    for part in PARTS:
        found = [one for one in done.found if one.part == part]
        total = done.texts[part]
        share = f"{100 * len(found) / total:.1f} %" if total else "-"
        first = min(found, key=lambda one: one.line, default=None)
        where = f"{path}:{first.line}  '{first.run}'" if first else ""
        row = f" {part:<12}{total:>8,}{len(found):>8,}{share:>9}  {where}"
        table.append(row.rstrip())
    touched = f"{done.touched.total():,} of {done.probes:,} probes ({done.share:.1f} %)"
    table.append(f"touched  {touched} by their question or evidence")
    if done.touched:
        named = " · ".join(f"{family} {n:,}" for family, n in done.touched.most_common(8))
        table.append(f"         {named}")
    if done.short:
        table.append(f"short    {done.short:,} texts are too short to tell")
    return [*table, f"verdict  {done.verdict}"]
