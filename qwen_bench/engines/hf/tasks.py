"""What both strategies share: tasks, results, limits, and counters of tokens.

Token ids only; no text, no messages, no transformers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from qwen_bench.engines.decoding import NOTHING, Budget, GeneratedRow, Stopping, Written
from qwen_bench.engines.hf.forward import Forward
from qwen_bench.engines.prefix_tree import PrefixTree
from qwen_bench.protocol import GREEDY, ReadTokens, Sampling
from qwen_bench.record.counters import Counters

if TYPE_CHECKING:
    import torch

SMALLEST_CHUNK = 128
"""Fewest tokens to which a chunk is cut when memory is short."""

Phase = Literal["trunk", "rows", "decode"]


@dataclass(frozen=True, slots=True)
class Task:
    """One request on the tree.

    Attributes:
        number: place of the request in its unit.
        prompt_end: node of the prompt's last token.
        candidates: for each candidate the nodes of its tokens; empty to generate.
        budget: most tokens to generate.
        opened: whether the prompt ends inside a thought.
        thinks: whether a thought is expected, so that memory is kept for it.
        sampling: how tokens are chosen.
        key: request id, which seeds the draws.
    """

    number: int
    prompt_end: int
    candidates: tuple[tuple[int, ...], ...] = ()
    budget: Budget = NOTHING
    opened: bool = False
    sampling: Sampling = GREEDY
    key: str = ""
    thinks: bool = False

    @property
    def reserved(self) -> int:
        """Most tokens that are expected to be generated."""
        thought = self.budget.thought if self.opened or self.thinks else 0
        return thought + self.budget.answer


class Ranked(NamedTuple):
    """For each candidate (sum of log-probabilities, that of the end-of-turn token after it)."""

    scores: tuple[tuple[float, float], ...]


class Finished(NamedTuple):
    """Result of one task."""

    task: Task
    result: Written | Ranked


@dataclass(slots=True)
class Limits:
    """How much is computed together.

    Attributes:
        rows: limbs (two-part) or sequences (copying); halved when memory is short.
        memory_bytes: for keys, values, states, logits and activations.
        logits_bytes: of them for the logits of one forward.
        chunk: tokens of one forward; halved when one row alone is too much.
    """

    rows: int = 1 << 16
    memory_bytes: int = 8 << 30
    logits_bytes: int = 1 << 28
    chunk: int = 512

    def row_bytes(self, config: Any, bytes_each: int) -> int:  # noqa: ANN401 - of transformers
        """What is left for keys, values and states beside logits and activations.

        Args:
            config: of the text model.
            bytes_each: size of a number.
        """
        inner = getattr(config, "intermediate_size", None) or 0
        width = 4 * int(config.hidden_size) + 3 * int(inner)
        return self.memory_bytes - self.chunk * width * bytes_each - self.logits_bytes

    def positions(self, config: Any, bytes_each: int) -> int:  # noqa: ANN401 - of transformers
        """Logits of one forward; each is held once as it is and once in float32."""
        return max(1, self.logits_bytes // (int(config.vocab_size) * (bytes_each + 4)))


def head_size(config: Any) -> int:  # noqa: ANN401 - a transformers configuration
    """Numbers of one attention head."""
    return int(
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )


def kv_bytes(config: Any, bytes_each: int) -> int:  # noqa: ANN401 - as above
    """Bytes of keys and values of one token in all layers.

    Args:
        config: of the text model.
        bytes_each: size of a number.
    """
    shared = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    return 2 * int(config.num_hidden_layers) * int(shared) * head_size(config) * bytes_each


@dataclass(slots=True)
class TreeCounters:
    """Counts what goes through the model: each tree node once, all else as recomputed.

    One per unit; `total` belongs to the engine.
    """

    total: Counters
    fed: set[int] = field(default_factory=set)
    _decoded: int = 0

    def feed(self, nodes: Sequence[int]) -> None:
        """Tree nodes are put through the model."""
        for node in nodes:
            if node in self.fed:
                self.total.recomputed_tokens += 1
            else:
                self.fed.add(node)
                self.total.tree_tokens += 1

    def decode(self, tokens: int) -> None:
        """Generated tokens are put through the model."""
        self._decoded += tokens
        self.total.decoded_tokens += tokens

    def settle(self) -> None:
        """The answers of the batch exist; what was decoded for them counts."""
        self._decoded = 0

    def discard(self) -> None:
        """The batch failed; what was decoded for it is computed again."""
        self.total.decoded_tokens -= self._decoded
        self.total.recomputed_tokens += self._decoded
        self._decoded = 0

    def together(self, rows: int) -> None:
        """Rows are computed together."""
        self.total.rows_max = max(self.total.rows_max, rows)

    def hold(self, held: int) -> None:
        """Keys and values of so many bytes are allocated."""
        self.total.peak_kv_bytes = max(self.total.peak_kv_bytes, held)

    @contextmanager
    def timing(self, phase: Phase) -> Iterator[None]:
        """Wall time inside belongs to a phase."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            name, passed = f"{phase}_seconds", time.perf_counter() - begun
            setattr(self.total, name, getattr(self.total, name) + passed)


def told_nobody(read: int, total: int) -> None:
    """Nobody wants to know how far reading is."""


@dataclass(frozen=True, slots=True)
class Computation:
    """What a strategy works with.

    Attributes:
        tree: tree of the unit.
        forward: the model.
        counters: of the unit.
        limits: bounds that decide how much goes together.
        stopping: what ends an answer.
        end_of_turn: end-of-turn token, scored after every candidate.
        read: told after each chunk of a trunk.
    """

    tree: PrefixTree
    forward: Forward
    counters: TreeCounters
    limits: Limits
    stopping: Stopping
    end_of_turn: int
    read: ReadTokens = told_nobody


Logprobs = dict[int, float]
"""Log-probability by token id, normalised over the whole vocabulary."""


def read_out(logits: torch.Tensor, wanted: Sequence[Sequence[int]]) -> list[Logprobs]:
    """Reduce logits in fp32, a few positions at a time so that no second copy exists.

    Args:
        logits: (positions, vocabulary), any float type.
        wanted: for each position the token ids whose log-probability is needed.
    """
    found: list[Logprobs] = [{} for _ in wanted]
    asked = [place for place, ids in enumerate(wanted) if ids]
    for start in range(0, len(asked), 64):
        places = asked[start : start + 64]
        part = logits[places].float()
        rows = [row for row, place in enumerate(places) for _ in wanted[place]]
        ids = [token for place in places for token in wanted[place]]
        values = iter((part[rows, ids] - part.logsumexp(-1)[rows]).tolist())
        for place in places:
            found[place] = {token: next(values) for token in wanted[place]}
    return found


def wanted_tokens(
    tree: PrefixTree, tasks: Sequence[Task], end_of_turn: int
) -> dict[int, tuple[int, ...]]:
    """For each node whose logits are needed the token ids to read there.

    A prompt's end is needed by every task; a candidate needs each of its tokens at the node before
    it, and the end-of-turn token after its last one.
    """
    wanted: dict[int, dict[int, None]] = {}
    for task in tasks:
        wanted.setdefault(task.prompt_end, {})
        for nodes in task.candidates:
            before = task.prompt_end
            for node in nodes:
                wanted.setdefault(before, {})[tree.token(node)] = None
                before = node
            wanted.setdefault(before, {})[end_of_turn] = None
    return {node: tuple(tokens) for node, tokens in wanted.items()}


def rank_scores(
    tree: PrefixTree, task: Task, end_of_turn: int, seen: dict[int, Logprobs]
) -> Ranked:
    """Sum up the log-probabilities of a ranking task from the nodes read."""
    scores = []
    for nodes in task.candidates:
        before = (task.prompt_end, *nodes[:-1])
        total = sum(
            seen[above][tree.token(node)] for above, node in zip(before, nodes, strict=True)
        )
        scores.append((total, seen[nodes[-1]][end_of_turn]))
    return Ranked(tuple(scores))


class Waiting(NamedTuple):
    """A row and the tasks that wait for it: equal prompts are decoded once."""

    row: GeneratedRow
    tasks: list[Task]

    @property
    def reserved(self) -> int:
        """Most tokens that are expected to be generated."""
        return max(task.reserved for task in self.tasks)

    def finished(self) -> list[Finished]:
        """The answer as each waiting task's own budget cuts it."""
        return [Finished(task, self.row.written(task.budget)) for task in self.tasks]


def generation_rows(tasks: Sequence[Task]) -> list[Waiting]:
    """Rows to decode. Tasks share one if their prompts are equal and nothing is drawn."""
    found: dict[tuple[int, str], list[Task]] = {}
    for task in tasks:
        if not task.candidates:
            drawn = task.key if task.sampling.temperature else ""
            found.setdefault((task.prompt_end, drawn), []).append(task)
    return [
        Waiting(
            GeneratedRow(
                node,
                Budget(
                    max(task.budget.answer for task in waiting),
                    max(task.budget.thought for task in waiting),
                ),
                opened=waiting[0].opened,
                sampling=waiting[0].sampling,
                key=waiting[0].key,
            ),
            waiting,
        )
        for (node, _), waiting in found.items()
    ]


def finish(
    work: Computation,
    answered: Iterable[Waiting],
    ranking: list[Task],
    seen: dict[int, Logprobs],
) -> list[Finished]:
    """What a batch of rows finished, in the order of the requests.

    Args:
        work: tree and counters; what was decoded counts from now on.
        answered: rows of the batch.
        ranking: tasks whose candidates were not read yet; those that are finished are taken out.
        seen: log-probabilities by the node they were read at.
    """
    work.counters.settle()
    done = [finished for item in answered for finished in item.finished()]
    left = []
    for task in ranking:
        if all(nodes[-1] in seen for nodes in task.candidates):
            done.append(Finished(task, rank_scores(work.tree, task, work.end_of_turn, seen)))
        else:
            left.append(task)
    ranking[:] = left
    return sorted(done, key=lambda finished: finished.task.number)
