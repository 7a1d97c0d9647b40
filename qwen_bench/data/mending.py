"""A corrected copy of a data file: only what cannot change meaning is changed, contents never."""

from __future__ import annotations

import json
from pathlib import Path

from qwen_bench.data.validation import Validated
from qwen_bench.data.writing import whole_file
from qwen_bench.errors import InputError

_MARK = b"\xef\xbb\xbf"


def write_mended(seen: Validated, target: Path) -> list[str]:
    """Write the copy.

    Lines with errors are copied as they are.

    Args:
        seen: of the file, validated with `mend`.
        target: to be made.

    Returns:
        Every change, in words, with its lines.

    Raises:
        InputError: the file is an array or has indented objects.
        QwenBenchError: the copy cannot be written.
    """
    if seen.layout.array or seen.kinds["indented"]:
        raise InputError(
            f"{seen.path}: only files with one object a line are mended",
            fix=f"qwen-bench data convert {seen.path} -o OUT.jsonl",
        )
    changed: dict[str, list[int]] = {}

    def note(what: str, line: int) -> None:
        changed.setdefault(what, []).append(line)

    with seen.path.open("rb") as stream, whole_file(target) as out:
        for number, raw in enumerate(stream, start=1):
            line = raw.removeprefix(_MARK) if number == 1 else raw
            if line != raw:
                note("byte order mark removed", number)
            if not line.strip():
                note("blank lines removed", number)
                continue
            if number in seen.mends.copies:
                note("copies of earlier lines removed", number)
                continue
            if line.endswith(b"\r\n"):
                note("CR LF made LF", number)
                line = line[:-2] + b"\n"
            if number in seen.mends.unanswered:
                note("last user message without an answer removed", number)
                line = _answered(line)
            out.write(line if line.endswith(b"\n") else line + b"\n")
    return [f"{what}: {_lines(numbers)}" for what, numbers in changed.items()]


def _answered(line: bytes) -> bytes:
    """A line without its last message."""
    content = json.loads(line)
    content["messages"].pop()
    return json.dumps(content, ensure_ascii=False).encode()


def _lines(numbers: list[int]) -> str:
    """Line numbers, those that follow each other as a range.

    >>> _lines([1, 2, 3, 7])
    '4 lines (1-3, 7)'
    """
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    named = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)
    return f"line {named}" if len(numbers) == 1 else f"{len(numbers)} lines ({named})"
