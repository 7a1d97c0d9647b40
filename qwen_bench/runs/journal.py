"""`results.jsonl`: one row a probe and mode, appended by one writer, read by anybody.

It is the only file of a run that cannot be rebuilt. A killed process loses nothing it had written;
the only defect a reader forgives is a last line that was cut off.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from pydantic import TypeAdapter, ValidationError

from qwen_bench.errors import NewerSchemaError, RunError
from qwen_bench.record.outcome import STATUSES, Key, Outcome, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

JOURNAL_NAME = "results.jsonl"
ROW_VERSION = 1
MESSAGE_LIMIT = 500

_OUTCOME = TypeAdapter(Outcome)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Columns that only probes with levels and wordings have.
_OF_LEVELS = ("level", "wording")
_COLUMNS = tuple(
    item.name
    for item in fields(Outcome)
    if item.name not in {"error_type", "error_message", *_OF_LEVELS}
)


class _UnknownStatusError(ValueError):
    """A row that is whole, and not for this version."""


def encode(outcome: Outcome) -> bytes:
    """The row of an outcome: one line of JSON with its newline.

    Lone surrogates, which UTF-8 cannot hold, become U+FFFD.

    Raises:
        ValueError: a number is not finite.
    """
    row: dict[str, Any] = {"v": ROW_VERSION}
    row |= {name: getattr(outcome, name) for name in _COLUMNS}
    row |= {name: value for name in _OF_LEVELS if (value := getattr(outcome, name))}
    row["error"] = None
    if outcome.error_type is not None:
        message = (outcome.error_message or "")[:MESSAGE_LIMIT]
        row["error"] = {"type": outcome.error_type, "message": message}
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return (_LONE_SURROGATE.sub("�", text) + "\n").encode()


def decode(line: bytes) -> Outcome:
    """The outcome of a row; keys it does not know are left aside.

    Raises:
        ValueError: the line is not a row, or has a status of a newer version.
    """
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one type for "not a row"
    error = row.pop("error", None) or {}
    row["error_type"] = error.get("type")
    row["error_message"] = error.get("message")
    if isinstance(status := row.get("status"), str) and status not in STATUSES:
        raise _UnknownStatusError(f"has the status '{status}', which this version does not know")
    try:
        return _OUTCOME.validate_python(row)
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}") from problem


@dataclass(frozen=True, slots=True)
class JournalContent:
    """What a journal holds.

    Attributes:
        outcomes: every row, in file order, superseded ones included.
        whole_bytes: length of the file up to the end of its last good row.
        torn: a cut last line was dropped.
    """

    outcomes: tuple[Outcome, ...]
    whole_bytes: int
    torn: bool


def read_journal(path: Path) -> JournalContent:
    """Read all whole rows; a missing file is an empty journal.

    Raises:
        NewerSchemaError: a row has a status that a newer version gives.
        RunError: a line other than the last is bad, or one key has two different answers.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return JournalContent((), 0, torn=False)
    outcomes: list[Outcome] = []
    answered: dict[Key, str | None] = {}
    offset = 0
    number = 0
    while offset < len(data):
        number += 1
        newline = data.find(b"\n", offset)
        if newline < 0:
            return JournalContent(tuple(outcomes), offset, torn=True)
        try:
            outcome = decode(data[offset:newline])
        except _UnknownStatusError as error:
            raise NewerSchemaError(
                f"{path}: line {number} {error}", fix="upgrade qwen-bench"
            ) from None
        except ValueError as error:
            if newline + 1 == len(data):
                return JournalContent(tuple(outcomes), offset, torn=True)
            raise _bad_line(path, number, error) from error
        _refuse_second_answer(outcome, answered, path, number)
        outcomes.append(outcome)
        offset = newline + 1
    return JournalContent(tuple(outcomes), offset, torn=False)


def _bad_line(path: Path, number: int, error: ValueError) -> RunError:
    """The error for a bad line inside the file."""
    what = "JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else "a row"
    return RunError(
        f"{path}: line {number} is not valid {what}",
        why=str(error),
        fix="delete the line and resume, the probe is asked again",
    )


def _refuse_second_answer(
    outcome: Outcome, answered: dict[Key, str | None], path: Path, number: int
) -> None:
    """Two different final answers under one key mean that two processes wrote here."""
    if outcome.retriable:
        return
    key = key_of(outcome)
    if key in answered and answered[key] != outcome.output:
        raise RunError(
            f"{path}: line {number} answers {outcome.probe_id} ({outcome.mode}) a second time, "
            "differently",
            why="two processes wrote to this folder",
            fix="delete the run and start it again",
        )
    answered[key] = outcome.output


class Journal:
    """The writer of a journal; the caller holds the folder's lock.

    After an error of the disk the file is cut back to its last whole row, which needs no space.

    Args:
        path: the file; created when missing.
        whole_bytes: `JournalContent.whole_bytes`; anything behind it is a cut line and goes away.
        clock: seconds; paces the fsync.
    """

    def __init__(
        self, path: Path, whole_bytes: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._end = whole_bytes
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.ftruncate(self._descriptor, whole_bytes)
        self._synced = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None or not issubclass(kind, OSError):
                os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)

    def append(self, outcomes: Iterable[Outcome]) -> None:
        """Write rows, all or none of them; at most a second of work is not yet on the disk.

        Raises:
            OSError: the disk is full or failing; only whole rows stay in the file.
        """
        data = b"".join(encode(outcome) for outcome in outcomes)
        try:
            _write_all(self._descriptor, data)
        except BaseException:
            os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(data)
        if self._clock() - self._synced >= 1.0:
            os.fsync(self._descriptor)
            self._synced = self._clock()


def _write_all(descriptor: int, data: bytes) -> None:
    """`os.write` until all bytes are gone; a short write is normal just before a disk is full."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def final_keys(outcomes: Sequence[Outcome], *, retry_errors: bool) -> set[Key]:
    """Keys that need not be asked again; with `retry_errors` what is lost is not final."""
    return {key_of(outcome) for outcome in outcomes if not (retry_errors and outcome.retriable)}
