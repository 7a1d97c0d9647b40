"""What is sent for a request, and in which order; prepared with the tokenizer on this side, if any.

A server has a tokenizer of its own; the one here is named by ``-M tokenizer=`` and checked against
it. It serves counting, policies that count, and ranking.

Servers keep what they computed for the prompt before. In the order of the tree (sorted tokens are
a depth-first walk) every prompt shares with the one before all that it shares with any earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from qwen_bench.chat.messages import Conversation, Message, as_dicts
from qwen_bench.chat.policy import Policy, keep
from qwen_bench.chat.rendering import ChatSettings, choose_template, with_system
from qwen_bench.engines.checkpoint_files import MODEL_CONFIG
from qwen_bench.engines.context_window import configured_window
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import ModelSpec, parse_spec
from qwen_bench.engines.prefix_tree import PrefixTree
from qwen_bench.engines.prepared_request import refused_here
from qwen_bench.engines.prompter import EncodedPrompt, Prompter
from qwen_bench.errors import InputError, ModelError
from qwen_bench.protocol import Reply, Request


@dataclass(frozen=True, slots=True)
class Local:
    """A tokenizer with its template.

    The methods may be called from several threads, the prompter's may not: a tokenizer that is
    being switched between its ways of encoding cannot be used by another thread and raises.

    Attributes:
        name: as given, a path by its last component.
        context_window: of the model it belongs to; None where only the tokenizer is there.
    """

    prompter: Prompter
    name: str
    context_window: int | None
    lock: Lock = field(default_factory=Lock)

    def written(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens kept."""
        with self.lock:
            return self.prompter.whole_text(ids)

    def token_names(self, token: int) -> set[str]:
        """What a server may call a token: its text, or its entry in the vocabulary."""
        with self.lock:
            return {self.prompter.whole_text((token,)), self.prompter.name(token)}

    def text_tokens(self, text: str) -> int:
        """Tokens of a text encoded alone."""
        with self.lock:
            return self.prompter.text_tokens(text)

    def head(self, text: str, most: int) -> str:
        """The first so many tokens of a text."""
        with self.lock:
            ids = self.prompter.candidate(text)
            return text if len(ids) <= most else self.prompter.text(ids[:most])


def load_local(options: EngineOptions) -> Local | None:
    """The tokenizer of ``-M tokenizer=``; None when it is not given.

    Raises:
        InputError: it is not a model or folder.
        ModelError: it cannot be loaded, or has no chat template.
    """
    given = options.model_args.get("tokenizer")
    if given is None:
        return None
    from qwen_bench.engines.loading import (  # noqa: PLC0415 - seconds to import
        load_config,
        load_tokenizer,
        shipped_template,
    )

    spec = _spec(str(given))
    tokenizer = load_tokenizer(spec, options)
    template = choose_template(None, shipped_template(tokenizer), spec.default_label)
    prompter = Prompter(tokenizer, ChatSettings(template, options.system, options.thinking))
    window = None
    if spec.path is None or spec.kind == "gguf" or (spec.path / MODEL_CONFIG).is_file():
        try:
            config = load_config(spec, options)
        except ModelError:
            config = {}
        window = configured_window(
            config.get("max_position_embeddings"), config.get("rope_parameters")
        )
    return Local(prompter, spec.default_label, window)


def _spec(given: str) -> ModelSpec:
    folder = Path(given).expanduser()
    if folder.is_dir():
        return ModelSpec(given, "local", given, path=folder)
    spec = parse_spec(given)
    if spec.kind not in {"embedded", "hub", "local", "gguf"}:
        raise InputError(
            f"-M tokenizer={given}: not a model with a tokenizer",
            fix="give a Hub id, a folder, a GGUF file, or embedded",
        )
    return spec


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """A request as it is sent.

    Attributes:
        messages: after policy and system option.
        dropped: turns that the policy left out.
        prompt: rendered on this side; None without a tokenizer here.
        candidates: token ids of each, for ranking.
    """

    request: Request
    messages: Conversation
    dropped: int
    prompt: EncodedPrompt | None
    candidates: tuple[tuple[int, ...], ...] = ()

    @property
    def reply(self) -> Reply:
        """What is known of the reply before there is an answer."""
        return Reply(
            self.request.id,
            self.request.mode,
            "ok",
            prompt_tokens=len(self.prompt.ids) if self.prompt is not None else None,
            dropped_turns=self.dropped,
        )

    def refused(self, limit: int | None) -> Reply | None:
        """The reply where it cannot be sent; None where it can, or nothing is known here."""
        if self.prompt is None:
            return None
        budget = self.request.max_new_tokens
        return refused_here(self.reply, self.prompt, self.candidates, budget, window=limit)

    @property
    def size(self) -> int:
        """Tokens of the prompt, or characters where no tokenizer is here."""
        if self.prompt is not None:
            return len(self.prompt.ids)
        return sum(len(message.content) for message in self.messages)

    @property
    def sent(self) -> list[dict[str, str]]:
        """The messages as JSON."""
        return as_dicts(self.messages)


def prepare(request: Request, policy: Policy, system: str, local: Local | None) -> ServerRequest:
    """Apply policy and system option; render and encode where a tokenizer is here.

    Args:
        request: what to ask.
        policy: which turns are sent.
        system: ``default``, ``none`` or the text itself.
        local: tokenizer on this side.

    Raises:
        TemplateError: the template loses part of the conversation.
    """
    if local is None:
        messages, dropped = keep(policy, request.messages)
        if system not in {"default", "none"} and messages[0].role != "system":
            messages = (Message("system", system), *messages)
        return ServerRequest(request, messages, dropped, None)
    prompter = local.prompter
    messages, dropped = keep(policy, request.messages, prompter)
    prompt = prompter.prompt(messages)
    full = with_system(messages, prompter.settings, prompter.tokenizer)
    candidates = tuple(prompter.candidate(text) for text in request.candidates)
    return ServerRequest(
        request, full, dropped, prompt, candidates if request.mode == "rank" else ()
    )


def in_tree_order(asked: Sequence[ServerRequest]) -> list[ServerRequest]:
    """Depth first: by token ids, without a tokenizer by messages; equal prompts side by side."""
    if all(item.prompt is not None for item in asked):
        return sorted(asked, key=lambda item: item.prompt.ids if item.prompt else ())
    return sorted(asked, key=lambda item: [(m.role, m.content) for m in item.messages])


def tree_tokens(asked: Sequence[ServerRequest]) -> int:
    """Distinct nodes of the prefix tree, candidates included; 0 without a tokenizer here."""
    tree = PrefixTree()
    for item in asked:
        if item.prompt is not None:
            end = tree.insert(item.prompt.ids)
            for ids in item.candidates:
                tree.insert(ids, end)
    return len(tree)
