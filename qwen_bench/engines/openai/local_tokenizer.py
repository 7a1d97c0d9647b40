"""The tokenizer on this side, for counting, ordering, policies that count, and ranking.

A server has its own; this one is named by ``-M tokenizer=`` and checked against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from qwen_bench.chat.rendering import ChatSettings, choose_template
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import MODEL_CONFIG, ModelSpec, parse_spec
from qwen_bench.engines.prompter import Prompter
from qwen_bench.errors import InputError, ModelError


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
    if spec.path is None or (spec.path / MODEL_CONFIG).is_file():
        try:
            found = load_config(spec, options).get("max_position_embeddings")
        except ModelError:
            found = None
        window = found if isinstance(found, int) and found > 0 else None
    return Local(prompter, spec.default_label, window)


def _spec(given: str) -> ModelSpec:
    folder = Path(given).expanduser()
    if folder.is_dir():
        return ModelSpec(given, "local", given, path=folder)
    spec = parse_spec(given)
    if spec.kind not in {"embedded", "hub", "local"}:
        raise InputError(
            f"-M tokenizer={given}: not a model with a tokenizer",
            fix="give a Hub id, a folder, or embedded",
        )
    return spec
