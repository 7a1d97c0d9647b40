"""Opening vLLM engines: one vLLM a base, ended when no engine of its is still to come.

Knows SPECs and options; nothing of requests.
"""

from __future__ import annotations

from collections.abc import Sequence

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.loading import shipped_template
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.prompter import chat_settings
from qwen_bench.engines.vllm.engine import VllmEngine
from qwen_bench.engines.vllm.vllm_model import VllmBase, open_base


class VllmModels:
    """The bases that are open in vLLM.

    Args:
        options: device, template and the like.
    """

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._bases: dict[tuple[str, str, str | None], VllmBase] = {}

    def open(self, spec: ModelSpec, later: Sequence[ModelSpec]) -> VllmEngine:
        """The engine of a SPEC; vLLM is told at its start of all adapters that are to come.

        Args:
            spec: a full model, or an adapter on one.
            later: SPECs still to come.

        Raises:
            QwenBenchError: a model cannot be used as given.
        """
        options, key = self._options, spec.weights_key
        if key not in self._bases:
            folders = [
                other.path
                for other in (spec, *later)
                if other.kind == "adapter" and other.path is not None and other.weights_key == key
            ]
            self._bases[key] = open_base(spec.weights, options, folders)
        base = self._bases[key]
        adapter = None
        if spec.kind == "adapter" and spec.path is not None:
            adapter = base.attach(spec.path, allow_pickle=options.allow_pickle)
        own = (adapter.chat_template if adapter else None) or shipped_template(
            base.loaded.tokenizer
        )
        settings = chat_settings(spec, options, own)
        return VllmEngine(base, settings, spec, adapter=adapter, policy=options.policy)

    def keep(self, later: Sequence[ModelSpec]) -> None:
        """End the vLLMs that none of these SPECs needs."""
        needed = {spec.weights_key for spec in later}
        for key in [key for key in self._bases if key not in needed]:
            self._bases.pop(key).discard()

    def close(self) -> None:
        """End all."""
        self.keep(())
