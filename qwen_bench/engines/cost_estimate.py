"""What a suite costs before any model is loaded: prompt tokens, K/V memory, time.

Tokens are counted as the engines count them: `naive` puts every prompt through the model alone,
once for each candidate where candidates are ranked, `shared` counts each node of a dialogue's
prefix tree once. Pure arithmetic over requests and a configuration; imports no model library.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from os.path import commonprefix
from typing import TYPE_CHECKING, Any, NamedTuple

from qwen_bench.chat.policy import FULL, Policy, keep
from qwen_bench.chat.rendering import effective_thinking
from qwen_bench.chat.token_estimate import AROUND, OPENING, text_tokens
from qwen_bench.engines.context_window import configured_window, shared_window
from qwen_bench.engines.prefix_tree import ROOT, PrefixTree
from qwen_bench.errors import ModelError

if TYPE_CHECKING:
    from qwen_bench.engines.prompter import Prompter
    from qwen_bench.protocol import Request, Unit

ANSWER_TOKENS = 20
"""Generated tokens of an answer where no run says how many there are."""
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}


@dataclass
class TokenBudget:
    """Prompt tokens of a suite, counted unit by unit.

    Attributes:
        exact: counted with the tokenizer, not estimated from characters.
        requests: prompts to answer, one for each probe and mode.
        generated: those of them that generate.
        naive: prompt tokens without sharing.
        shared: distinct tokens of the prefix trees.
        longest: tokens of the longest prompt, its longest candidate included.
        together: tokens that the prompts and answers of the largest dialogue hold keys and values
            of at one time: what prompts share once, budgets of answers in full.
        apart: the same with every prompt on its own.
        too_long: requests that do not fit the context window; in no other count but `requests`.
    """

    exact: bool
    requests: int = 0
    generated: int = 0
    naive: int = 0
    shared: int = 0
    longest: int = 0
    together: int = 0
    apart: int = 0
    too_long: int = 0

    def __post_init__(self) -> None:
        # Of the unit at hand; no fields, since a budget is written as they are.
        self._answers = 0
        self._alone = 0

    def takes(
        self, request: Request, prompt: int, ranked: list[int], answer: int, *, too_long: bool
    ) -> bool:
        """Count a request; returns whether it would be sent.

        Args:
            request: of the unit at hand.
            prompt: its tokens.
            ranked: tokens of its candidates.
            answer: most tokens it may generate.
            too_long: whether it does not fit the context window.
        """
        self.requests += 1
        self.longest = max(self.longest, prompt + max(ranked, default=0))
        if too_long:
            self.too_long += 1
            return False
        self.generated += request.mode == "generate"
        alone = sum(prompt + size for size in ranked) if ranked else prompt
        self.naive += alone
        self._answers += answer
        self._alone += alone + answer
        return True

    def close(self, shared: int) -> None:
        """End a unit whose prefix tree has that many tokens."""
        self.shared += shared
        self.together = max(self.together, shared + self._answers)
        self.apart = max(self.apart, self._alone)
        self._answers = self._alone = 0

    def forward(self, answer_tokens: float) -> float:
        """Tokens that go through a sharing engine; the last one of an answer is not fed back."""
        return self.shared + self.generated * max(0.0, answer_tokens - 1)

    def sharing_ratio(self, answer_tokens: float) -> float:
        """Naive tokens for each that goes through a sharing engine, answers included."""
        naive = self.naive + self.generated * max(0.0, answer_tokens - 1)
        forward = self.forward(answer_tokens)
        return naive / forward if forward else 1.0


def count_tokens(
    units: Iterable[Unit],
    prompter: Prompter,
    *,
    policy: Policy = FULL,
    window: int | None = None,
) -> TokenBudget:
    """Exact tokens of some units, as the hf engine plans them.

    Args:
        units: streamed; one prefix tree each.
        prompter: tokenizer and template of the model.
        policy: which turns are sent.
        window: tokens of prompt and answer together; None for no limit.

    Raises:
        TemplateError: the template loses part of a conversation.
    """
    total = TokenBudget(exact=True)
    thinks = effective_thinking(prompter.settings, prompter.tokenizer) == "on"
    for unit in units:
        tree = PrefixTree()
        for request in unit.requests:
            prompt = prompter.prompt(keep(policy, request.messages, prompter).messages).ids
            ranked = [prompter.candidate(text) for text in _candidates(request)]
            sizes = [len(ids) for ids in ranked]
            answer = 0 if ranked else _answer(request, thinks=thinks)
            longest = len(prompt) + max(sizes, default=answer)
            too_long = window is not None and longest > window
            if not total.takes(request, len(prompt), sizes, answer, too_long=too_long):
                continue
            end = tree.insert(prompt)
            for ids in ranked:
                tree.insert(ids, end)
        total.close(len(tree))
    return total


def estimate_tokens(units: Iterable[Unit], *, policy: Policy = FULL) -> TokenBudget:
    """Tokens of some units from their characters, for a tokenizer like Qwen's.

    Args:
        units: streamed; one prefix tree each.
        policy: which turns are sent; one that counts tokens has none to count.

    Raises:
        ValueError: such a policy.
    """
    total = TokenBudget(exact=False)
    for unit in units:
        tree = PrefixTree()
        numbers: dict[_Piece, int] = {}
        for request in unit.requests:
            messages = keep(policy, request.messages).messages
            pieces = [*(_Piece(message.role, message.content) for message in messages), _ANSWER]
            ranked = [_Piece("", text) for text in _candidates(request)]
            prompt = round(sum(piece.tokens for piece in pieces))
            sizes = [max(1, round(piece.tokens)) for piece in ranked]
            answer = 0 if ranked else _answer(request, thinks=False)
            total.takes(request, prompt, sizes, answer, too_long=False)
            end = tree.insert(numbers.setdefault(piece, len(numbers)) for piece in pieces)
            for piece in ranked:
                tree.insert([numbers.setdefault(piece, len(numbers))], end)
        total.close(round(_weight(tree, list(numbers))))
    return total


class _Piece(NamedTuple):
    """A message, the opening of the answer, or a candidate (without a role)."""

    role: str
    text: str

    @property
    def tokens(self) -> float:
        """Estimated tokens, markers included; the opening of an answer has no closing ones."""
        around = 0 if not self.role else OPENING if self is _ANSWER else AROUND
        return text_tokens(self.text) + around

    def shared_with(self, other: _Piece) -> float:
        """Estimated tokens of the common beginning of two pieces at one place."""
        if self.role != other.role:
            return 0.0
        head = OPENING if self.role else 0
        common = commonprefix([self.text, other.text])  # noqa: RUF071 - characters are meant
        return head + text_tokens(common)


_ANSWER = _Piece("assistant", "")


def _candidates(request: Request) -> tuple[str, ...]:
    """What a request ranks; nothing where it generates."""
    return request.candidates if request.mode == "rank" else ()


def _answer(request: Request, *, thinks: bool) -> int:
    """Most tokens of an answer, its thought included where prompts ask for one."""
    return request.max_new_tokens + (request.max_thinking_tokens if thinks else 0)


def _weight(tree: PrefixTree, pieces: Sequence[_Piece]) -> float:
    """Estimated tokens of a tree of pieces: where pieces fork, their common beginning counts once.

    Sorted by text, each piece shares with the one before it what it shares with any of them.

    Args:
        tree: its tokens are places in `pieces`.
        pieces: distinct.
    """
    total, open_nodes = 0.0, [ROOT]
    while open_nodes:
        below = tree.children(open_nodes.pop())
        found = sorted(pieces[tree.token(node)] for node in below)
        total += sum(piece.tokens for piece in found)
        total -= sum(one.shared_with(two) for one, two in pairwise(found))
        open_nodes.extend(below)
    return total


@dataclass(frozen=True, slots=True)
class KvCache:
    """Memory of keys and values.

    Attributes:
        bytes_per_token: over the layers whose cache grows with the sequence.
        layers: number of these layers.
        other_layers: recurrent and sliding-window layers, whose memory is bounded.
        dtype: number format of the cache.
        window: context window in tokens; None where the configuration names none.
    """

    bytes_per_token: int
    layers: int
    other_layers: int
    dtype: str
    window: int | None

    def bytes_of(self, tokens: int) -> int:
        """Memory of one sequence."""
        return tokens * self.bytes_per_token


def kv_cache(
    config: Mapping[str, Any], dtype: str | None = None, *, max_context: int | None = None
) -> KvCache:
    """Keys and values of a text model: 2 x layers x K/V heads x head size x bytes a token.

    Args:
        config: of the text model, as transformers writes it.
        dtype: number format of the computation; None for that of the weights.
        max_context: the context window where it is not the configured one.

    Raises:
        ModelError: a number that is needed is missing.
    """
    heads = _whole(config, "num_attention_heads")
    layers = _whole(config, "num_hidden_layers")
    size = config.get("head_dim") or _whole(config, "hidden_size") // heads
    shipped = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    dtype = dtype or shipped.rpartition(".")[2]
    kinds = config.get("layer_types") or ["full_attention"] * layers
    growing = sum(kind == "full_attention" for kind in kinds)
    shared_heads = config.get("num_key_value_heads") or heads
    positions = config.get("max_position_embeddings"), config.get("rope_parameters")
    return KvCache(
        bytes_per_token=2 * growing * int(shared_heads) * int(size) * _BYTES.get(dtype, 4),
        layers=growing,
        other_layers=layers - growing,
        dtype=dtype,
        window=max_context or shared_window(*positions) or configured_window(*positions),
    )


def _whole(config: Mapping[str, Any], name: str) -> int:
    """A positive number of the configuration."""
    value = config.get(name)
    if not isinstance(value, int) or value < 1:
        raise ModelError(
            f"the model's configuration has no {name}",
            why="the memory of keys and values cannot be computed from it",
        )
    return value
