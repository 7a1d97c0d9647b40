"""The single place that calls the model.

Everything that goes through the model is counted here, so the counters cannot miss a token. Knows
tensors and modules, nothing of trees, prompts or adapters.

Products of linear layers in float32 on a CPU are computed by oneDNN where torch brings it: torch
multiplies float32 with MKL, which on AMD processors ran at half the speed of oneDNN (256 to 2,265
tokens, hidden size 256 and 768, one thread: 95 against 210 GFLOPS). The operator is private, so it
is compared with the public one before its first use and left out when it differs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from qwen_bench.record.counters import Counters

Product = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
ROWS = 16
"""Tokens from which on oneDNN is the quicker one."""
_LOG = logging.getLogger(__name__)


def _onednn(tokens: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001 - no public name
        tokens, weight, bias, "none", [], ""
    )
    return product


def agrees(product: Product) -> bool:
    """Whether a product is that of torch, up to the rounding of float32 sums."""
    source = torch.Generator().manual_seed(0)
    tokens = torch.randn((1, 2 * ROWS, 96), generator=source)
    weight, bias = torch.randn((48, 96), generator=source), torch.randn(48, generator=source)
    try:
        found = [product(tokens, weight, each) for each in (bias, None)]
    except (RuntimeError, AttributeError, NotImplementedError, TypeError):
        return False
    plain = [functional.linear(tokens, weight, each) for each in (bias, None)]
    return all(
        one.shape == two.shape and torch.allclose(one, two, rtol=0, atol=1e-4)
        for one, two in zip(found, plain, strict=True)
    )


@cache
def onednn_agrees() -> bool:
    """Whether oneDNN can be used in this process; looked at once, and logged when not."""
    usable = agrees(_onednn)
    if not usable:
        _LOG.info("linear layers are computed by torch's default: oneDNN is missing or differs")
    return usable


class LinearLayers:
    """The linear layers of a model.

    Args:
        model: with every adapter that is to be used.
        device: of its weights.
        dtype: of its weights.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - transformers models have no usable static type
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        usable = device.type == "cpu" and dtype == torch.float32 and onednn_agrees()
        # Only the plain class: others, and layers that something already changed, know better.
        self._layers = [
            layer
            for layer in (model.modules() if usable and isinstance(model, nn.Module) else ())
            if type(layer) is nn.Linear and "forward" not in vars(layer)
        ]

    @property
    def library(self) -> str:
        """What computes them."""
        return "oneDNN" if self._layers else "torch"

    @contextmanager
    def quick(self) -> Iterator[None]:
        """Compute them quickly; afterwards they are as they came."""
        for layer in self._layers:
            vars(layer)["forward"] = partial(_forward, layer)
        try:
            yield
        finally:
            for layer in self._layers:
                del vars(layer)["forward"]


def _forward(layer: nn.Linear, tokens: torch.Tensor) -> torch.Tensor:
    product = _onednn if tokens.numel() >= ROWS * tokens.shape[-1] else functional.linear
    return product(tokens, layer.weight, layer.bias)


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
