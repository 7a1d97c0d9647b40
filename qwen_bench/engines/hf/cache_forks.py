"""Copied caches: the strategy for models whose layers keep a running state or forget old tokens.

While the trunk advances, the whole cache is copied at each fork, expanded to the rows that leave
there, and dropped when they are done. Rows of one batch have suffixes of equal length: there is no
padding and no mask; a cache is never cut back. Tokens shared inside a branch are computed again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache

from qwen_bench.engines.decoding import GeneratedRow, advance
from qwen_bench.engines.hf.forward import Forward
from qwen_bench.engines.hf.tasks import (
    Computation,
    Finished,
    Logprobs,
    Task,
    Waiting,
    finish,
    generation_rows,
    kv_bytes,
    read_out,
    wanted_tokens,
)
from qwen_bench.engines.prefix_tree import PrefixTree


class Branch(NamedTuple):
    """One sequence that leaves the trunk.

    Attributes:
        fork: trunk tokens it shares; at least one token follows.
        nodes: the tokens after the fork.
        waiting: the answer to generate after them, if any.
    """

    fork: int
    nodes: tuple[int, ...]
    waiting: Waiting | None

    @property
    def row(self) -> GeneratedRow | None:
        """What is generated."""
        return self.waiting.row if self.waiting is not None else None


def batches(work: Computation, tasks: Sequence[Task]) -> Iterator[list[Finished]]:
    """Compute the tasks; yields what each batch of rows finished; see `shared_prefix.batches`."""
    tree, forward, counters = work.tree, work.forward, work.counters
    wanted = wanted_tokens(tree, tasks, work.end_of_turn)
    trunk = tree.path(max((task.prompt_end for task in tasks), key=tree.depth))
    branches = _branches(tree, tasks, trunk)
    seen: dict[int, Logprobs] = {}
    ranking = [task for task in tasks if task.candidates]
    cache = DynamicCache(config=forward.config)
    length = 0
    for fork in sorted({branch.fork for branch in branches}):
        with counters.timing("trunk"):
            for start in range(length, fork, work.limits.chunk):
                nodes = trunk[start : min(fork, start + work.limits.chunk)]
                counters.feed(nodes)
                forward([[tree.token(node) for node in nodes]], cache=cache, keep=())
                work.read(start + len(nodes), len(trunk))
        length = fork
        here = [branch for branch in branches if branch.fork == fork]
        for batch in _equal_lengths(here, work, _bytes(cache), wanted):
            counters.together(len(batch))
            with counters.timing("rows"):
                rows_cache = _expanded(cache, len(batch), forward)
                _read_branches(work, batch, wanted, rows_cache, seen)
            counters.hold(_bytes(cache) + _bytes(rows_cache))
            with counters.timing("decode"):
                _decode(work, batch, rows_cache)
            counters.hold(_bytes(cache) + _bytes(rows_cache))
            del rows_cache
            answered = [branch.waiting for branch in batch if branch.waiting is not None]
            yield finish(work, answered, ranking, seen)


def _branches(tree: PrefixTree, tasks: Sequence[Task], trunk: Sequence[int]) -> list[Branch]:
    """Sequences to compute. Each forks before its prompt's end, whose logits are needed."""
    on_trunk = set(trunk)
    rows = generation_rows(tasks)
    ends: dict[tuple[int, int, int], Waiting | None] = {
        (item.row.start, item.row.start, number): item for number, item in enumerate(rows)
    }
    for task in tasks:
        for nodes in task.candidates:
            ends.setdefault((task.prompt_end, nodes[-1], 0), None)
    found = []
    for (prompt_end, end, _), row in ends.items():
        fork = min(tree.shared(end, on_trunk), tree.depth(prompt_end) - 1)
        found.append(Branch(fork, tree.path(end, fork), row))
    return found


def _equal_lengths(
    branches: Sequence[Branch],
    work: Computation,
    cache_bytes: int,
    wanted: Mapping[int, object],
) -> Iterator[list[Branch]]:
    """Batches of branches that leave at one fork, suffixes of equal length, within the limits.

    Args:
        branches: that leave there.
        work: model and limits.
        cache_bytes: of the trunk up to the fork; every row holds a copy.
        wanted: nodes whose logits are read.
    """
    config, limits = work.forward.config, work.limits
    bytes_each = work.forward.dtype.itemsize
    each = kv_bytes(config, bytes_each)
    memory = limits.row_bytes(config, bytes_each) - cache_bytes
    for length in sorted({len(branch.nodes) for branch in branches}):
        same = [branch for branch in branches if len(branch.nodes) == length]
        reserved = max((item.waiting.reserved if item.waiting else 0) for item in same)
        reads = sum(any(item.nodes[place] in wanted for item in same) for place in range(length))
        size = min(
            limits.rows,
            memory // (cache_bytes + (length + reserved) * each),
            limits.positions(config, bytes_each) // max(1, reads),
        )
        size = max(1, size)
        for start in range(0, len(same), size):
            yield same[start : start + size]


def _expanded(cache: Any, rows: int, forward: Forward) -> Any:  # noqa: ANN401 - a transformers Cache
    """A copy of the cache with its one sequence repeated; the original stays as it is."""
    if cache.get_seq_length() == 0:
        return DynamicCache(config=forward.config)
    copied = copy.deepcopy(cache)
    copied.reorder_cache(torch.zeros(rows, dtype=torch.long, device=forward.device))
    return copied


def _bytes(cache: Any) -> int:  # noqa: ANN401 - a transformers Cache
    """Bytes of all tensors of a cache."""
    found = 0
    for layer in cache.layers:
        for value in vars(layer).values():
            held = list(value.values()) if isinstance(value, dict) else value
            held = held if isinstance(held, list | tuple) else [held]
            found += sum(item.nbytes for item in held if isinstance(item, torch.Tensor))
    return found


def _read_branches(
    work: Computation,
    batch: Sequence[Branch],
    wanted: dict[int, tuple[int, ...]],
    cache: Any,  # noqa: ANN401 - a transformers Cache
    seen: dict[int, Logprobs],
) -> None:
    """Put the suffixes through the model and read the wanted nodes."""
    length = len(batch[0].nodes)
    keep = [place for place in range(length) if any(item.nodes[place] in wanted for item in batch)]
    for branch in batch:
        work.counters.feed(branch.nodes)
    logits = work.forward(
        [[work.tree.token(node) for node in branch.nodes] for branch in batch],
        cache=cache,
        keep=keep,
    )
    for branch, rows in zip(batch, logits, strict=True):
        reads = [
            (index, branch.nodes[place])
            for index, place in enumerate(keep)
            if branch.nodes[place] in wanted
        ]
        found = read_out(rows[[index for index, _ in reads]], [wanted[node] for _, node in reads])
        seen.update(zip((node for _, node in reads), found, strict=True))
    begun = [(place, row) for place, item in enumerate(batch) if (row := item.row) is not None]
    # A row starts at the last token of its branch.
    advance([row for _, row in begun], logits[[place for place, _ in begun], -1], work.stopping)


def _decode(
    work: Computation,
    batch: Sequence[Branch],
    cache: Any,  # noqa: ANN401 - a transformers Cache
) -> None:
    """Generate greedily for the branches that want an answer; finished rows leave the batch."""
    held = list(range(len(batch)))
    while True:
        live = [place for place in held if (row := batch[place].row) is not None and row.live]
        if not live:
            return
        if live != held:
            index = [held.index(place) for place in live]
            cache.reorder_cache(torch.tensor(index, device=work.forward.device))
            held = live
        rows = [row for place in live if (row := batch[place].row) is not None]
        work.counters.decode(len(rows))
        logits = work.forward([[row.tokens[-1]] for row in rows], cache=cache, keep=(0,))
        advance(rows, logits[:, 0], work.stopping)
