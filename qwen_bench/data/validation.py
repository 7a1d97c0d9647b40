"""Goes through a data file once, as a stream, and names everything that is wrong in it.

What is an error is decided by the reader of `finetune` and `--filler`; warnings are of texts that
are read and may not mean what they seem to.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from qwen_bench.chat.chat_record import ChatRecord, record_of
from qwen_bench.chat.json_objects import FORM, JsonObject, Layout, scan_objects
from qwen_bench.chat.jsonl import REMEDY
from qwen_bench.chat.messages import THINK_CLOSE, THINK_OPEN
from qwen_bench.data.findings import Finding, Level, finding_of
from qwen_bench.data.summary import Counts
from qwen_bench.errors import DataError, InputError

Tell = Callable[[Finding], None]
Look = Callable[[JsonObject, ChatRecord], Iterator[Finding]]
_EDGES = {"\n": "a newline", "\t": "a tab", " ": "a blank"}


@dataclass(slots=True)
class Mends:
    """What a corrected copy leaves out or changes, by line; see `mending`.

    Attributes:
        copies: lines that repeat an earlier one but for their id, with the number of that one.
        unanswered: lines whose last user message has no answer.
    """

    copies: dict[int, int] = field(default_factory=dict)
    unanswered: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Validated:
    """What was seen of a file.

    Attributes:
        records: objects, those with errors included.
        levels: findings by level.
        kinds: findings by kind.
    """

    path: Path
    records: int = 0
    counts: Counts = field(default_factory=Counts)
    levels: Counter[Level] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    layout: Layout = field(default_factory=Layout)
    mends: Mends = field(default_factory=Mends)


def validate(
    path: Path,
    tell: Tell,
    look: Look | None = None,
    *,
    mend: bool = False,
    counts: Counts | None = None,
) -> Validated:
    """Look at a file.

    Args:
        path: of the file.
        tell: is told each finding, in the order of the file, those of the whole file last.
        look: looks at each conversation further.
        mend: note what a corrected copy changes.
        counts: to add to, where several files are one; new ones by default.

    Raises:
        InputError: it cannot be opened.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise InputError(f"cannot read {path}", why=why) from error
    with stream:
        check = _Check(path, tell, look, mend=mend)
        check.seen.counts = counts or check.seen.counts
        for found in scan_objects(path, stream, check.seen.layout):
            check.see(found)
    check.end()
    return check.seen


def sound_records(path: Path) -> Iterator[ChatRecord]:
    """The conversations of a file that have no error; the others are passed over.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        for found in scan_objects(path, stream):
            record = record_of(found)[0] if isinstance(found, JsonObject) else None
            if record is not None:
                yield record


class _Check:
    """The findings of one file."""

    def __init__(self, path: Path, tell: Tell, look: Look | None, *, mend: bool) -> None:
        self.seen = Validated(path)
        self._tell = tell
        self._look = look
        self._mend = mend
        self._ids: dict[int, int] = {}
        self._messages: dict[int, int] = {}
        self._contents: dict[int, int] = {}
        self._ignored: Counter[str] = Counter()
        self._flags: tuple[int, tuple[tuple[str, bool | str], ...]] | None = None
        self._indented = False

    def see(self, found: JsonObject | DataError) -> None:
        """One object, or what is wrong with it."""
        seen = self.seen
        seen.records += 1
        if seen.layout.array and seen.records == 1:
            convert = f"qwen-bench data convert {seen.path} -o OUT.jsonl"
            what = f"this is a JSON array, not one object a line; run: {convert}"
            self._say("error", "array-file", 1, what, convert)
        if isinstance(found, DataError):
            found.fix = found.fix or (REMEDY,)
            self._told(finding_of(found))
            return
        if found.lines > 1 and not self._indented:
            self._indented = True
            what = f"an object over {found.lines} lines; other readers want one object a line"
            self._say("warning", "indented", found.line, what)
        record, faults = record_of(found)
        for fault in faults:
            fault.fix = fault.fix or (REMEDY,)
            self._told(finding_of(fault))
        if "id" in found.content:
            self._id(found)
        if record is None:
            return
        seen.counts.add(record)
        self._ignored.update(record.ignored)
        self._warn(found, record)
        if self._look is not None:
            for finding in self._look(found, record):
                self._told(finding)

    def _id(self, item: JsonObject) -> None:
        """An id that was used before, also by a line with other errors."""
        given = item.content["id"]
        if not isinstance(given, str | int) or isinstance(given, bool) or given == "":
            return
        first = self._ids.setdefault(_digest(str(given)), item.line)
        if first != item.line or ((item.item or 0) > 0 and self._twice_in_line(str(given), item)):
            what = f"id: '{given}' was used in line {first}"
            self._say("error", "duplicate-id", item.line, what, "give every conversation its own")

    def _twice_in_line(self, given: str, item: JsonObject) -> bool:
        """Whether an id of an array stands twice in one line."""
        key = _digest(f"{item.line}\0{given}")
        twice = key in self._ids
        self._ids[key] = item.line
        return twice

    def _warn(self, item: JsonObject, record: ChatRecord) -> None:
        line = item.line
        if self._flags is None:
            self._flags = (line, record.flags)
        elif record.flags != self._flags[1]:
            what = f"chat_template_kwargs: another one than in line {self._flags[0]}"
            self._say("error", "template-flags", line, what, "train on one mode at a time")
        shift = len(record.messages) - len(_messages(item.content))
        last = max(i for i, m in enumerate(record.messages) if m.role == "assistant")
        for i, message in enumerate(record.messages):
            place = f"messages[{i - shift}].content" if i >= shift else "system"
            text = message.content
            if text and (text[0].isspace() or text[-1].isspace()):
                side, edge = ("begins", text[0]) if text[0].isspace() else ("ends", text[-1])
                what = f"{place}: {side} with {_EDGES.get(edge, 'white space')}"
                self._say("warning", "edge-space", line, f"{what}; Qwen3.5 and later trim it")
            if (
                message.role == "assistant"
                and i < last
                and (THINK_OPEN in text or THINK_CLOSE in text)
            ):
                what = f"{place}: has a think block; Qwen3 to 3.6 drop it from history"
                self._say("warning", "think-in-history", line, what)
        unanswered = record.messages[-1].role in {"user", "tool"}
        if unanswered:
            turn = "user turn" if record.messages[-1].role == "user" else "tool's result"
            what = f"conversation ends with a {turn}: nothing to train on"
            self._say("warning", "unanswered", line, what)
        first = self._messages.setdefault(_digest(_said(record)), line)
        if first != line:
            self._say("warning", "duplicate", line, f"same conversation as line {first}")
        if self._mend:
            self._note(item, unanswered=record.messages[-1].role == "user")

    def _note(self, item: JsonObject, *, unanswered: bool) -> None:
        """What a corrected copy does with this line."""
        content = {key: value for key, value in item.content.items() if key != "id"}
        if unanswered:
            self.seen.mends.unanswered.add(item.line)
            content["messages"] = _messages(content)[:-1]
        first = self._contents.setdefault(_digest(json.dumps(content, sort_keys=True)), item.line)
        if first != item.line:
            self.seen.mends.copies[item.line] = first

    def end(self) -> None:
        """Findings of the whole file."""
        seen, layout = self.seen, self.seen.layout
        if not seen.records:
            self._say("error", "empty", None, "no records", FORM)
        turns = seen.counts.turns
        if turns and set(turns) <= {"0", "1"}:
            number = seen.counts.conversations
            who = f"all {number:,} conversations have" if number > 1 else "the conversation has"
            what = f"{who} one turn; training on them does not practise memory"
            self._say("warning", "one-turn", None, what)
        if self._ignored:
            named = ", ".join(f"{key} ({count})" for key, count in sorted(self._ignored.items()))
            self._say("warning", "unknown-key", None, f"keys that are not read: {named}")
        if layout.mark:
            self._say("notice", "mark", 1, "a byte order mark, accepted")
        if layout.crlf is not None:
            self._say("notice", "line-ends", layout.crlf, "ends with CR LF, accepted")
        if layout.blank is not None and not layout.array:
            self._say("notice", "blank-line", layout.blank, "a blank line, accepted")

    def _say(self, level: Level, kind: str, line: int | None, what: str, *fix: str) -> None:
        self._told(Finding(str(self.seen.path), line, level, kind, what, fix))

    def _told(self, finding: Finding) -> None:
        self.seen.levels[finding.level] += 1
        self.seen.kinds[finding.kind] += 1
        self._tell(finding)


def _messages(content: Mapping[str, object]) -> list[object]:
    """The messages of a record that was read without a fault."""
    return cast("list[object]", content["messages"])


def _said(record: ChatRecord) -> str:
    """Everything that is said in a conversation, in one text."""
    parts = [*record.tools]
    for message in record.messages:
        parts += [message.role, message.content, message.reasoning or ""]
        parts += [f"{call.name}\0{call.arguments}" for call in message.tool_calls]
    return "\0".join(parts)


def _digest(text: str) -> int:
    """64 bits of a text: of 100,000 texts two are mixed up once in four thousand million files."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
