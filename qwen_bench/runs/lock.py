"""One writer for a run folder, by a kernel lock.

The kernel frees the lock when its process ends, `kill -9` included, so there are no stale locks
and nobody guesses from process ids; the text in the file only serves the message.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qwen_bench.errors import RunLockedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME = ".lock"
_UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


@contextmanager
def locked(folder: Path, *, started: str) -> Iterator[str | None]:
    """Hold the write lock of a run folder.

    Args:
        folder: the run folder; it exists.
        started: UTC time of this process, for the message other processes print.

    Yields:
        None, or a warning when the file system has no locks; the check for doubled rows is the
        safety net then.

    Raises:
        RunLockedError: another process holds it.
    """
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield _acquire(descriptor, folder, started)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path, started: str) -> str | None:
    """Take the lock or say who has it; returns a warning where locks do not exist."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RunLockedError(
            f"{folder} is in use by {_holder(descriptor)}",
            fix="wait until it ends, or stop it; one process writes to a run folder",
        ) from error
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return f"{folder} is on a file system without locks; start only one process on it"
        raise
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": started}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(owner).encode(), 0)
    return None


def _holder(descriptor: int) -> str:
    """Who wrote the lock text, in words."""
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {owner['pid']} on host {owner['host']} since {owner['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
