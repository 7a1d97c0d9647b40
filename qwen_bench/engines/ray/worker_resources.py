"""How much of a cluster each worker gets. Plain arithmetic; Ray does the placing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qwen_bench.errors import EngineError


class Node(NamedTuple):
    """What a machine of the cluster has."""

    cpus: float
    gpus: float


def gpus_each(device: str, nodes: Sequence[Node]) -> int:
    """GPUs that a worker gets to itself: one, unless it computes elsewhere."""
    return int(device == "cuda" or (device == "auto" and any(node.gpus >= 1 for node in nodes)))


def cpus_each(nodes: Sequence[Node], workers: int, gpus: int) -> float:
    """Processors of a worker, as many as let all fit; less than one where there are too few.

    Ray also sets the number of threads by it.

    Args:
        nodes: of the cluster.
        workers: how many have to fit.
        gpus: that each needs, 0 or 1.

    Raises:
        EngineError: they do not fit.
    """
    places = sum(int(node.gpus) for node in nodes) if gpus else workers
    if places < workers:
        raise EngineError(
            f"{workers} workers need a GPU each; there {'is' if places == 1 else 'are'} {places}",
            fix=f"--replicas {places}, or --device cpu" if places else "--device cpu",
        )
    most = max((int(node.cpus) for node in nodes), default=0)
    shares = [*map(float, range(most, 0, -1)), *(1 / parts for parts in range(2, workers + 1))]
    for share in shares:
        rooms = (int(node.cpus / share + 1e-9) for node in nodes)
        held = (
            min(room, int(node.gpus)) if gpus else room
            for room, node in zip(rooms, nodes, strict=True)
        )
        if sum(held) >= workers:
            return share
    raise EngineError(f"the cluster has no processors for {workers} workers")
