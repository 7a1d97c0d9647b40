"""What is computed together: rows that hang on one stem, packed until a limit is met.

Pure: nodes and numbers; no model, no tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import NamedTuple

from qwen_bench.engines.prefix_tree import Limb, PrefixTree, Stem, part_of

SLACK = 16
"""Most trunk tokens that a row holds again, so that rows whose forks are near form one group."""
SMALLEST = 32
"""Rows shorter than this count as equally long."""
FREE = 1 / 12
"""Most places left free in the buffers of rows, of those that hold tokens."""
SPARE = 5
"""What rows hold again and leave free together is at most the trunk divided by this."""


class Room(NamedTuple):
    """Limits.

    Attributes:
        rows: most limbs, and prompts that end on the stem, computed together.
        kv_tokens: most tokens whose keys and values are held for rows.
        positions: most logits of one forward.
        tokens: most tokens of one forward.
    """

    rows: int
    kv_tokens: int
    positions: int
    tokens: int


class Wish(NamedTuple):
    """An answer to generate.

    Attributes:
        number: which one.
        tokens: most tokens that are expected.
        most: most tokens that can come.
    """

    number: int
    tokens: int
    most: int


class Leaf(NamedTuple):
    """A row to decode.

    Attributes:
        wish: the answer.
        fork: tokens of the stem's path that it sees.
        path: its nodes behind the fork; empty when its prompt ends on the stem.
    """

    wish: Wish
    fork: int
    path: tuple[int, ...]


class Batch(NamedTuple):
    """What is decoded together.

    Attributes:
        passes: limbs that are read in one forward each.
        leaves: rows to decode, by fork.
    """

    passes: tuple[tuple[Limb, ...], ...]
    leaves: tuple[Leaf, ...]

    @property
    def rows(self) -> int:
        """Most sequences that are computed together."""
        return max(len(self.leaves), *(len(limbs) for limbs in self.passes), 0)


class _Packable(NamedTuple):
    """A limb, or a prompt that ends on the stem, and what is decoded from it."""

    fork: int
    limb: Limb | None
    leaves: tuple[Leaf, ...]
    reads: int

    @property
    def kv_tokens(self) -> int:
        """Most tokens held for decoding."""
        return sum(SLACK + len(leaf.path) + leaf.wish.tokens for leaf in self.leaves)


def pack(
    tree: PrefixTree,
    stem: Stem,
    wishes: Mapping[int, Sequence[Wish]],
    wanted: Mapping[int, object],
    room: Room,
) -> tuple[Batch, ...]:
    """Batches of what hangs on a stem, in order of forks; at least one, which may be empty.

    A limb that is too big alone is split by leaves; what its parts share is computed again.

    Args:
        tree: of the unit.
        stem: of the tree.
        wishes: answers to generate, by the node they start at.
        wanted: nodes whose logits are read.
        room: limits.
    """
    pieces = [
        _Packable(tree.depth(node), None, (Leaf(wish, tree.depth(node), ()),), 0)
        for node in stem.nodes
        for wish in wishes.get(node, ())
    ]
    pieces += [piece for limb in stem.limbs for piece in _pieces(tree, limb, wishes, wanted, room)]
    pieces.sort(key=lambda piece: piece.fork)
    groups: list[list[_Packable]] = [[]]
    kv_tokens = leaves = 0
    for piece in pieces:
        kv_tokens += piece.kv_tokens
        leaves += len(piece.leaves)
        if groups[-1] and (
            len(groups[-1]) >= room.rows or kv_tokens > room.kv_tokens or leaves > room.positions
        ):
            groups.append([])
            kv_tokens, leaves = piece.kv_tokens, len(piece.leaves)
        groups[-1].append(piece)
    return tuple(
        Batch(tuple(_passes(group, room)), tuple(leaf for piece in group for leaf in piece.leaves))
        for group in groups
    )


def chunks(stem: Stem, wanted: Mapping[int, object], room: Room) -> Iterator[tuple[int, ...]]:
    """Nodes of a stem, in order, as many as one forward may have.

    Args:
        stem: of the tree.
        wanted: nodes whose logits are read.
        room: limits.
    """
    start = reads = 0
    for place, node in enumerate(stem.nodes):
        reads += node in wanted
        if place > start and (place - start >= room.tokens or reads > room.positions):
            yield stem.nodes[start:place]
            start, reads = place, int(node in wanted)
    yield stem.nodes[start:]


def _passes(pieces: Sequence[_Packable], room: Room) -> Iterator[tuple[Limb, ...]]:
    """Limbs in order, some at a time."""
    together: list[Limb] = []
    tokens = reads = 0
    for piece in pieces:
        if piece.limb is None:
            continue
        tokens += len(piece.limb.nodes)
        reads += piece.reads
        if together and (tokens > room.tokens or reads > room.positions):
            yield tuple(together)
            together, tokens, reads = [], len(piece.limb.nodes), piece.reads
        together.append(piece.limb)
    if together:
        yield tuple(together)


def _pieces(
    tree: PrefixTree,
    limb: Limb,
    wishes: Mapping[int, Sequence[Wish]],
    wanted: Mapping[int, object],
    room: Room,
) -> Iterator[_Packable]:
    """The limb whole, or in parts that each keep the limits if a part can."""
    reads = [node for node in limb.nodes if node in wanted]
    whole = _Packable(limb.fork, limb, _leaves(tree, limb, reads, wishes), len(reads))
    if not _too_big(whole, room):
        yield whole
        return
    ends: list[int] = []
    held: _Packable | None = None
    for node in reads:
        more = _part(tree, limb, [*ends, node], wishes, wanted)
        if held is not None and _too_big(more, room):
            yield held
            ends = []
            more = _part(tree, limb, [node], wishes, wanted)
        ends.append(node)
        held = more
    if held is not None:
        yield held


def _too_big(piece: _Packable, room: Room) -> bool:
    """Whether a piece breaks a limit that a smaller one would keep."""
    much = piece.kv_tokens > room.kv_tokens and len(piece.leaves) > 1
    return much or piece.reads > room.positions


def _part(
    tree: PrefixTree,
    limb: Limb,
    ends: Sequence[int],
    wishes: Mapping[int, Sequence[Wish]],
    wanted: Mapping[int, object],
) -> _Packable:
    """What leads to `ends`, with the answers that start there."""
    part = part_of(tree, limb, ends)
    reads = sum(node in wanted for node in part.nodes)
    return _Packable(limb.fork, part, _leaves(tree, limb, ends, wishes), reads)


def _leaves(
    tree: PrefixTree, limb: Limb, ends: Sequence[int], wishes: Mapping[int, Sequence[Wish]]
) -> tuple[Leaf, ...]:
    """Answers that start at some nodes of a limb."""
    return tuple(
        Leaf(wish, limb.fork, tree.path(end, limb.fork))
        for end in ends
        for wish in wishes.get(end, ())
    )


def align(forks: Sequence[int], most: float = inf) -> list[int]:
    """For each fork, ascending, a depth not above it and less than `SLACK` + 1 below.

    Rows of one depth attend to the trunk together; what a row sees between the depth and its own
    fork is held with the row.

    >>> align([30, 31, 33, 60, 60])
    [30, 30, 30, 60, 60]
    >>> align([30, 31, 33, 60, 60], most=2)
    [30, 30, 33, 60, 60]

    Args:
        forks: of the rows.
        most: tokens that all rows together may hold so.
    """
    slack = SLACK
    while True:
        depths: list[int] = []
        for fork in forks:
            near = bool(depths) and fork - depths[-1] <= slack
            depths.append(depths[-1] if near else fork)
        if sum(forks) - sum(depths) <= most:
            return depths
        slack //= 2


def alike(widths: Sequence[int], expected: int, spare: float = inf) -> list[list[int]]:
    """Places of rows that share a buffer, widest first; few buffers, and few places left free.

    >>> alike([20, 8, 19, 21, 8], expected=8)
    [[3, 0, 2], [1, 4]]
    >>> alike([20, 8, 19, 21, 8], expected=8, spare=1)
    [[3], [0], [2], [1, 4]]

    Args:
        widths: tokens of each row.
        expected: tokens that each will have in addition.
        spare: places that all buffers together may leave free.
    """
    total = sum(widths) + expected * len(widths)
    share = min(FREE, spare / total) if total else FREE
    groups: list[list[int]] = []
    held = free = widest = 0
    for place in sorted(range(len(widths)), key=lambda place: -widths[place]):
        width = widths[place]
        held, free = held + width + expected, free + widest - width
        if not groups or free > share * held:
            groups.append([])
            held, free, widest = width + expected, 0, width
        groups[-1].append(place)
    return groups


def width_class(tokens: int) -> int:
    """Rows of one class are padded to the longest of them inside attention: below twice as long.

    >>> [width_class(tokens) for tokens in (0, 32, 33, 64, 65)]
    [0, 0, 1, 1, 2]
    """
    return max(0, (tokens - 1).bit_length() - (SMALLEST - 1).bit_length()) if tokens else 0
