"""Opening hf engines: weights, adapters, and how much is computed together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qwen_bench.engines.adapters import attach_adapter
from qwen_bench.engines.device_memory import memory_budget
from qwen_bench.engines.engine_options import EngineOptions, read_bytes
from qwen_bench.engines.hf.hf_engine import HfEngine
from qwen_bench.engines.hf.tasks import Limits
from qwen_bench.engines.loading import LoadedBase, LoadedModels, load_base, shipped_template
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.prompter import chat_settings

if TYPE_CHECKING:
    import torch


class HfModels(LoadedModels[LoadedBase]):
    """Bases in this process, with their adapters on them."""

    def load(self, spec: ModelSpec, adapters: Sequence[Path]) -> LoadedBase:
        """Load the weights and put all adapters on them."""
        base = load_base(spec, self.options)
        for folder in adapters:
            attach_adapter(base, folder, allow_pickle=self.options.allow_pickle)
        return base

    def engine(self, base: LoadedBase, spec: ModelSpec) -> HfEngine:
        """An engine; as many may be open on one base as there are SPECs."""
        options, adapter = self.options, None
        if spec.kind == "adapter" and spec.path is not None:
            adapter = attach_adapter(base, spec.path, allow_pickle=options.allow_pickle)
        own = (adapter.chat_template if adapter else None) or shipped_template(base.tokenizer)
        return HfEngine(
            base,
            chat_settings(spec, options, own),
            spec,
            adapter=adapter,
            policy=options.policy,
            limits=limits_for(options, base.device),
        )

    def free(self, base: LoadedBase) -> None:
        """Nothing more than forgetting it."""


def limits_for(options: EngineOptions, device: torch.device) -> Limits:
    """How much is computed together: what the user set, else what the device has.

    Called with the weights loaded, so that they do not count as free.

    Raises:
        ValueError: a setting that is no size.
    """
    given = options.model_args.get("memory")
    memory = memory_budget(device) if given is None else read_bytes(str(given))
    limits = Limits(memory_bytes=memory)
    if options.batch_size is not None:
        limits.rows = options.batch_size
    if "chunk_tokens" in options.model_args:
        limits.chunk = int(options.model_args["chunk_tokens"])
    return limits
