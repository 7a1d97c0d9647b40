"""The last lines of a run: tokens and sharing, then memory and speed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def efficiency_lines(label: str, efficiency: Mapping[str, Any] | None) -> list[str]:
    """Work of a run in at most two lines; none where nothing went through a model.

    Args:
        label: of the model.
        efficiency: counters of all invocations; what is null is unknown, never 0.
    """
    counters = efficiency or {}
    naive, forward = counters.get("naive_tokens"), counters.get("forward_tokens", 0)
    if not naive or forward == 0:
        return []
    computed = "unknown" if forward is None else short_tokens(forward)
    tokens = [f"{computed} forward for {short_tokens(naive)} naive", *_said(counters, _TOKENS)]
    lines = [f"{label}  tokens  {' · '.join(tokens)}"]
    work = _said(counters, _WORK)
    return [*lines, f"{label}  work    {' · '.join(work)}"] if work else lines


def short_tokens(tokens: float) -> str:
    """A token count in millions, or as it is when small.

    >>> short_tokens(311_900), short_tokens(11_900)
    ('0.31 M', '11,900')
    """
    return f"{tokens / 1e6:.2f} M" if tokens >= 100_000 else f"{tokens:,.0f}"


def short_size(count: float) -> str:
    """Bytes in megabytes or gigabytes."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _rate(number: float) -> str:
    """A rate without needless digits."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _times(number: float) -> str:
    """Once, or how many times."""
    return "once" if number == 1 else f"{number:,.0f} times"


# Counters and how each is said; one that is 0 or unknown is left out.
_TOKENS: Mapping[str, Callable[[float], str]] = {
    "sharing_ratio": lambda ratio: f"sharing {ratio:.1f} x",
    "decoded_tokens": lambda tokens: f"{short_tokens(tokens)} decoded",
    "padding_tokens": lambda tokens: f"{short_tokens(tokens)} padding",
    "recomputed_tokens": lambda tokens: f"{short_tokens(tokens)} recomputed",
}
_WORK: Mapping[str, Callable[[float], str]] = {
    "peak_memory_bytes": lambda size: f"peak {short_size(size)}",
    "peak_kv_bytes": lambda size: f"K/V {short_size(size)}",
    "tokens_per_second": lambda rate: f"{_rate(rate)} tokens/s",
    "answers_per_second": lambda rate: f"{_rate(rate)} answers/s",
    "oom_splits": lambda number: f"out of memory {_times(number)}, then less at once",
    "retries": lambda number: f"sent again {_times(number)}",
}


def _said(counters: Mapping[str, Any], ways: Mapping[str, Callable[[float], str]]) -> list[str]:
    """The counters that are known and not 0, in words."""
    return [say(counters[name]) for name, say in ways.items() if counters.get(name)]
