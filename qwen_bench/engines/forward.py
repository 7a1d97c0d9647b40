"""The single place that calls the model.

Everything that goes through the model is counted here, so the books cannot miss a token. Knows
tensors, nothing of trees, prompts or adapters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from qwen_bench.engines.protocol import Efficiency


class Forward:
    """A causal language model as a function from token ids to logits.

    Args:
        model: called with transformers' keyword arguments; its result has `logits`.
        config: configuration of the text model.
        device: where inputs go.
        dtype: number format of the weights, used for attention masks.
        counters: receives `forward_tokens`.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - transformers models have no usable static type
        config: Any,  # noqa: ANN401 - as above
        device: torch.device,
        dtype: torch.dtype,
        counters: Efficiency,
    ) -> None:
        self.config = config
        self.device = device
        self.dtype = dtype
        self._model = model
        self._counters = counters

    def __call__(
        self,
        tokens: Sequence[Sequence[int]],
        *,
        cache: Any,  # noqa: ANN401 - a transformers Cache
        keep: Sequence[int],
        positions: Sequence[int] | None = None,
        visible: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits at some positions; the cache grows by the tokens.

        Args:
            tokens: (batch, time) ids, rows of equal length.
            cache: keys and values of earlier tokens, or None.
            keep: which of the `time` positions to return logits for, the same for every row.
            positions: (time,) position ids; by default they follow the cache.
            visible: (time, cached + time) bool, what each token may attend to; by default all
                earlier tokens.

        Returns:
            (batch, len(keep), vocabulary) logits.
        """
        input_ids = torch.tensor(tokens, dtype=torch.long, device=self.device)
        options: dict[str, Any] = {}
        if positions is not None:
            options["position_ids"] = torch.tensor([positions], device=self.device)
        if visible is not None:
            mask = torch.zeros(visible.shape, dtype=self.dtype, device=self.device)
            mask.masked_fill_(~visible, torch.finfo(self.dtype).min)
            options["attention_mask"] = mask[None, None]
        self._counters.forward_tokens += input_ids.numel()
        output = self._model(
            input_ids=input_ids,
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=torch.tensor(keep, dtype=torch.long, device=self.device),
            **options,
        )
        logits: torch.Tensor = output.logits
        return logits
