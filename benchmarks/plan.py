"""What is measured: pairs of us and a peer, and grids on which only we are measured.

`quoted` is what the targets need and fits in 35 minutes with five pairs; `more` takes longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks import grids

Tier = Literal["quoted", "more"]
PAIRS = 5
TINY = "qwen3-tiny"


@dataclass(frozen=True, slots=True)
class Pair:
    """Us against one setting of one peer.

    Attributes:
        peer: script of the peer, without folder and ending.
        most_pairs: fewer than the usual where only equality is wanted; such pairs give no ratio.
        estimate: seconds of one pair, process starts included, on one core of a 2025 server.
    """

    peer: str
    setting: str
    grid: str
    estimate: int
    mode: str = "generate"
    model: str = TINY
    tier: Tier = "quoted"
    most_pairs: int = PAIRS

    @property
    def name(self) -> str:
        """Names the pair in files."""
        return f"{self.peer}_{self.setting}_{self.mode}_{self.grid}_{self.model}"


@dataclass(frozen=True, slots=True)
class Alone:
    """Us on one grid.

    Attributes:
        runs: fewer than the usual where only counters are wanted.
        estimate: seconds of one run.
    """

    grid: str
    estimate: int = 7
    runs: int = PAIRS
    tier: Tier = "quoted"

    @property
    def name(self) -> str:
        """Names the measurement in files."""
        return f"ours_generate_{self.grid}_{TINY}"


PAIRED: tuple[Pair, ...] = (
    Pair("peer_llama_cpp", "f32", "G140", 11),
    Pair("peer_lm_eval", "batch-1", "G140", 29, "rank"),
    Pair("peer_generate", "single", "G140", 28),
    Pair("peer_vllm_cpu", "cold", "G140", 27),
    Pair("peer_vllm_cpu", "block-32", "G140", 27),
    Pair("peer_vllm_cpu", "cold", "G180", 36),
    Pair("peer_generate", "single", "control-1", 16),
    Pair("peer_generate", "single", "control-0", 15),
    Pair("peer_llama_cpp", "default", "G140", 11),
    Pair("peer_lm_eval", "batch-8", "G140", 32, "rank"),
    Pair("peer_generate", "batch", "G140", 33),
    Pair("peer_vllm_cpu", "cache-reading", "G140", 27, "rank"),
    Pair("peer_generate", "single", "G180", 150, most_pairs=1),
    Pair("peer_vllm_cpu", "primed", "G140", 27, tier="more"),
    Pair("peer_vllm_cpu", "primed", "G180", 36, tier="more"),
    Pair("peer_vllm_cpu", "cold", "G140", 40, "rank", tier="more"),
    Pair("peer_lm_eval", "batch-1", "G140", 29, tier="more"),
    Pair("peer_lm_eval", "batch-8", "G140", 32, tier="more"),
    *(
        Pair(peer, setting, grid, 16, mode, tier="more")
        for grid in ("control-1", "control-0")
        for peer, setting, mode in (
            ("peer_lm_eval", "batch-1", "rank"),
            ("peer_llama_cpp", "f32", "generate"),
            ("peer_vllm_cpu", "cold", "generate"),
        )
    ),
    Pair("peer_generate", "single", "probes-1", 14, tier="more"),
    Pair("peer_generate", "single", "probes-5", 17, tier="more"),
    Pair("peer_generate", "single", "probes-10", 21, tier="more"),
    Pair("peer_generate", "single", "probes-40", 43, tier="more"),
    Pair("peer_llama_cpp", "f32", "G140", 30, model="qwen3-deep", tier="more"),
    Pair("peer_lm_eval", "batch-1", "G140", 70, "rank", "qwen3-deep", tier="more"),
    Pair("peer_generate", "single", "G140", 75, model="qwen3-deep", tier="more"),
    Pair("peer_llama_cpp", "f32", "real", 80, model="smollm2", tier="more"),
    Pair("peer_generate", "single", "real", 200, model="smollm2", tier="more"),
    Pair("peer_lm_eval", "batch-1", "real", 800, "rank", "smollm2", tier="more", most_pairs=1),
)
UNPAIRED: tuple[Alone, ...] = (
    *(Alone(f"growth-{turns}") for turns in grids.GROWTH),
    *(Alone(f"doubling-{turns}") for turns in grids.GROWTH if turns >= 32),
    *(Alone(f"dialogues-{count}", estimate=8, runs=1) for count in grids.MANY),
)
