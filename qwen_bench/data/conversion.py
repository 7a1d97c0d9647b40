"""From one file of training data to another form of it; nothing is dropped in silence."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

from qwen_bench.chat.json_objects import JsonObject, scan_objects
from qwen_bench.data.chat_form import CannotHoldError, chat_of
from qwen_bench.data.findings import Finding, finding_of
from qwen_bench.data.forms import FORMS, form_of, form_of_all, is_read
from qwen_bench.data.writing import whole_file
from qwen_bench.errors import DataError, InputError

LOOKED_AT = 50
"""Records whose keys tell the form of a file."""


@dataclass(slots=True)
class Converted:
    """What became of a file.

    Attributes:
        form: that it was in.
        read: records, refused ones included.
        written: conversations.
        refused: lines of records that were refused.
        lost: keys of parts of texts, which are joined, with their counts.
    """

    form: str
    read: int = 0
    written: int = 0
    refused: list[int] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)

    def closing(self) -> str:
        """The counts in one line."""
        text = f"{self.read:,} read, {self.written:,} written"
        if not self.refused:
            return text
        named = ", ".join(map(str, self.refused[:20]))
        more = f" and {len(self.refused) - 20:,} more" if len(self.refused) > 20 else ""
        word = "line" if len(self.refused) == 1 else "lines"
        return f"{text}, {len(self.refused):,} refused ({word} {named}{more})"


def convert(
    source: Path, target: Path, given: str, wanted: str, tell: Callable[[Finding], None]
) -> Converted:
    """Write a file anew.

    Args:
        source: to read; a stream of objects, or one array.
        target: to make; an array where its name ends with ``.json`` or the form is one.
        given: form of the source, or ``auto``.
        wanted: form of the target.
        tell: is told why a record was refused.

    Raises:
        InputError: the source cannot be opened.
        DataError: no record is in a known form, or none could be written.
        QwenBenchError: the target cannot be written.
    """
    try:
        stream = source.open("rb")
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise InputError(f"cannot read {source}", why=why) from error
    with stream:
        found = scan_objects(source, stream)
        head = list(islice(found, LOOKED_AT))
        objects = [item for item in head if isinstance(item, JsonObject)]
        form = given if given != "auto" else form_of_all([item.content for item in objects])
        if form is None:
            raise _unknown(source, head)
        first = next((o for o in objects if is_read(form, o.content)), None)
        done = Converted(form)
        with whole_file(target) as out:
            lines = _lines(chain(head, found), done, first, wanted, tell)
            _write(lines, out, array=FORMS[wanted].array or target.suffix == ".json")
            if not done.written:
                what = f"no conversation could be written: {done.closing()}"
                raise DataError(source, None, what, kind="empty")
    return done


def _unknown(source: Path, head: list[JsonObject | DataError]) -> DataError:
    """The error of a file in no known form."""
    if not head:
        return DataError(source, None, "no records", kind="empty", fix="give a file with some")
    first = head[0]
    if isinstance(first, DataError):
        return first
    keys = ", ".join(sorted(first.content)[:8])
    fix = f"--from one of {', '.join(FORMS)}"
    return DataError(source, first.line, f"no known form of training data; keys: {keys}", fix=fix)


def _lines(
    found: Iterator[JsonObject | DataError],
    done: Converted,
    first: JsonObject | None,
    wanted: str,
    tell: Callable[[Finding], None],
) -> Iterator[bytes]:
    """The JSON of every record that can be written; `done` is kept up to date."""
    for item in found:
        done.read += 1
        try:
            if isinstance(item, DataError):
                raise item
            line = _line(item, done, first, wanted)
        except DataError as error:
            refused = finding_of(error)
            done.refused.append(refused.line or 0)
            tell(refused)
            continue
        done.written += 1
        yield line


def _line(item: JsonObject, done: Converted, first: JsonObject | None, wanted: str) -> bytes:
    """The JSON of one record in the wanted form.

    Raises:
        DataError: it cannot be read, or the form cannot hold it.
    """
    if first is not None and not is_read(done.form, item.content):
        other = form_of(item.content) or "no known form"
        what = f"this record is {other}, the one in line {first.line} is {done.form}"
        raise item.fault(what, fix="convert each form in a file of its own", kind="messages")
    if done.form not in {"chatml", "openai"} and item.content.get("messages") is not None:
        what = f"messages: beside the keys of {done.form}; keep one of them"
        raise item.fault(what, kind="messages")
    chat, lost = chat_of(item, FORMS[done.form].read(item.content, item.fault))
    try:
        made = FORMS[wanted].write(chat)
        line = json.dumps(made, ensure_ascii=False, allow_nan=False).encode()
    except CannotHoldError as error:
        what = f"{wanted} cannot hold it: {error}"
        raise item.fault(what, fix="--to chatml holds everything", kind="unsupported") from None
    except UnicodeEncodeError:
        what = "holds half of a surrogate pair, which no file can hold"
        raise item.fault(what, fix="write the whole character", kind="encoding") from None
    except ValueError:
        what = "holds a number that JSON does not have, such as NaN"
        raise item.fault(what, kind="json") from None
    done.lost.update(lost)
    return line


def _write(lines: Iterator[bytes], out: BinaryIO, *, array: bool) -> None:
    """One line each, or the items of an array."""
    if not array:
        out.writelines(line + b"\n" for line in lines)
        return
    before = b"[\n"
    for line in lines:
        out.write(before + line)
        before = b",\n"
    out.write(b"\n]\n" if before == b",\n" else b"[]\n")
