"""Tree attention: all branches of a unit in one sequence, for models with full attention only.

The trunk is read once. Everything that hangs on it, questions and candidates, is packed into one
sequence; a mask lets each token see the trunk up to its fork, its ancestors, and itself, and its
position id is its depth in the tree. Nothing is padded or computed twice. Answers are then decoded
together, one token of each live row a step.

Long sequences are read in passes by fork depth, and a pass is not shown the trunk behind its
deepest fork nor other passes: masked keys cost as much as seen ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from qwen_bench.engines.tree import Layout, Limb, lay_out
from qwen_bench.engines.work import (
    CHUNK,
    Computation,
    Finished,
    Limits,
    Readout,
    Row,
    Task,
    generation_rows,
    rank_scores,
    read_out,
    wanted_tokens,
)

PASS = 256
"""Tokens of limbs read in one forward."""


class BufferLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers is untyped
    """Keys and values of one layer in a buffer of fixed size that can be cut back for free.

    Tensors are (1, key/value heads, tokens, head size).
    """

    is_sliding = False

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0
        self.hidden = (0, 0)

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate the buffers in the shape of the first tokens."""
        shape = (*key_states.shape[:2], self.capacity)
        self.keys = key_states.new_empty((*shape, key_states.shape[-1]))
        self.values = value_states.new_empty((*shape, value_states.shape[-1]))
        self.is_initialized = True

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *_: Any,  # noqa: ANN401 - signature of transformers
        **__: Any,  # noqa: ANN401 - signature of transformers
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new tokens behind the old ones; returns all of them but the hidden ones."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[2]
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        first, last = self.hidden
        if first == last:
            return self.keys[:, :, :end], self.values[:, :, :end]
        return (
            torch.cat([self.keys[:, :, :first], self.keys[:, :, last:end]], dim=2),
            torch.cat([self.values[:, :, :first], self.values[:, :, last:end]], dim=2),
        )

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Number of keys after the next tokens, and the offset of the first."""
        return self.length - (self.hidden[1] - self.hidden[0]) + query_length, 0

    def get_seq_length(self) -> int:
        """Tokens held."""
        return self.length

    def get_max_length(self) -> int:
        """Tokens the buffer can hold."""
        return self.capacity


class Buffers:
    """The cache of one unit: trunk first, then the limbs and answers of one group after another."""

    def __init__(self, layers: int, capacity: int) -> None:
        self._layers = [BufferLayer(capacity) for _ in range(layers)]
        self.cache = Cache(layers=self._layers)

    @property
    def length(self) -> int:
        """Tokens held."""
        return self._layers[0].length

    def cut(self, length: int) -> None:
        """Forget everything behind the first `length` tokens."""
        for layer in self._layers:
            layer.length = length

    def hide(self, first: int, last: int) -> None:
        """Do not show tokens [first, last) to the next ones; an empty range shows all."""
        for layer in self._layers:
            layer.hidden = (first, last)


def batches(work: Computation, tasks: Sequence[Task]) -> Iterator[list[Finished]]:
    """Compute the tasks; yields what each packed group finished.

    Args:
        work: tree, model, books and limits.
        tasks: those to answer now.

    Raises:
        RuntimeError: memory ran out, or whatever the model raises.
    """
    tree, forward = work.tree, work.forward
    wanted = wanted_tokens(tree, tasks, work.closer)
    rows = generation_rows(tasks)
    layout = lay_out(tree, [task.prompt_end for task in tasks], list(wanted))
    groups = _group(layout, work.limits, wanted, forward.config.vocab_size)
    trunk_rows = [row for node, row in rows.items() if node in set(layout.trunk)]
    group_rows = [
        [rows[node] for limb in group for node in limb.nodes if node in rows] for group in groups
    ]
    group_rows[0] = trunk_rows + group_rows[0]
    room = max(
        sum(len(limb.nodes) for limb in group) + sum(row.budget for row in waiting)
        for group, waiting in zip(groups, group_rows, strict=True)
    )
    buffers = Buffers(forward.config.num_hidden_layers, len(layout.trunk) + room)
    seen = _read_trunk(work, layout.trunk, wanted, buffers)
    ranking = [task for task in tasks if task.candidates]
    for group, waiting in zip(groups, group_rows, strict=True):
        buffers.cut(len(layout.trunk))
        visible = _read_limbs(work, group, wanted, buffers, seen)
        _decode(work, waiting, visible, seen, buffers)
        work.ledger.settle()
        done = [finished for row in waiting for finished in row.finished()]
        ready = [task for task in ranking if all(nodes[-1] in seen for nodes in task.candidates)]
        done += [Finished(task, rank_scores(tree, task, work.closer, seen)) for task in ready]
        ranking = [task for task in ranking if task not in ready]
        yield sorted(done, key=lambda finished: finished.task.number)


def _group(
    layout: Layout, limits: Limits, wanted: dict[int, tuple[int, ...]], vocabulary: int
) -> list[list[Limb]]:
    """Pack limbs greedily; at least one group, which may be empty."""
    positions_max = max(1, limits.logits_bytes // (8 * vocabulary))
    groups: list[list[Limb]] = [[]]
    tokens = positions = 0
    for limb in layout.limbs:
        size, reads = len(limb.nodes), sum(node in wanted for node in limb.nodes)
        together = tokens + size
        if groups[-1] and (
            len(groups[-1]) >= limits.rows
            or together * (len(layout.trunk) + together) > limits.mask_elements
            or positions + reads > positions_max
        ):
            groups.append([])
            tokens = positions = 0
        groups[-1].append(limb)
        tokens += size
        positions += reads
    return groups


def _read_trunk(
    work: Computation,
    trunk: Sequence[int],
    wanted: dict[int, tuple[int, ...]],
    buffers: Buffers,
) -> dict[int, Readout]:
    """Fill the buffers with the trunk; returns the readouts of wanted trunk nodes."""
    seen: dict[int, Readout] = {}
    for start in range(0, len(trunk), CHUNK):
        _feed(work, trunk[start : start + CHUNK], wanted, buffers, seen)
    return seen


def _feed(
    work: Computation,
    nodes: Sequence[int],
    wanted: dict[int, tuple[int, ...]],
    buffers: Buffers,
    seen: dict[int, Readout],
    *,
    visible: torch.Tensor | None = None,
) -> list[int]:
    """Put tree nodes through the model at their depths, add their readouts to `seen`.

    Returns:
        The places in `nodes` whose logits were wanted.
    """
    keep = [place for place, node in enumerate(nodes) if node in wanted]
    work.ledger.feed(nodes)
    logits = work.forward(
        [[work.tree.token(node) for node in nodes]],
        cache=buffers.cache,
        keep=keep,
        positions=[work.tree.depth(node) - 1 for node in nodes],
        visible=visible,
    )
    reads = [nodes[place] for place in keep]
    found = read_out(logits[0], [wanted[node] for node in reads])
    seen.update(zip(reads, found, strict=True))
    return keep


def _passes(limbs: Sequence[Limb]) -> Iterator[list[Limb]]:
    """Limbs in order of fork depth, some at a time."""
    together: list[Limb] = []
    size = 0
    for limb in sorted(limbs, key=lambda limb: limb.fork):
        if together and size + len(limb.nodes) > PASS:
            yield together
            together, size = [], 0
        together.append(limb)
        size += len(limb.nodes)
    if together:
        yield together


def _read_limbs(
    work: Computation,
    limbs: Sequence[Limb],
    wanted: dict[int, tuple[int, ...]],
    buffers: Buffers,
    seen: dict[int, Readout],
) -> dict[int, torch.Tensor]:
    """Put packed limbs through the model, add their readouts to `seen`.

    Returns:
        For each node whose logits were wanted, a bool for each token in the buffers up to its pass:
        whether the node sees it.
    """
    visible: dict[int, torch.Tensor] = {}
    for together in _passes(limbs):
        behind, fork = buffers.length, together[-1].fork
        buffers.hide(fork, behind)
        for node, row in _read_pass(work, together, wanted, buffers, seen).items():
            between = torch.zeros(behind - fork, dtype=torch.bool, device=row.device)
            visible[node] = torch.cat([row[:fork], between, row[fork:]])
    buffers.hide(0, 0)
    return visible


def _read_pass(
    work: Computation,
    limbs: Sequence[Limb],
    wanted: dict[int, tuple[int, ...]],
    buffers: Buffers,
    seen: dict[int, Readout],
) -> dict[int, torch.Tensor]:
    """One forward; the rows it returns cover the trunk up to the deepest fork, then the pass."""
    nodes = [node for limb in limbs for node in limb.nodes]
    device, trunk = work.forward.device, limbs[-1].fork
    forks = torch.tensor([limb.fork for limb in limbs for _ in limb.nodes], device=device)
    offsets = [sum(len(limb.nodes) for limb in limbs[:place]) for place in range(len(limbs))]
    ends = torch.tensor(
        [offset + end for offset, limb in zip(offsets, limbs, strict=True) for end in limb.ends],
        device=device,
    )
    order = torch.arange(len(nodes), device=device)
    of_trunk = torch.arange(trunk, device=device)[None] < forks[:, None]
    # Depth-first order: the descendants of node j are the nodes from j to ends[j].
    of_limbs = (order[None] <= order[:, None]) & (order[:, None] < ends[None])
    visible = torch.cat([of_trunk, of_limbs], dim=1)
    keep = _feed(work, nodes, wanted, buffers, seen, visible=visible)
    return {nodes[place]: visible[place] for place in keep}


def _decode(
    work: Computation,
    rows: Sequence[Row],
    visible: dict[int, torch.Tensor],
    seen: dict[int, Readout],
    buffers: Buffers,
) -> None:
    """Generate greedily, one token of every live row a step; finished rows leave at once."""
    if not rows:
        return
    tree, forward = work.tree, work.forward
    room = buffers.length + sum(row.budget for row in rows)
    sees = torch.zeros((len(rows), room), dtype=torch.bool, device=forward.device)
    for index, row in enumerate(rows):
        if row.start in visible:
            sees[index, : len(visible[row.start])] = visible[row.start]
        else:
            sees[index, : tree.depth(row.start)] = True
        row.take(seen[row.start], work.stop_ids)
    live = [index for index, row in enumerate(rows) if row.live]
    while live:
        behind = buffers.length
        sees[live, list(range(behind, behind + len(live)))] = True
        work.ledger.decode(len(live))
        logits = forward(
            [[rows[index].tokens[-1] for index in live]],
            cache=buffers.cache,
            keep=range(len(live)),
            positions=[
                tree.depth(rows[index].start) + len(rows[index].tokens) - 1 for index in live
            ],
            visible=sees[live, : behind + len(live)],
        )
        for index, readout in zip(live, read_out(logits[0], [()] * len(live)), strict=True):
            rows[index].take(readout, work.stop_ids)
        live = [index for index in live if rows[index].live]
