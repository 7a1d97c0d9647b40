"""Opening hf engines: every base is loaded once, and freed when no engine of its is still to come.

Knows SPECs and options; nothing of requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from qwen_bench.engines.adapters import attach_adapter
from qwen_bench.engines.device_memory import limits_for
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.hf.engine import HfEngine
from qwen_bench.engines.loading import LoadedBase, load_base, shipped_template
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.prompter import chat_settings


class HfModels:
    """The bases that are loaded.

    Args:
        options: device, template and the like.
    """

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._bases: dict[tuple[str, str, str | None], LoadedBase] = {}

    def open(self, spec: ModelSpec, later: Sequence[ModelSpec]) -> HfEngine:
        """The engine of a SPEC.

        All adapters of a base are put on it at once, so that a bad one is found before the first
        probe is answered.

        Args:
            spec: a full model, or an adapter on one.
            later: SPECs still to come.

        Raises:
            QwenBenchError: a model cannot be used as given.
        """
        options, key = self._options, spec.weights_key
        if key not in self._bases:
            self._bases[key] = load_base(spec.weights, options)
        base = self._bases[key]
        attached = {
            other.path: attach_adapter(base, other.path, allow_pickle=options.allow_pickle)
            for other in (spec, *later)
            if other.kind == "adapter" and other.path is not None and other.weights_key == key
        }
        adapter = attached.get(spec.path) if spec.path is not None else None
        own = (adapter.chat_template if adapter else None) or shipped_template(base.tokenizer)
        return HfEngine(
            base,
            chat_settings(spec, options, own),
            spec,
            adapter=adapter,
            policy=options.policy,
            limits=limits_for(options, base.device),
        )

    def keep(self, later: Sequence[ModelSpec]) -> None:
        """Free the bases that none of these SPECs needs."""
        needed = {spec.weights_key for spec in later}
        self._bases = {key: base for key, base in self._bases.items() if key in needed}

    def close(self) -> None:
        """Free all."""
        self._bases.clear()


@contextmanager
def exact_products() -> Iterator[None]:
    """Products of float32 stay float32 (no TF32, no bf16 inside), as long as engines are open."""
    precision = torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = cudnn
