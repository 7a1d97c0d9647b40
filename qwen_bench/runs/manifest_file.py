"""`manifest.json` on disk: replaced as a whole, read with the reason when it cannot be.

A reader sees the old text or the new one, never a mixture. Trade-offs accepted: two fsyncs a call
(small files change a handful of times a run), and the temporary file of a killed process stays
until the next writer removes it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from pydantic import ValidationError

from qwen_bench.errors import NewerSchemaError, RunError
from qwen_bench.record.manifest import SCHEMA_VERSION, Manifest
from qwen_bench.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST_NAME = "manifest.json"
TEMPORARY_SUFFIX = ".tmp"


def as_json(value: object) -> str:
    """Text of a JSON file: sorted keys, two blanks, no NaN, one newline at the end."""
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False) + "\n"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace `manifest.json` atomically.

    Raises:
        OSError: the disk; the old file is intact.
    """
    write_atomic(folder / MANIFEST_NAME, as_json(manifest.model_dump(mode="json")))


def read_manifest(folder: Path) -> Manifest:
    """Read `manifest.json` of a run folder.

    Raises:
        NewerSchemaError: a newer version wrote it.
        RunError: it is not JSON, or a field is missing or wrong.
    """
    path = folder / MANIFEST_NAME
    try:
        data = json.loads(path.read_bytes())
    except ValueError as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        raise RunError(
            f"{path} is not valid JSON at line {line}", why=_state_of_journal(folder)
        ) from error
    if not isinstance(data, dict):
        raise RunError(f"{path} is not a JSON object", why=_state_of_journal(folder))
    version = data.get("schema_version", SCHEMA_VERSION)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        tool = data.get("tool")
        writer = tool.get("version", "?") if isinstance(tool, dict) else "?"
        raise NewerSchemaError(
            f"{path}: written by qwen-bench {writer} (schema {version}); "
            f"this is {__version__} (schema {SCHEMA_VERSION})",
            fix="upgrade qwen-bench",
        )
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{path}: {place}: {first['msg']}", why=_state_of_journal(folder)) from error


def _state_of_journal(folder: Path) -> str:
    """Says how many rows of the results are safe although the manifest is not."""
    from qwen_bench.runs.journal import JOURNAL_NAME, read_journal  # noqa: PLC0415 - only on failure

    try:
        rows = len(read_journal(folder / JOURNAL_NAME).outcomes)
    except RunError as error:
        return error.message
    return f"{JOURNAL_NAME} is intact with {rows} rows"


def write_atomic(path: Path, text: str) -> None:
    """Replace `path` by `text` (UTF-8, LF), durably.

    Raises:
        OSError: the folder is not writable or full; the old file is intact then.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - tests fail this very call
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that a killed writer left in a run folder."""
    for leftover in folder.glob(f"*{TEMPORARY_SUFFIX}"):
        leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the new directory entry survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
