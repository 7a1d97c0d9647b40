"""Whether workers would give the same answers, and what they say of themselves together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from qwen_bench.engines.ray.worker import Opened
from qwen_bench.errors import EngineError
from qwen_bench.protocol import Identity
from qwen_bench.record.counters import Counters
from qwen_bench.record.marks import marked_fields

_OF_ONE = {"peak_kv_bytes", "peak_memory_bytes", "rows_max", "load_seconds"}


def refuse_difference(first: Opened, other: Opened) -> None:
    """Do nothing when two workers agree in everything that changes answers.

    Raises:
        EngineError: they differ, in weights, number format, template, generation or versions.
    """
    before, after = _decisive(first), _decisive(other)
    differing = [name for name in sorted(before | after) if before.get(name) != after.get(name)]
    if differing:
        raise EngineError(
            "the workers would not give the same answers",
            why=[f"{name}  {before.get(name)}  /  {after.get(name)}" for name in differing],
            fix="the same files, the same packages and the same kind of device on every node",
        )


def joint_identity(opened: Sequence[Opened]) -> Identity:
    """One account of workers that agree: that of the first, how many they are, all warnings.

    Strategies may differ where nodes differ; that changes answers in near-ties only, so it is a
    warning too.
    """
    identity = opened[0].identity
    strategies = sorted({str(item.identity.engine.prefix_sharing) for item in opened})
    warnings = [line for item in opened for line in item.identity.warnings]
    if len(strategies) > 1:
        warnings.append(f"the workers compute in different ways: {', '.join(strategies)}")
    engine = identity.engine.model_copy(update={"replicas": len(opened)})
    return replace(identity, engine=engine, warnings=tuple(dict.fromkeys(warnings)))


def joint_counters(parts: Sequence[Counters]) -> Counters:
    """Counters of several workers together: sums; peaks and loading are those of one worker."""
    total = Counters()
    for name in (item.name for item in fields(Counters)):
        values = [getattr(part, name) for part in parts]
        setattr(total, name, max(values, default=0) if name in _OF_ONE else sum(values))
    return total


def _decisive(opened: Opened) -> dict[str, Any]:
    """What must be equal, by dotted name."""
    torch = getattr(opened.identity.engine, "torch", None)
    found: dict[str, Any] = {"qwen-bench": opened.version, "engine.torch": torch}
    for name in ("model", "template", "generation", "engine"):
        section = getattr(opened.identity, name)
        found |= {
            f"{name}.{field.path}": field.read(section)
            for field in marked_fields(section)
            if field.mark.workers
        }
    return found
