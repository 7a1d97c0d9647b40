"""What both ways of computing share: tasks, results, limits, and the books of tokens.

Token ids only; no text, no messages, no transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from qwen_bench.engines.forward import Forward
from qwen_bench.engines.protocol import Efficiency
from qwen_bench.engines.tree import PrefixTree

if TYPE_CHECKING:
    import torch

CHUNK = 512
"""Tokens of one forward while the trunk is read in."""


@dataclass(frozen=True, slots=True)
class Task:
    """One request on the tree.

    Attributes:
        number: place of the request in its unit.
        prompt_end: node of the prompt's last token.
        candidates: for each candidate the nodes of its tokens; empty to generate.
        budget: most tokens to generate.
    """

    number: int
    prompt_end: int
    candidates: tuple[tuple[int, ...], ...] = ()
    budget: int = 0


class Written(NamedTuple):
    """A generated answer.

    Attributes:
        tokens: ids, a stop token included as the last one.
        stopped: whether the last one is a stop token.
        margin: smallest gap between the best two log-probabilities at any token, in nats.
    """

    tokens: tuple[int, ...]
    stopped: bool
    margin: float


class Ranked(NamedTuple):
    """For each candidate (sum of log-probabilities, log-probability of the closer after it)."""

    scores: tuple[tuple[float, float], ...]


class Finished(NamedTuple):
    """Result of one task."""

    task: Task
    result: Written | Ranked


@dataclass(slots=True)
class Limits:
    """Bounds of one forward.

    Attributes:
        rows: limbs (packed) or sequences (copying) computed together; halved when memory is short.
        mask_elements: entries of an attention mask.
        logits_bytes: size of the logits.
        copy_bytes: size of the caches copied together.
    """

    rows: int = 256
    mask_elements: int = 1 << 26
    logits_bytes: int = 1 << 28
    copy_bytes: int = 1 << 30


@dataclass(slots=True)
class Ledger:
    """Books of what went through the model: each tree node once, all else as recomputed.

    One per unit; `counters` belongs to the engine.
    """

    counters: Efficiency
    fed: set[int] = field(default_factory=set)
    _decoded: int = 0

    def feed(self, nodes: Sequence[int]) -> None:
        """Tree nodes are put through the model."""
        for node in nodes:
            if node in self.fed:
                self.counters.recomputed_tokens += 1
            else:
                self.fed.add(node)
                self.counters.tree_tokens += 1

    def decode(self, tokens: int) -> None:
        """Generated tokens are put through the model."""
        self._decoded += tokens
        self.counters.decoded_tokens += tokens

    def settle(self) -> None:
        """The answers of the batch exist; what was decoded for them counts."""
        self._decoded = 0

    def discard(self) -> None:
        """The batch failed; what was decoded for it is computed again."""
        self.counters.decoded_tokens -= self._decoded
        self.counters.recomputed_tokens += self._decoded
        self._decoded = 0


@dataclass(frozen=True, slots=True)
class Computation:
    """What a way of computing works with.

    Attributes:
        tree: tree of the unit.
        forward: the model.
        ledger: books of the unit.
        limits: bounds that decide how much goes together.
        stop_ids: tokens that end an answer.
        closer: end-of-turn token, scored after every candidate.
    """

    tree: PrefixTree
    forward: Forward
    ledger: Ledger
    limits: Limits
    stop_ids: frozenset[int]
    closer: int


class Readout(NamedTuple):
    """What is kept of the logits at one position.

    Attributes:
        best: token id with the highest logit, the lowest id among equals.
        margin: gap between the best two log-probabilities, in nats.
        logprobs: of the wanted token ids, normalised over the whole vocabulary.
    """

    best: int
    margin: float
    logprobs: dict[int, float]


def read_out(logits: torch.Tensor, wanted: Sequence[Sequence[int]]) -> list[Readout]:
    """Reduce logits in fp32, a few positions at a time so that no second copy exists.

    Args:
        logits: (positions, vocabulary), any float type.
        wanted: for each position the token ids whose log-probability is needed.
    """
    found: list[Readout] = []
    for start in range(0, len(wanted), 64):
        part = logits[start : start + 64].float()
        total = part.logsumexp(-1)
        top = part.topk(2, dim=-1).values
        best = part.argmax(-1).tolist()
        margins = (top[:, 0] - top[:, 1]).tolist()
        rows = [row for row, ids in enumerate(wanted[start : start + 64]) for _ in ids]
        ids = [token for tokens in wanted[start : start + 64] for token in tokens]
        values = iter((part[rows, ids] - total[rows]).tolist() if ids else [])
        found.extend(
            Readout(best[row], margins[row], {token: next(values) for token in tokens})
            for row, tokens in enumerate(wanted[start : start + 64])
        )
    return found


def wanted_tokens(
    tree: PrefixTree, tasks: Sequence[Task], closer: int
) -> dict[int, tuple[int, ...]]:
    """For each node whose logits are needed the token ids to read there.

    A prompt's end is needed by every task; a candidate needs each of its tokens at the node before
    it, and the closer after its last one.
    """
    wanted: dict[int, dict[int, None]] = {}
    for task in tasks:
        wanted.setdefault(task.prompt_end, {})
        for nodes in task.candidates:
            before = task.prompt_end
            for node in nodes:
                wanted.setdefault(before, {})[tree.token(node)] = None
                before = node
            wanted.setdefault(before, {})[closer] = None
    return {node: tuple(tokens) for node, tokens in wanted.items()}


def rank_scores(tree: PrefixTree, task: Task, closer: int, seen: dict[int, Readout]) -> Ranked:
    """Sum up the log-probabilities of a ranking task from the nodes read."""
    scores = []
    for nodes in task.candidates:
        before = (task.prompt_end, *nodes[:-1])
        total = sum(
            seen[above].logprobs[tree.token(node)]
            for above, node in zip(before, nodes, strict=True)
        )
        scores.append((total, seen[nodes[-1]].logprobs[closer]))
    return Ranked(tuple(scores))


@dataclass(slots=True)
class Row:
    """One answer being generated, shared by tasks with the same prompt.

    Attributes:
        start: node of the prompt's last token.
        tasks: who waits for it.
        budget: the largest of their budgets.
    """

    start: int
    tasks: list[Task]
    budget: int
    tokens: list[int] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    stopped: bool = False

    def take(self, readout: Readout, stop_ids: frozenset[int]) -> None:
        """Append the best token."""
        self.tokens.append(readout.best)
        self.margins.append(readout.margin)
        self.stopped = readout.best in stop_ids

    @property
    def live(self) -> bool:
        """Whether another token is wanted."""
        return not self.stopped and len(self.tokens) < self.budget

    def finished(self) -> list[Finished]:
        """The answer as each waiting task's own budget cuts it."""
        return [
            Finished(
                task,
                Written(
                    tuple(self.tokens[: task.budget]),
                    self.stopped and len(self.tokens) <= task.budget,
                    min(self.margins[: task.budget]),
                ),
            )
            for task in self.tasks
        ]


def generation_rows(tasks: Sequence[Task]) -> dict[int, Row]:
    """Rows to decode by prompt end: equal prompts are decoded once."""
    rows: dict[int, Row] = {}
    for task in tasks:
        if task.candidates:
            continue
        row = rows.setdefault(task.prompt_end, Row(task.prompt_end, [], 0))
        row.tasks.append(task)
        row.budget = max(row.budget, task.budget)
    return rows
