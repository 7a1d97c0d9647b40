"""How many tokens a prompt and its answer may have together: what a checkpoint configures.

Reads numbers of a configuration; knows no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def configured_window(positions: object, rope: object) -> int | None:
    """Tokens that a checkpoint is made for; None where its configuration does not say.

    YaRN reaches its factor times the window of the training, which `max_position_embeddings` may or
    may not name already. Other scalings are in that number by the habit of those who set them.

    >>> yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    >>> configured_window(32768, yarn), configured_window(131072, yarn), configured_window(512, {})
    (131072, 131072, 512)

    Args:
        positions: `max_position_embeddings`.
        rope: `rope_parameters`, or `rope_scaling` of older files; by kind of layer or not.
    """
    limits = [positions] if isinstance(positions, int) else []
    for one in _parameters(rope):
        factor, trained = one.get("factor"), one.get("original_max_position_embeddings", positions)
        if _kind(one) == "yarn" and isinstance(factor, int | float) and isinstance(trained, int):
            limits.append(round(factor * trained))
    return max(limits, default=0) or None


def shared_window(positions: object, rope: object) -> int | None:
    """Tokens up to which the place of a token does not depend on how long its prompt is.

    Dynamic NTK and LongRoPE turn all tokens of a prompt otherwise once it is longer than this, so
    prompts of different lengths have nothing in common there. None without such a limit.

    >>> shared_window(32768, {"rope_type": "dynamic", "factor": 2.0})
    32768
    """
    limits = []
    for one in _parameters(rope):
        if _kind(one) == "dynamic":
            limits.append(positions)
        elif _kind(one) == "longrope":
            limits.append(one.get("original_max_position_embeddings", positions))
    return min((limit for limit in limits if isinstance(limit, int)), default=None)


def _parameters(rope: object) -> Iterator[Mapping[str, Any]]:
    """The scalings that are configured: one, or one for each kind of layer."""
    if isinstance(rope, Mapping):
        if _kind(rope) is not None:
            yield rope
        yield from (one for one in rope.values() if isinstance(one, Mapping))


def _kind(rope: Mapping[str, Any]) -> object:
    return rope.get("rope_type", rope.get("type"))
