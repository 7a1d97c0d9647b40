"""The single place that calls the model.

Everything that goes through the model is counted here, so the books cannot miss a token. Knows
tensors, nothing of trees, prompts or adapters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from qwen_bench.engines.hf.linear_layers import LinearLayers
from qwen_bench.record.counters import Counters


class Forward:
    """A causal language model as a function from token ids to logits.

    Args:
        model: called with transformers' keyword arguments; its result has `logits`.
        config: configuration of the text model.
        device: where inputs go.
        dtype: number format of the weights.
        counters: receives `forward_tokens`.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - transformers models have no usable static type
        config: Any,  # noqa: ANN401 - as above
        device: torch.device,
        dtype: torch.dtype,
        counters: Counters,
    ) -> None:
        self.config = config
        self.device = device
        self.dtype = dtype
        self.linear = LinearLayers(model, device, dtype)
        self._model = model
        self._counters = counters

    @contextmanager
    def attention(self, name: str) -> Iterator[None]:
        """Compute with another attention function of transformers; the old one comes back."""
        before = self.config._attn_implementation  # noqa: SLF001 - its only name
        self._model.set_attn_implementation(name)
        try:
            yield
        finally:
            self._model.set_attn_implementation(before)

    def __call__(
        self,
        tokens: Sequence[Sequence[int]],
        *,
        keep: Sequence[int],
        cache: Any = None,  # noqa: ANN401 - a transformers Cache
        positions: Sequence[int] | None = None,
        sharing: Any = None,  # noqa: ANN401 - an `attention.Pass`
    ) -> torch.Tensor:
        """Logits at some positions; the cache grows by the tokens.

        Args:
            tokens: (batch, time) ids, rows of equal length.
            keep: which of the `time` positions to return logits for, the same for every row.
            cache: keys and values of earlier tokens, if transformers keeps them.
            positions: (time,) position ids; by default they follow the cache.
            sharing: handed to the attention function of every layer.

        Returns:
            (batch, len(keep), vocabulary) logits.
        """
        input_ids = torch.tensor(tokens, dtype=torch.long, device=self.device)
        options: dict[str, Any] = {}
        if positions is not None:
            options["position_ids"] = torch.tensor([positions], device=self.device)
        if sharing is not None:
            options["sharing"] = sharing
        self._counters.put_through(input_ids.numel())
        with self.linear.quick():
            output = self._model(
                input_ids=input_ids,
                past_key_values=cache,
                use_cache=cache is not None,
                logits_to_keep=torch.tensor(keep, dtype=torch.long, device=self.device),
                **options,
            )
        logits: torch.Tensor = output.logits
        return logits
