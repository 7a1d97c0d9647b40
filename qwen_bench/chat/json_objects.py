"""JSON objects of a file with their lines: one a line, indented over several, or in one array.

Objects are read as a stream, an array is read whole. Knows nothing of what they mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from qwen_bench.errors import DataError

Fault = Callable[..., DataError]
FORM = 'one JSON object a line: {"messages": [{"role": "user", "content": "..."}, ...]}'
_KINDS = {dict: "object", list: "list", str: "text", bool: "boolean", type(None): "null"}
_MARK = b"\xef\xbb\xbf"
_SPACE = " \t\r\n"


class JsonObject(NamedTuple):
    """One object of a file.

    Attributes:
        line: physical line it begins in, from 1.
        place: where it stands, in words that no other object of the file has.
        fault: makes the error that knows file, line and place.
    """

    content: dict[str, object]
    line: int
    place: str
    fault: Fault


def kind_of(value: object) -> str:
    """What JSON calls a value."""
    return _KINDS.get(type(value), "number")


def read_objects(path: Path, stream: BinaryIO) -> Iterator[JsonObject]:
    """The objects of an open file; a byte order mark, CRLF and blank lines are accepted.

    Raises:
        DataError: something is not UTF-8, not JSON, or no object.
    """
    first = True
    lines = enumerate(stream, start=1)
    for number, raw in lines:
        line = raw.removeprefix(_MARK) if number == 1 else raw
        if not line.strip():
            continue
        if first and line.lstrip().startswith(b"["):
            yield from _of_array(path, number, line + stream.read())
            return
        first = False
        yield _object(_value(path, number, line, lines), path, number)


def _object(value: object, path: Path, line: int, index: int | None = None) -> JsonObject:
    """A value as an object.

    Raises:
        DataError: it is none.
    """
    fault: Fault = partial(DataError, path, line)
    if index is not None:
        fault = partial(_inside, path, line, index)
    if isinstance(value, list):
        raise fault("this is a JSON array, not one object a line", fix=FORM)
    if not isinstance(value, dict):
        raise fault(f"{kind_of(value)}, not a JSON object", fix=FORM)
    place = f"{path.name}:{line}" if index is None else f"{path.name}[{index}]"
    return JsonObject(value, line, place, fault)


def _inside(
    path: Path, line: int, index: int, what: str, *, fix: str | Sequence[str] = ()
) -> DataError:
    """The error of an item of an array; several items may stand in one line."""
    return DataError(path, line, f"[{index}] {what}", fix=fix)


def _value(path: Path, number: int, line: bytes, lines: Iterator[tuple[int, bytes]]) -> object:
    """The value that begins in a line, and ends there unless it is an indented object.

    Args:
        path: for messages.
        number: of the line.
        line: its bytes.
        lines: the following ones; taken from only while an object is open.
    """
    text = _text(path, number, line)
    try:
        return _parsed(text)
    except (ValueError, RecursionError) as error:
        first = _not_json(path, number, error)
        if not _is_open(error, text):
            raise first from None
    depth = _depth(text)
    for later, raw in lines:
        if _is_record(raw):
            break  # the object was cut off, not indented: the rest of the file is not read for it
        more = _text(path, later, raw)
        text += more
        depth += _depth(more)
        if depth <= 0:
            try:
                return _parsed(text)
            except (ValueError, RecursionError) as error:
                raise _not_json(path, number, error) from None
    raise first


def _of_array(path: Path, number: int, data: bytes) -> Iterator[JsonObject]:
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
        yield _object(value, path, line, index)
        index, at = index + 1, _skip(text, at)
        if text[at : at + 1] == "]":
            break
        if text[at : at + 1] != ",":
            here = line + text.count("\n", counted, at)
            raise DataError(path, here, f"not valid JSON: no ',' or ']' after item {index - 1}")
        at = _skip(text, at + 1)
    if text[at + 1 :].strip():
        after = number + text.count("\n", 0, _skip(text, at + 1))
        raise DataError(path, after, "something follows the JSON array", fix=FORM)


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
        raise DataError(path, line, what) from None


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
        return DataError(path, line or number, str(error), fix="keep one of them")
    if isinstance(error, json.JSONDecodeError):
        what = f"column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}"
        return DataError(path, number + error.lineno - 1, f"not valid JSON at {what}")
    why = "nested too deeply" if isinstance(error, RecursionError) else str(error).lower()
    return DataError(path, line or number, f"not valid JSON: {why}")
