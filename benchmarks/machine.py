"""The machine of a measurement, without names of hosts, users or folders."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_tile")


def describe() -> dict[str, Any]:
    """Processor, memory, operating system; None for what the system does not tell."""
    text = _read("/proc/cpuinfo")
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", text, re.MULTILINE)
    have = set(flags.group(1).split()) if flags else set()
    memory = re.search(r"^MemTotal:\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    system = re.search(r'^PRETTY_NAME="?([^"\n]+)', _read("/etc/os-release"), re.MULTILINE)
    return {
        "processor": name.group(1).strip() if name else platform.processor() or None,
        "architecture": platform.machine(),
        "logical_cores": os.cpu_count(),
        "physical_cores": _physical_cores(text),
        "flags": [flag for flag in _FLAGS if flag in have],
        "memory_gib": round(int(memory.group(1)) / 2**20, 1) if memory else None,
        "system": system.group(1) if system else platform.system(),
    }


def state() -> dict[str, Any]:
    """What changes while measuring: load, free memory, frequency policy."""
    free = re.search(r"^MemAvailable:\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    policy = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip()
    return {
        "load_average": [round(load, 2) for load in os.getloadavg()]
        if hasattr(os, "getloadavg")
        else None,
        "free_memory_gib": round(int(free.group(1)) / 2**20, 1) if free else None,
        "frequency_policy": policy or None,
    }


def source(folder: Path) -> dict[str, Any]:
    """Commit of the checkout and whether anything differs from it; None outside a checkout."""
    commit = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--", "qwen_bench", "benchmarks")
    return {"commit": commit, "clean": None if changed is None else not changed}


def slug(machine: dict[str, Any]) -> str:
    """A short name for file names."""
    words = f"{machine['processor'] or machine['architecture']} {machine['logical_cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def _physical_cores(text: str) -> int | None:
    pairs = set(
        zip(
            re.findall(r"^physical id\s*:\s*(\d+)$", text, re.MULTILINE),
            re.findall(r"^core id\s*:\s*(\d+)$", text, re.MULTILINE),
            strict=False,
        )
    )
    return len(pairs) or None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            ["git", *words],  # noqa: S607 - whichever git the user has
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
