"""JSON objects of a file with their lines: one a line, indented over several, or in one array.

Objects are read as a stream, an array is read whole. Knows nothing of what they mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from qwen_bench.errors import DataError

Fault = Callable[..., DataError]
FORM = 'one JSON object a line: {"messages": [{"role": "user", "content": "..."}, ...]}'
LONGEST = 32 << 20
"""Bytes of the longest line or indented object; about eight million tokens, so no conversation."""
_KINDS = {dict: "object", list: "list", str: "text", bool: "boolean", type(None): "null"}
_MARK = b"\xef\xbb\xbf"
_SPACE = " \t\r\n"


class JsonObject(NamedTuple):
    """One object of a file.

    Attributes:
        line: physical line it begins in, from 1.
        place: where it stands, in words that no other object of the file has.
        fault: makes the error that knows file, line and place.
        lines: physical lines it takes.
        item: its number in an array, from 0.
    """

    content: dict[str, object]
    line: int
    place: str
    fault: Fault
    lines: int = 1
    item: int | None = None


@dataclass(slots=True)
class Layout:
    """How a file is written, as far as it was read; nothing of this changes what it says.

    Attributes:
        mark: it begins with a byte order mark.
        crlf: first line that ends with carriage return and line feed, from 1.
        blank: first line without an object.
        array: it is one JSON array.
    """

    mark: bool = False
    crlf: int | None = None
    blank: int | None = None
    array: bool = False


def kind_of(value: object) -> str:
    """What JSON calls a value."""
    return _KINDS.get(type(value), "number")


def read_objects(path: Path, stream: BinaryIO) -> Iterator[JsonObject]:
    """The objects of an open file; a byte order mark, CRLF and blank lines are accepted.

    Raises:
        DataError: something is not UTF-8, not JSON, no object, or longer than `LONGEST`.
    """
    for found in scan_objects(path, stream):
        if isinstance(found, DataError):
            raise found
        yield found


def scan_objects(
    path: Path, stream: BinaryIO, layout: Layout | None = None
) -> Iterator[JsonObject | DataError]:
    """The objects of an open file, and an error in the place of each that cannot be read.

    Args:
        path: for messages.
        stream: of the file.
        layout: is told how the file is written.
    """
    lines = _Lines(stream, layout or Layout())
    first = True
    for number, line in lines:
        if first and line.startswith(b"["):
            lines.layout.array = True
            try:
                yield from _of_array(path, number, line + stream.read())
            except DataError as error:
                yield error
            return
        first = False
        try:
            value, last = _value(path, number, line, lines)
            yield _object(value, path, number, lines=last - number + 1)
        except DataError as error:
            yield error


class _Lines:
    """Lines that hold something, with their numbers; some may be put back.

    A line longer than `LONGEST` is cut there, unless an array begins the file: the rest is passed
    over when the next line is asked for.
    """

    def __init__(self, stream: BinaryIO, layout: Layout) -> None:
        self._stream = stream
        self._back: list[tuple[int, bytes]] = []
        self._number = 0
        self._cut = False
        self.layout = layout

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> tuple[int, bytes]:
        if self._back:
            return self._back.pop()
        while line := self._next_line():
            self._number += 1
            if self._number == 1 and line.startswith(_MARK):
                self.layout.mark = True
                line = line.removeprefix(_MARK)
            if self.layout.crlf is None and line.endswith(b"\r\n"):
                self.layout.crlf = self._number
            if not line.isspace() and line:
                return self._number, line.lstrip() if self._number == 1 else line
            if self.layout.blank is None:
                self.layout.blank = self._number
        raise StopIteration

    def _next_line(self) -> bytes:
        while self._cut:
            self._cut = _is_cut(self._stream.readline(LONGEST))
        line = self._stream.readline(LONGEST)
        if _is_cut(line) and not (self._number == 0 and _opens_array(line)):
            self._cut = True
        return line

    def put_back(self, lines: Sequence[tuple[int, bytes]]) -> None:
        """Give these lines again, in their order."""
        self._back += reversed(lines)


def _is_cut(line: bytes) -> bool:
    """Whether a line goes on behind what was read of it."""
    return len(line) >= LONGEST and not line.endswith(b"\n")


def _opens_array(line: bytes) -> bool:
    return line[:1000].removeprefix(_MARK).lstrip().startswith(b"[")


def _object(
    value: object, path: Path, line: int, index: int | None = None, lines: int = 1
) -> JsonObject:
    """A value as an object.

    Raises:
        DataError: it is none.
    """
    fault: Fault = partial(DataError, path, line)
    if index is not None:
        fault = partial(_inside, path, line, index)
    if isinstance(value, list):
        raise fault("this is a JSON array, not one object a line", fix=FORM, kind="json")
    if not isinstance(value, dict):
        raise fault(f"{kind_of(value)}, not a JSON object", fix=FORM, kind="json")
    place = f"{path.name}:{line}" if index is None else f"{path.name}[{index}]"
    return JsonObject(value, line, place, fault, lines, index)


def _inside(
    path: Path, line: int, index: int, what: str, *, fix: str | Sequence[str] = (), kind: str = ""
) -> DataError:
    """The error of an item of an array; several items may stand in one line."""
    return DataError(path, line, f"[{index}] {what}", fix=fix, kind=kind)


def _value(path: Path, number: int, line: bytes, lines: _Lines) -> tuple[object, int]:
    """The value that begins in a line, and the line it ends in: another one if it is indented.

    Args:
        path: for messages.
        number: of the line.
        line: its bytes.
        lines: the following ones; taken from only while an object is open.

    Raises:
        DataError: there is none.
    """
    if _is_cut(line):
        what = f"a line of more than {LONGEST >> 20} MB, which is no conversation"
        raise DataError(path, number, what, fix=FORM, kind="too-long")
    text = _text(path, number, line)
    try:
        return _parsed(text), number
    except (ValueError, RecursionError) as error:
        first = _not_json(path, number, error)
        if not _is_open(error, text):
            raise first from None
    depth = _depth(text)
    taken: list[tuple[int, bytes]] = []
    for later, raw in lines:
        taken.append((later, raw))
        if _is_record(raw):
            break  # the object was cut off, not indented: the rest of the file is not read for it
        more = _text(path, later, raw)
        text += more
        if len(text) > LONGEST:
            break
        depth += _depth(more)
        if depth <= 0:
            try:
                return _parsed(text), later
            except (ValueError, RecursionError) as error:
                raise _not_json(path, number, error) from None
    # What begins in the first column may be an object of its own, and be told of its own faults.
    own = next((i for i, (_, raw) in enumerate(taken) if raw.startswith(b"{")), len(taken))
    lines.put_back(taken[own:])
    raise first


def _of_array(path: Path, number: int, data: bytes) -> Iterator[JsonObject | DataError]:
    """The items of an array that begins in a line and is the whole rest of the file."""
    text = _text(path, number, data).rstrip()
    decoder = json.JSONDecoder(object_pairs_hook=_no_key_twice)
    at = _skip(text, text.index("[") + 1)
    line, counted, index = number, 0, 0
    while text[at : at + 1] != "]" or index:
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise _not_json(path, number, error, line) from None
        try:
            yield _object(value, path, line, index)
        except DataError as error:
            yield error
        index, at = index + 1, _skip(text, at)
        if text[at : at + 1] == "]":
            break
        if text[at : at + 1] != ",":
            here = line + text.count("\n", counted, at)
            what = f"not valid JSON: no ',' or ']' after item {index - 1}"
            raise DataError(path, here, what, kind="json")
        at = _skip(text, at + 1)
    if text[at + 1 :].strip():
        after = number + text.count("\n", 0, _skip(text, at + 1))
        raise DataError(path, after, "something follows the JSON array", fix=FORM, kind="json")


def _skip(text: str, at: int) -> int:
    """The next place that is no white space."""
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _text(path: Path, number: int, data: bytes) -> str:
    """Bytes as text.

    Raises:
        DataError: they are not UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = number + data.count(b"\n", 0, error.start)
        what = f"byte 0x{data[error.start]:02X} is not UTF-8; convert the file first"
        raise DataError(path, line, what, kind="encoding") from None


class _KeyTwiceError(ValueError):
    """An object has a key twice, of which JSON readers drop one."""


def _no_key_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _KeyTwiceError(f"the key {twice!r} stands twice in one object")
    return content


def _parsed(text: str) -> object:
    # Without the last line break a fault at the end is in the line that ends too early.
    return json.loads(text.rstrip(), object_pairs_hook=_no_key_twice)


def _is_open(error: Exception, text: str) -> bool:
    """Whether JSON ended too early, at the end of the text and not inside a string."""
    if not isinstance(error, json.JSONDecodeError) or not text.lstrip().startswith("{"):
        return False
    return error.msg.startswith("Expecting") and error.pos >= len(text.rstrip())


def _is_record(line: bytes) -> bool:
    """Whether a line is a whole conversation."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "messages" in value


def _depth(text: str) -> int:
    """Opened minus closed brackets of a line, those in strings left out."""
    depth, at, inside = 0, 0, False
    while at < len(text):
        char = text[at]
        if inside:
            at += char == "\\"
            inside = char != '"'
        elif char == '"':
            inside = True
        else:
            depth += (char in "{[") - (char in "}]")
        at += 1
    return depth


def _not_json(path: Path, number: int, error: Exception, line: int | None = None) -> DataError:
    """The error for text that is not JSON; `number` is the line in which the text begins.

    Args:
        path: of the file.
        number: line of the first character that was parsed.
        error: of the parser.
        line: to name where the parser names none.
    """
    if isinstance(error, _KeyTwiceError):
        return DataError(path, line or number, str(error), fix="keep one of them", kind="json")
    if isinstance(error, json.JSONDecodeError):
        what = f"column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}"
        return DataError(path, number + error.lineno - 1, f"not valid JSON at {what}", kind="json")
    why = "nested too deeply" if isinstance(error, RecursionError) else str(error).lower()
    return DataError(path, line or number, f"not valid JSON: {why}", kind="json")
