"""The strategy for models in which every layer attends to all that came before.

Stems are read once, in chunks. What hangs on a stem, questions and candidates, is packed into rows
without padding, and every row attends to the stem where it lies. Answers are decoded together, one
token of each live row a step. Every distinct token goes through the model once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qwen_bench.engines.decoding import GeneratedRow, advance
from qwen_bench.engines.hf.attention import NAME, Pass, StemPass
from qwen_bench.engines.hf.buffers import Trunk
from qwen_bench.engines.hf.kernels import KERNELS, choose_kernel
from qwen_bench.engines.hf.packing import Batch, Room, Wish, chunks, pack
from qwen_bench.engines.hf.row_index import Held, PlacedLeaf, decoding, hold, pack_limbs
from qwen_bench.engines.hf.tasks import (
    SMALLEST_CHUNK,
    Computation,
    Finished,
    Logprobs,
    Task,
    Waiting,
    finish,
    generation_rows,
    head_size,
    kv_bytes,
    read_out,
    wanted_tokens,
)
from qwen_bench.engines.prefix_tree import Stem, lay_out


def batches(work: Computation, tasks: Sequence[Task]) -> Iterator[list[Finished]]:
    """Compute the tasks; yields what each batch of rows finished.

    Between batches the model has its own attention function.

    Args:
        work: tree, model, counters and limits.
        tasks: those to answer now.

    Raises:
        RuntimeError: memory ran out, or whatever the model raises.
    """
    reader = _Reader(work, tasks)
    ranking = [task for task in tasks if task.candidates]
    for stem in reader.stems:
        with work.forward.attention(NAME), work.counters.timing("trunk"):
            reader.read_stem(stem)
        for batch in reader.pack(stem):
            with work.forward.attention(NAME):
                answered = reader.answer(batch)
            yield finish(work, answered, ranking, reader.seen)


class _Reader:
    """The tasks under way.

    Attributes:
        stems: of the tree, in the order in which they are read.
        seen: log-probabilities by the node they were read at.
    """

    def __init__(self, work: Computation, tasks: Sequence[Task]) -> None:
        forward, limits = work.forward, work.limits
        self._work = work
        self._layers = int(forward.config.num_hidden_layers)
        self._attend = KERNELS[
            choose_kernel(forward.device, forward.dtype, head_size(forward.config))
        ]
        self._wanted = wanted_tokens(work.tree, tasks, work.end_of_turn)
        self._waiting = generation_rows(tasks)
        self._starts: dict[int, list[Waiting]] = {}
        self._wishes: dict[int, list[Wish]] = {}
        for number, item in enumerate(self._waiting):
            wish = Wish(number, item.reserved, item.row.most_tokens)
            self._starts.setdefault(item.row.start, []).append(item)
            self._wishes.setdefault(item.row.start, []).append(wish)
        self.stems = lay_out(
            work.tree,
            [task.prompt_end for task in tasks],
            list(self._wanted),
            longest=max(limits.chunk, SMALLEST_CHUNK),
        )
        longest = max(stem.base + len(stem.nodes) for stem in self.stems)
        self._trunk = Trunk(longest)
        bytes_each = forward.dtype.itemsize
        each = kv_bytes(forward.config, bytes_each)
        self._room = Room(
            limits.rows,
            max(0, limits.row_bytes(forward.config, bytes_each) // each - longest),
            limits.positions(forward.config, bytes_each),
            limits.chunk,
        )
        self.seen: dict[int, Logprobs] = {}

    def read_stem(self, stem: Stem) -> None:
        """Put a stem through the model, in chunks, behind what it hangs on."""
        trunk, total = self._trunk, stem.base + len(stem.nodes)
        trunk.length = stem.base
        for nodes in chunks(stem, self._wanted, self._room):
            self._feed(nodes, StemPass(trunk, self._attend))
            trunk.length += len(nodes)
            self._work.counters.hold(trunk.nbytes)
            self._work.read(trunk.length, total)

    def pack(self, stem: Stem) -> tuple[Batch, ...]:
        """What hangs on a stem, as batches."""
        return pack(self._work.tree, stem, self._wishes, self._wanted, self._room)

    def answer(self, batch: Batch) -> list[Waiting]:
        """Read and decode a batch that hangs on the stem read last; the answers it finished."""
        forward, counters = self._work.forward, self._work.counters
        counters.together(batch.rows)
        held = hold(batch.leaves, self._trunk, self._layers, forward.device, forward.dtype)
        with counters.timing("rows"):
            for limbs in batch.passes:
                packed = pack_limbs(
                    limbs,
                    self._trunk,
                    self._attend,
                    held=held,
                    device=forward.device,
                    dtype=forward.dtype,
                )
                self._feed(packed.nodes, packed.sharing)
                self._hold(held)
        answered = [self._waiting[leaf.wish.number] for leaf in batch.leaves]
        with counters.timing("decode"):
            self._decode(held)
        return answered

    def _feed(self, nodes: Sequence[int], sharing: Pass) -> None:
        """Put tree nodes through the model at their depths; read logits, begin answers."""
        work, wanted = self._work, self._wanted
        tree = work.tree
        keep = [place for place, node in enumerate(nodes) if node in wanted]
        work.counters.feed(nodes)
        logits = work.forward(
            [[tree.token(node) for node in nodes]],
            keep=keep,
            positions=[tree.depth(node) - 1 for node in nodes],
            sharing=sharing,
        )[0]
        reads = [nodes[place] for place in keep]
        self.seen.update(
            zip(reads, read_out(logits, [wanted[node] for node in reads]), strict=True)
        )
        begun = [
            (place, item.row)
            for place, node in enumerate(reads)
            for item in self._starts.get(node, ())
            if not item.row.tokens
        ]
        if begun:
            places = [place for place, _ in begun]
            advance([row for _, row in begun], logits[places], work.stopping)

    def _decode(self, held: list[Held]) -> None:
        """Generate, one token of every live row a step; finished rows leave at once."""
        work, forward = self._work, self._work.forward
        while held := self._live(held):
            packed, sharing = decoding(held, self._trunk, self._attend, forward.device)
            rows = [self._row(row) for row in packed]
            ends = [row.leaf.fork + len(row.leaf.path) - 1 for row in packed]
            while all(row.live for row in rows):
                work.counters.decode(len(rows))
                logits = forward(
                    [[row.tokens[-1] for row in rows]],
                    keep=range(len(rows)),
                    positions=[end + len(row.tokens) for end, row in zip(ends, rows, strict=True)],
                    sharing=sharing,
                )[0]
                advance(rows, logits, work.stopping)
                self._hold(held)
                for item in held:
                    item.buffer.advance()

    def _live(self, held: list[Held]) -> list[Held]:
        """Without the rows that are done."""
        for item in held:
            live = [place for place, row in enumerate(item.rows) if self._row(row).live]
            if 0 < len(live) < len(item.rows):
                item.select(live)
            elif not live:
                item.rows = []
        return [item for item in held if item.rows]

    def _row(self, placed: PlacedLeaf) -> GeneratedRow:
        return self._waiting[placed.leaf.wish.number].row

    def _hold(self, held: Sequence[Held]) -> None:
        self._work.counters.hold(self._trunk.nbytes + sum(item.buffer.nbytes for item in held))
