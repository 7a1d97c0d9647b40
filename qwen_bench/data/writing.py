"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from qwen_bench.errors import InputError, QwenBenchError


def refuse_existing(flag: str, target: Path, *, force: bool, sources: tuple[Path, ...]) -> None:
    """Refuse a file that must not be written over.

    Args:
        flag: that names it, for messages.
        target: to be written.
        force: an existing file may be replaced.
        sources: files that are read; never written over.

    Raises:
        InputError: it must not, or there is no folder for it.
    """
    if target.is_dir() or str(target).endswith("/"):
        raise InputError(f"{flag} {target} names a folder, give a file")
    if not target.absolute().parent.is_dir():
        raise InputError(f"{flag} {target}: there is no folder {target.parent}")
    if not target.exists():
        return
    if any(source.exists() and target.samefile(source) for source in sources):
        raise InputError(f"{flag} {target} is the file that is read", fix="name another file")
    if not target.is_file():
        raise InputError(f"{flag} {target} is no file that could be replaced")
    if not force:
        raise InputError(f"{flag} {target} is there already", fix="name another file, or --force")


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """A file that is written beside its place and put there at the end.

    After an error the place is as it was, and nothing else is left.

    Raises:
        QwenBenchError: it cannot be written, for example because the disk is full.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with part.open("xb") as stream:
            yield stream
        part.replace(target)
    except OSError as error:
        if error.filename not in {None, str(part), str(target)}:
            raise  # of another file, such as the one that is read
        reason = (error.strerror or str(error)).lower()
        raise QwenBenchError(
            f"cannot write {target}: {reason}",
            why="nothing was written",
            fix="make room, or name a file elsewhere",
        ) from error
    finally:
        part.unlink(missing_ok=True)
