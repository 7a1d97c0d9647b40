"""Opening vLLM engines: one vLLM a base."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qwen_bench.engines.loading import LoadedModels, shipped_template
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.prompter import chat_settings
from qwen_bench.engines.vllm.vllm_engine import VllmEngine
from qwen_bench.engines.vllm.vllm_model import VllmBase, open_base


class VllmModels(LoadedModels[VllmBase]):
    """The bases that are open in vLLM, which is told at its start of all adapters to come."""

    def load(self, spec: ModelSpec, adapters: Sequence[Path], *, shared: bool) -> VllmBase:
        """Start a vLLM, which keeps adapters apart from its base by itself."""
        del shared
        return open_base(spec, self.options, adapters)

    def engine(self, base: VllmBase, spec: ModelSpec) -> VllmEngine:
        """An engine on a vLLM."""
        options, adapter = self.options, None
        if spec.kind == "adapter" and spec.path is not None:
            adapter = base.attach(spec.path, allow_pickle=options.allow_pickle)
        shipped = shipped_template(base.loaded.tokenizer)
        own = (adapter.chat_template if adapter else None) or shipped
        settings = chat_settings(spec, options, own)
        return VllmEngine(base, settings, spec, adapter=adapter, policy=options.policy)

    def free(self, base: VllmBase) -> None:
        """End it."""
        base.discard()
