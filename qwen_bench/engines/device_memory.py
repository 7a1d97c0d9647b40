"""Memory of a device: how much computing may take, how much it took, whether it ran out."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no annotations
import torch

_TEXTS = ("can't allocate memory", "not enough memory", "out of memory")
_SHARE = {"cuda": 0.85, "mps": 0.70, "cpu": 0.50}
_CGROUPS = Path("/sys/fs/cgroup")


def memory_budget(device: torch.device) -> int:
    """Bytes that computing may use beside the weights.

    A part of what is free, because allocators fragment, and on a CPU because the system ends a
    process that takes too much without asking.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch has reserved and does not use is free for torch.
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    elif device.type == "mps":
        limit = int(_SHARE["mps"] * torch.mps.recommended_max_memory())
        return max(0, limit - torch.mps.current_allocated_memory())
    else:
        free = min([psutil.virtual_memory().available, *_cgroup_free(_CGROUPS)])
    return int(_SHARE.get(device.type, _SHARE["cpu"]) * free)


def _cgroup_free(root: Path) -> list[int]:
    """What the process's own limits leave, on Linux; both versions of the file system."""
    found = []
    for limit_name, used_name in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            limit, used = (
                (root / name).read_text("ascii").strip() for name in (limit_name, used_name)
            )
        except OSError:
            continue
        if limit.isdigit() and used.isdigit():
            found.append(max(0, int(limit) - int(used)))
    return found


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that the device or the process has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(part in text for part in _TEXTS)


def peak_memory_bytes(device: torch.device) -> int:
    """Most memory used so far: of the device on cuda, else of the process; 0 where unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return 0
    import resource  # noqa: PLC0415 - does not exist on Windows

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
