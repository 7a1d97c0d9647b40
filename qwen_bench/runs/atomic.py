"""Replacing a small file so that a reader sees the old text or the new one, never a mixture.

Trade-offs accepted: two fsyncs a call (these files change a handful of times a run), and the
temporary file of a killed process stays until the next writer removes it. Knows nothing of what
the text means.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TEMPORARY_SUFFIX = ".tmp"


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
