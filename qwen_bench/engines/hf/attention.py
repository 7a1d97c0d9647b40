"""Two-part attention: what rows share is read where it lies, what is their own is added exactly.

A model in which every layer attends to everything before it is given packed tokens without any
padding and without a mask. Each layer hands its queries, keys and values to the pass that is under
way. A pass attends in parts (the shared trunk, then the tokens of the row itself) and merges them
by their log-sum-exps, so the keys of the trunk exist once, however many rows look at them. Knows
tensors and places; nothing of trees and requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from transformers import AttentionInterface

from qwen_bench.engines.hf.buffers import RowBuffer, Trunk
from qwen_bench.engines.hf.kernels import Attend, Attended, merge_into

NAME = "qwen_bench_two_part"
"""Attention implementation; having no entry among the mask functions, it gets no mask built."""


class Heads(NamedTuple):
    """What a layer gives.

    Attributes:
        query: (1, query heads, tokens, head size), positions applied.
        key: (1, key/value heads, tokens, head size), positions applied.
        value: as `key`.
        scale: factor of the scores.
    """

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    scale: float


class Pass(Protocol):
    """One forward through all layers."""

    def __call__(self, layer: int, given: Heads) -> torch.Tensor:
        """Attention of one layer, (1, tokens, query heads, head size)."""
        ...


def two_part(
    module: Any,  # noqa: ANN401 - a transformers attention layer
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    sharing: Pass | None = None,
    **others: Any,  # noqa: ANN401 - signature of transformers
) -> tuple[torch.Tensor, None]:
    """The function that transformers calls in each layer.

    Raises:
        ValueError: the layer wants something that this does not do.
    """
    for name in ("softcap", "s_aux", "sliding_window"):
        if others.get(name) is not None:
            raise ValueError(f"two-part attention does not know {name}")
    if sharing is None or attention_mask is not None:
        raise ValueError("two-part attention needs a pass and no mask")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return sharing(module.layer_idx, Heads(query, key, value, scale)), None


AttentionInterface.register(NAME, two_part)


class StemPass:
    """Reads the next tokens of the trunk: causal among themselves, all earlier tokens in full."""

    def __init__(self, trunk: Trunk, attend: Attend) -> None:
        self._trunk = trunk
        self._attend = attend

    def __call__(self, layer: int, given: Heads) -> torch.Tensor:
        """See `Pass`; writes keys and values behind the trunk's."""
        query, key, value, scale = given
        before = self._trunk.length
        self._trunk.write(layer, key, value)
        found = self._attend(query, key, value, causal=True, scale=scale)
        own = Attended(found.out[0].transpose(0, 1), found.lse[0].transpose(0, 1))
        whole = [TrunkSegment(0, query.shape[2], before)]
        _add_trunk(own, layer, given, self._trunk, attend=self._attend, segments=whole)
        return own.out[None]


class TrunkSegment(NamedTuple):
    """Packed tokens that attend to the same part of the trunk.

    Attributes:
        start: first of them.
        end: one past the last.
        depth: trunk tokens they see; 0 for none.
    """

    start: int
    end: int
    depth: int


class Keeping(NamedTuple):
    """Keys and values to keep for decoding.

    Attributes:
        buffer: where.
        places: (tokens,) places in the buffer, rows one after the other.
        sources: (tokens,) which of the keys of the pass.
    """

    buffer: RowBuffer
    places: torch.Tensor
    sources: torch.Tensor


class Limbs(NamedTuple):
    """Rows of similar length whose own parts are computed together.

    Attributes:
        queries: (rows * width,) packed tokens, padded with any.
        sources: (rows * keys,) keys of the pass, padded with any.
        mask: (rows, 1, width, keys), 0 where a token sees a key, else -inf.
        places: (tokens,) where the packed tokens of these rows are among `queries`.
    """

    queries: torch.Tensor
    sources: torch.Tensor
    mask: torch.Tensor
    places: torch.Tensor


class LimbPass:
    """Reads rows that hang on the trunk, packed one after the other.

    Args:
        trunk: what they hang on.
        attend: kernel.
        segments: cover all tokens in order.
        limbs: cover all rows in order.
        borrowed: (keys,) trunk places that are keys of this pass too, behind its own.
        keeping: what decoding needs later.
    """

    def __init__(
        self,
        trunk: Trunk,
        attend: Attend,
        *,
        segments: Sequence[TrunkSegment],
        limbs: Sequence[Limbs],
        borrowed: torch.Tensor | None,
        keeping: Sequence[Keeping],
    ) -> None:
        self._trunk = trunk
        self._attend = attend
        self._segments = segments
        self._limbs = limbs
        self._borrowed = borrowed
        self._keeping = keeping

    def __call__(self, layer: int, given: Heads) -> torch.Tensor:
        """See `Pass`."""
        queries, keys, values = (part[0].transpose(0, 1) for part in given[:3])
        if self._borrowed is not None:
            more = self._trunk.take(layer, self._borrowed)
            keys, values = torch.cat([keys, more[0]]), torch.cat([values, more[1]])
        for kept in self._keeping:
            kept.buffer.keep(layer, keys, values, kept.places, kept.sources)
        parts = [self._own(limbs, queries, keys, values, given.scale) for limbs in self._limbs]
        own = parts[0] if len(parts) == 1 else Attended(*map(torch.cat, zip(*parts, strict=True)))
        _add_trunk(own, layer, given, self._trunk, attend=self._attend, segments=self._segments)
        return own.out[None]

    def _own(
        self,
        limbs: Limbs,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        scale: float,
    ) -> Attended:
        """Attention inside rows: (tokens, query heads, head size) and (tokens, query heads)."""
        rows, _, width, _ = limbs.mask.shape

        def unpacked(part: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
            return part.index_select(0, index).view(rows, -1, *part.shape[1:]).transpose(1, 2)

        padded = self._attend(
            unpacked(queries, limbs.queries),
            unpacked(keys, limbs.sources),
            unpacked(values, limbs.sources),
            mask=limbs.mask,
            scale=scale,
        )
        out = padded.out.transpose(1, 2).reshape(rows * width, *queries.shape[1:])
        lse = padded.lse.transpose(1, 2).reshape(rows * width, -1)
        return Attended(out.index_select(0, limbs.places), lse.index_select(0, limbs.places))


class BufferRows(NamedTuple):
    """Rows that share a buffer.

    Attributes:
        buffer: their keys and values.
        places: (rows,) which of all rows they are.
    """

    buffer: RowBuffer
    places: torch.Tensor


class DecodePass:
    """One token of every row: its own tokens so far, and the trunk up to its fork.

    Args:
        trunk: what the rows hang on.
        attend: kernel.
        segments: cover all rows in order.
        buffers: hold all rows.
    """

    def __init__(
        self,
        trunk: Trunk,
        attend: Attend,
        *,
        segments: Sequence[TrunkSegment],
        buffers: Sequence[BufferRows],
    ) -> None:
        self._trunk = trunk
        self._attend = attend
        self._segments = segments
        self._buffers = buffers

    def __call__(self, layer: int, given: Heads) -> torch.Tensor:
        """See `Pass`; writes keys and values behind those of each row."""
        queries, keys, values = (part[0].transpose(0, 1) for part in given[:3])
        tokens, heads, size = queries.shape
        own = Attended(
            queries.new_empty((tokens, heads, size)),
            queries.new_empty((tokens, heads), dtype=torch.float32),
        )
        for buffer, places in self._buffers:
            held_keys, held_values, mask = buffer.append(
                layer, keys.index_select(0, places), values.index_select(0, places)
            )
            # Query heads of one key head are neighbours, so they can stand in for tokens.
            folded = queries.index_select(0, places).view(len(places), keys.shape[1], -1, size)
            if mask is not None:
                mask = mask.expand(-1, -1, folded.shape[2], -1)
            found = self._attend(folded, held_keys, held_values, mask=mask, scale=given.scale)
            own.out.index_copy_(0, places, found.out.reshape(-1, heads, size))
            own.lse.index_copy_(0, places, found.lse.reshape(-1, heads))
        _add_trunk(own, layer, given, self._trunk, attend=self._attend, segments=self._segments)
        return own.out[None]


def _add_trunk(
    own: Attended,
    layer: int,
    given: Heads,
    trunk: Trunk,
    *,
    attend: Attend,
    segments: Sequence[TrunkSegment],
) -> None:
    """Add to `own`, in place, what each segment sees of the trunk; a part without keys is left out.

    The query heads of one key head are folded into the token axis, which is right because there is
    no mask: each key is then read once for all of them.

    Args:
        own: by token.
        layer: number of the layer.
        given: by the layer.
        trunk: keys and values.
        attend: kernel.
        segments: of the tokens.
    """
    for start, end, depth in segments:
        if not depth:
            continue
        keys, values = trunk.read(layer, depth)
        query = given.query[:, :, start:end]
        _, heads, tokens, size = query.shape
        folded = query.reshape(1, keys.shape[1], -1, size)
        found = attend(folded, keys, values, mask=None, scale=given.scale)
        out = found.out.reshape(heads, tokens, size).transpose(0, 1)
        lse = found.lse.reshape(heads, tokens).transpose(0, 1)
        merge_into(Attended(own.out[start:end], own.lse[start:end]), Attended(out, lse))
