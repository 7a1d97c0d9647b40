"""Rows as index tensors: which token attends to which, and what decoding keeps.

Built once for a forward, used in every layer. Knows limbs, leaves and tensors of places; nothing of
requests and models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch

from qwen_bench.engines.hf.attention import (
    BufferRows,
    DecodePass,
    Keeping,
    LimbPass,
    Limbs,
    TrunkSegment,
)
from qwen_bench.engines.hf.buffers import RowBuffer, Trunk
from qwen_bench.engines.hf.kernels import Attend
from qwen_bench.engines.hf.packing import SPARE, Leaf, align, alike, width_class
from qwen_bench.engines.prefix_tree import Limb


class PlacedLeaf(NamedTuple):
    """A row to decode.

    Attributes:
        leaf: the row.
        depth: tokens of the trunk that it sees where they lie.
    """

    leaf: Leaf
    depth: int

    @property
    def width(self) -> int:
        """Tokens it holds itself before decoding: of the trunk behind `depth`, then its own."""
        return self.leaf.fork - self.depth + len(self.leaf.path)


@dataclass(slots=True)
class Held:
    """Rows of similar width and their keys and values."""

    buffer: RowBuffer
    rows: list[PlacedLeaf]

    @property
    def starts(self) -> list[int]:
        """For each row the place of its first token in the buffer, rows one after the other."""
        columns, filled = self.buffer.columns, self.buffer.filled
        return [place * columns + filled - row.width for place, row in enumerate(self.rows)]

    def select(self, places: list[int]) -> None:
        """Forget all other rows."""
        self.rows = [self.rows[place] for place in places]
        self.buffer.select(places)


class Packed(NamedTuple):
    """Limbs as one sequence.

    Attributes:
        nodes: in the order in which they are read.
        sharing: what their layers attend to.
    """

    nodes: tuple[int, ...]
    sharing: LimbPass


def hold(
    leaves: Sequence[Leaf], trunk: Trunk, layers: int, device: torch.device, dtype: torch.dtype
) -> list[Held]:
    """Buffers for rows to decode, by width; what they see of the trunk behind it is in them.

    Args:
        leaves: by fork.
        trunk: what they hang on.
        layers: of the model.
        device: of the model.
        dtype: of the model.
    """
    forks = [leaf.fork for leaf in leaves]
    spare = trunk.length // SPARE
    depths = align(forks, spare // 2)
    spare -= sum(forks) - sum(depths)
    placed = [PlacedLeaf(leaf, depth) for leaf, depth in zip(leaves, depths, strict=True)]
    expected = max((leaf.wish.tokens for leaf in leaves), default=0)
    found = []
    for group in alike([row.width for row in placed], expected, spare):
        rows = [placed[place] for place in sorted(group)]
        buffer = RowBuffer(
            [row.width for row in rows],
            expected=max(row.leaf.wish.tokens for row in rows),
            most=max(row.leaf.wish.most for row in rows),
            device=device,
            dtype=dtype,
        )
        held = Held(buffer, rows)
        _borrow(held, trunk, layers, device)
        found.append(held)
    return found


def decoding(
    held: Sequence[Held], trunk: Trunk, attend: Attend, device: torch.device
) -> tuple[list[PlacedLeaf], DecodePass]:
    """All rows by depth, and what their layers attend to until one of them is done.

    Args:
        held: rows.
        trunk: what they hang on.
        attend: kernel.
        device: of the model.
    """
    rows = [row for item in held for row in item.rows]
    order = sorted(range(len(rows)), key=lambda place: rows[place].depth)
    place_of = {row: place for place, row in enumerate(order)}
    buffers, start = [], 0
    for item in held:
        end = start + len(item.rows)
        places = torch.tensor([place_of[row] for row in range(start, end)], device=device)
        buffers.append(BufferRows(item.buffer, places))
        start = end
    packed = [rows[place] for place in order]
    sharing = DecodePass(
        trunk, attend, segments=segments((1, row.depth) for row in packed), buffers=buffers
    )
    return packed, sharing


def _borrow(held: Held, trunk: Trunk, layers: int, device: torch.device) -> None:
    """Copy what rows see of the trunk behind their depth."""
    places: list[int] = []
    sources: list[int] = []
    for row, start in zip(held.rows, held.starts, strict=True):
        between = range(row.depth, row.leaf.fork)
        places += range(start, start + len(between))
        sources += between
    if not places:
        return
    where = torch.tensor(places, device=device)
    from_trunk = torch.tensor(sources, device=device)
    every = torch.arange(len(places), device=device)
    for layer in range(layers):
        keys, values = trunk.take(layer, from_trunk)
        held.buffer.keep(layer, keys, values, where, every)


def segments(rows: Iterable[tuple[int, int]]) -> list[TrunkSegment]:
    """Neighbours of one depth as one segment, from (tokens, depth) of each row in order.

    >>> segments([(3, 8), (2, 8), (4, 0)])
    [TrunkSegment(start=0, end=5, depth=8), TrunkSegment(start=5, end=9, depth=0)]
    """
    found: list[TrunkSegment] = []
    start = 0
    for tokens, depth in rows:
        end = start + tokens
        if found and found[-1].depth == depth:
            found[-1] = found[-1]._replace(end=end)
        else:
            found.append(TrunkSegment(start, end, depth))
        start = end
    return found


class _Row(NamedTuple):
    """A limb at its place in a packed sequence."""

    limb: Limb
    depth: int
    start: int


def pack_limbs(
    limbs: Sequence[Limb],
    trunk: Trunk,
    attend: Attend,
    *,
    held: Sequence[Held],
    device: torch.device,
    dtype: torch.dtype,
) -> Packed:
    """Limbs one after the other, those of similar length together.

    Args:
        limbs: by fork.
        trunk: what they hang on.
        attend: kernel.
        held: rows to decode; those of these limbs are kept.
        device: of the model.
        dtype: of the model.
    """
    depths = align([limb.fork for limb in limbs])
    pairs = sorted(
        zip(limbs, depths, strict=True), key=lambda pair: (width_class(len(pair[0].nodes)), pair[1])
    )
    rows, start = [], 0
    for limb, depth in pairs:
        rows.append(_Row(limb, depth, start))
        start += len(limb.nodes)
    between = {place: None for row in rows for place in range(row.depth, row.limb.fork)}
    borrowed = {place: start + order for order, place in enumerate(between)}
    nodes = tuple(node for row in rows for node in row.limb.nodes)
    sharing = LimbPass(
        trunk,
        attend,
        segments=segments((len(row.limb.nodes), row.depth) for row in rows),
        limbs=[
            _limbs(list(group), borrowed, device, dtype)
            for _, group in groupby(rows, key=lambda row: width_class(len(row.limb.nodes)))
        ],
        borrowed=torch.tensor(list(between), device=device) if between else None,
        keeping=_keeping(nodes, held, device),
    )
    return Packed(nodes, sharing)


def _limbs(
    rows: Sequence[_Row], borrowed: dict[int, int], device: torch.device, dtype: torch.dtype
) -> Limbs:
    """Index tensors of rows that are padded to one width inside attention."""
    width = max(len(row.limb.nodes) for row in rows)
    keys = max(row.limb.fork - row.depth + len(row.limb.nodes) for row in rows)
    queries: list[int] = []
    sources: list[int] = []
    order: list[int] = []
    ends: list[int] = []
    places: list[int] = []
    for place, (limb, depth, start) in enumerate(rows):
        size, before = len(limb.nodes), limb.fork - depth
        free = keys - before - size
        own = range(start, start + size)
        queries += [*own, *[start] * (width - size)]
        sources += [*(borrowed[at] for at in range(depth, limb.fork)), *own, *[start] * free]
        order += [*[-1] * before, *range(size), *[width] * free]
        ends += [*[width] * before, *limb.ends, *[0] * free]
        places += range(place * width, place * width + size)
    shape = (len(rows), 1, keys)
    first = torch.tensor(order, device=device).view(shape)
    last = torch.tensor(ends, device=device).view(shape)
    query = torch.arange(width, device=device)[:, None]
    # Depth-first order: the descendants of node j are the nodes from j to ends[j].
    visible = (first <= query) & (query < last)
    visible[..., 0] |= ~visible.any(-1)  # pads see something, so that they are numbers
    mask = torch.zeros(visible.shape, dtype=dtype, device=device)
    mask.masked_fill_(~visible, float("-inf"))
    return Limbs(
        torch.tensor(queries, device=device),
        torch.tensor(sources, device=device),
        mask[:, None],
        torch.tensor(places, device=device),
    )


def _keeping(nodes: Sequence[int], held: Sequence[Held], device: torch.device) -> list[Keeping]:
    """What of a packed sequence rows to decode need."""
    place_of = {node: place for place, node in enumerate(nodes)}
    found = []
    for item in held:
        places: list[int] = []
        sources: list[int] = []
        for row, start in zip(item.rows, item.starts, strict=True):
            path = row.leaf.path
            if path and path[-1] in place_of:
                end = start + row.width
                places += range(end - len(path), end)
                sources += (place_of[node] for node in path)
        if places:
            found.append(
                Keeping(
                    item.buffer,
                    torch.tensor(places, device=device),
                    torch.tensor(sources, device=device),
                )
            )
    return found
