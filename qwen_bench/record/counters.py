"""Counters of the work that answering takes, of one engine or of several together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

_MAXIMA = frozenset({"peak_kv_bytes", "peak_memory_bytes", "rows_max"})
_RATIOS = {
    "sharing_ratio": ("naive_tokens", "forward_tokens"),
    "tokens_per_second": ("forward_tokens", "seconds"),
    "answers_per_second": ("requests", "seconds"),
}


@dataclass(slots=True)
class Counters:
    """Counters of the work done so far; names and definitions as in `summary.json`.

    Attributes:
        naive_tokens: tokens a runner without sharing would put through the model: prompt +
            generated - 1 per generate, sum over candidates of prompt + candidate per rank.
        tree_tokens: distinct nodes of the prefix trees, candidates included.
        decoded_tokens: generated tokens fed back.
        forward_tokens: `input_ids.numel()` at the single place that calls the model; None where a
            server does not tell.
        padding_tokens: pads fed.
        recomputed_tokens: tree nodes fed again.
        peak_kv_bytes: most bytes of keys and values (and running states) held at one time.
        peak_memory_bytes: device maximum, on CPU the process maximum, weights included.
        rows_max: most sequences computed together.
        oom_splits: times that memory ran out and less was computed together afterwards.
        retries: requests sent again to a server, or units given to another worker.
        seconds: wall time inside `answer`, model load excluded.
        cpu_seconds: processor time of this process inside `answer`.
        encode_seconds: wall time of rendering and encoding prompts.
        trunk_seconds: wall time of reading what prompts share.
        rows_seconds: wall time of reading questions and candidates.
        decode_seconds: wall time of generating answers.
    """

    requests: int = 0
    naive_tokens: int = 0
    tree_tokens: int = 0
    decoded_tokens: int = 0
    forward_tokens: int | None = 0
    padding_tokens: int = 0
    recomputed_tokens: int = 0
    peak_kv_bytes: int = 0
    peak_memory_bytes: int = 0
    rows_max: int = 0
    oom_splits: int = 0
    retries: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    encode_seconds: float = 0.0
    trunk_seconds: float = 0.0
    rows_seconds: float = 0.0
    decode_seconds: float = 0.0
    load_seconds: float = 0.0

    def put_through(self, tokens: int) -> None:
        """Count tokens that went through the model."""
        self.forward_tokens = (self.forward_tokens or 0) + tokens

    @property
    def sharing_ratio(self) -> float | None:
        """Naive tokens for each token that really went through the model; None before any."""
        return self.naive_tokens / self.forward_tokens if self.forward_tokens else None

    @property
    def tokens_per_second(self) -> float | None:
        """Forward tokens per second of answering; None before any."""
        return self.forward_tokens / self.seconds if self.seconds and self.forward_tokens else None

    @property
    def answers_per_second(self) -> float | None:
        """Replies per second of answering; None before any."""
        return self.requests / self.seconds if self.seconds and self.requests else None

    def as_dict(self) -> dict[str, float | int | None]:
        """Counters and the ratios made of them, for `summary.json`."""
        counters: dict[str, float | int | None] = {
            item.name: getattr(self, item.name) for item in fields(self)
        }
        return counters | {
            "sharing_ratio": self.sharing_ratio,
            "tokens_per_second": self.tokens_per_second,
            "answers_per_second": self.answers_per_second,
        }


def total_counters(accounts: Sequence[Mapping[str, Any]]) -> dict[str, float | int | None]:
    """All accounts together: peaks are maxima, ratios are made of the sums, the rest are sums.

    A counter that one account does not know is unknown in the total, never counted as 0. Works on
    what `Counters.as_dict` gives, as `manifest.json` keeps it; a file of an older version may know
    fewer counters.

    Args:
        accounts: at least one, each with the counters of one process.
    """
    names = sorted({name for account in accounts for name in account} - set(_RATIOS))
    total: dict[str, float | int | None] = {}
    for name in names:
        values = [account.get(name) for account in accounts]
        known = [value for value in values if value is not None]
        together = max if name in _MAXIMA else sum
        total[name] = together(known) if len(known) == len(values) else None
    for name, (above, below) in _RATIOS.items():
        upper, lower = total.get(above), total.get(below)
        total[name] = upper / lower if upper and lower else None
    return total
