"""Attention kernels that also return the log-sum-exp of the scores.

Two attention results over different keys can be merged exactly only if the log-sum-exp of each is
known, and no public function of torch returns it on every device. The private ones stand behind one
signature here, each is compared with a portable kernel before it is used, and the portable one
takes over where it differs or is missing. Knows tensors; nothing of trees, caches or models.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import NamedTuple, Protocol

import torch

SCORES_BYTES = 64 << 20
"""Most memory for scores that the portable kernel holds at one time."""
BOUNDS = {torch.float32: 5e-6, torch.bfloat16: 2e-2, torch.float16: 5e-3}
"""Largest difference to the portable kernel, for values of size one."""

_LOG = logging.getLogger(__name__)


class Attended(NamedTuple):
    """Result of attention.

    Attributes:
        out: (batch, query heads, queries, head size), dtype of the queries.
        lse: (batch, query heads, queries) natural log of the sum of exponentiated scores, float32.
    """

    out: torch.Tensor
    lse: torch.Tensor


class Attend(Protocol):
    """Softmax attention of queries to at least one key each."""

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        mask: torch.Tensor | None = None,
        causal: bool = False,
        scale: float,
    ) -> Attended:
        """Attend.

        Args:
            query: (batch, query heads, queries, head size).
            key: (batch, key/value heads, keys, head size); several query heads in a row share one.
            value: as `key`.
            mask: (batch, 1, queries, keys), added to the scores; dtype of the queries.
            causal: query i sees keys 0 to i only; no mask then, and as many keys as queries.
            scale: factor of the scores.
        """
        ...


def portable(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    mask: torch.Tensor | None = None,
    causal: bool = False,
    scale: float,
) -> Attended:
    """The definition, in float32, some rows and queries at a time. See `Attend`."""
    rows, heads, queries, size = query.shape
    shared, keys = key.shape[1], key.shape[2]
    one = heads * keys * 4
    step = max(1, min(queries, SCORES_BYTES // one))
    batch = max(1, min(rows, SCORES_BYTES // (one * step)))
    out = torch.empty((rows, heads, queries, size), dtype=query.dtype, device=query.device)
    lse = torch.empty((rows, heads, queries), dtype=torch.float32, device=query.device)
    for row in range(0, rows, batch):
        some = slice(row, row + batch)
        keys_t = key[some].float().transpose(-1, -2)
        values = value[some].float()
        for start in range(0, queries, step):
            part = query[some, :, start : start + step].float() * scale
            held, _, length, _ = part.shape
            scores = part.reshape(held, shared, -1, size) @ keys_t
            by_head = scores.view(held, heads, length, keys)
            if mask is not None:
                by_head += mask[some, :, start : start + step].float()
            if causal:
                later = torch.ones(length, keys, dtype=torch.bool, device=query.device)
                by_head.masked_fill_(later.triu(start + 1), float("-inf"))
            total = by_head.logsumexp(-1)
            weights = (by_head - total[..., None]).exp_().view_as(scores)
            found = (weights @ values).view(held, heads, length, size)
            out[some, :, start : start + step] = found.to(out.dtype)
            lse[some, :, start : start + step] = total
    return Attended(out, lse)


def flash_cpu(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    mask: torch.Tensor | None = None,
    causal: bool = False,
    scale: float,
) -> Attended:
    """Torch's blocked kernel for CPUs. See `Attend`. Without keys it ends the process."""
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(  # noqa: SLF001 - no public function returns the log-sum-exp
        query, key, value, 0.0, causal, attn_mask=mask, scale=scale
    )
    return Attended(out, lse)


def flash_cuda(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    mask: torch.Tensor | None = None,
    causal: bool = False,
    scale: float,
) -> Attended:
    """FlashAttention of torch for 16 bit on CUDA; masked parts, which are short, go to `portable`.

    See `Attend`. Not run on the machines this was written on.
    """
    if mask is not None:
        return portable(query, key, value, mask=mask, causal=causal, scale=scale)
    from torch.nn.attention.varlen import AuxRequest, varlen_attn  # noqa: PLC0415 - not in torch 2.5

    rows, heads, queries, size = query.shape
    keys = key.shape[2]
    out, lse = varlen_attn(
        _packed(query),
        _packed(key),
        _packed(value),
        torch.arange(rows + 1, dtype=torch.int32, device=query.device) * queries,
        torch.arange(rows + 1, dtype=torch.int32, device=query.device) * keys,
        queries,
        keys,
        return_aux=AuxRequest(lse=True),
        scale=scale,
        window_size=(-1, 0) if causal else (-1, -1),
        enable_gqa=True,
        num_splits=1,
    )
    if lse.shape[0] != heads:  # documented as (tokens, heads), returned as (heads, tokens)
        lse = lse.transpose(0, 1)
    by_row = out.view(rows, queries, heads, size).transpose(1, 2)
    return Attended(by_row, lse.reshape(heads, rows, queries).transpose(0, 1).float())


def efficient_cuda(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    mask: torch.Tensor | None = None,
    causal: bool = False,
    scale: float,
) -> Attended:
    """Torch's memory-efficient kernel for float32 on CUDA. See `Attend`, and `flash_cuda`."""
    if mask is not None:
        return portable(query, key, value, mask=mask, causal=causal, scale=scale)
    group = query.shape[1] // key.shape[1]
    if group > 1:
        key, value = (part.repeat_interleave(group, dim=1) for part in (key, value))
    out, lse, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(  # noqa: SLF001 - as above
        query, key, value, None, compute_log_sumexp=True, is_causal=causal, scale=scale
    )
    # The kernel rounds the number of queries up.
    return Attended(out, lse[..., : query.shape[2]].float())


KERNELS: dict[str, Attend] = {
    "flash_cpu": flash_cpu,
    "flash_cuda": flash_cuda,
    "efficient_cuda": efficient_cuda,
    "portable": portable,
}


@cache
def choose_kernel(device: torch.device, dtype: torch.dtype, size: int = 64) -> str:
    """Name of the fastest kernel for a device that agrees with the portable one there.

    Args:
        device: of the model.
        dtype: of the model.
        size: of a head; not every kernel takes every size.
    """
    if device.type == "cpu":
        name = "flash_cpu"
    elif device.type == "cuda":
        name = "efficient_cuda" if dtype == torch.float32 else "flash_cuda"
    else:
        return "portable"
    try:
        difference = compare(KERNELS[name], device, dtype, size)
    except (RuntimeError, AttributeError, ImportError, TypeError, ValueError) as error:
        _LOG.warning("attention kernel %s is not used: %s", name, type(error).__name__)
        return "portable"
    if difference <= BOUNDS.get(dtype, 0.0):
        return name
    _LOG.warning("attention kernel %s is not used: it differs by %.1e", name, difference)
    return "portable"


def compare(kernel: Attend, device: torch.device, dtype: torch.dtype, size: int = 64) -> float:
    """Largest difference of outputs and log-sum-exps to `portable` on small random inputs.

    Plain, causal, masked, with grouped heads and keys that are not contiguous.

    Args:
        kernel: to compare.
        device: where.
        dtype: of the inputs.
        size: of a head.
    """
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    query, key, value = draw(2, 8, 19, size), draw(2, 40, 2, size), draw(2, 40, 2, size)
    mask = torch.zeros((2, 1, 19, 40), device=device, dtype=dtype)
    mask[1, :, :, 25:] = float("-inf")
    key, value = key.transpose(1, 2), value.transpose(1, 2)
    cases = (
        (key, value, None, False),
        (key, value, mask, False),
        (key[:, :, :19], value[:, :, :19], None, True),
    )
    worst = 0.0
    for keys, values, masked, causal in cases:
        own = kernel(query, keys, values, mask=masked, causal=causal, scale=size**-0.5)
        expected = portable(query, keys, values, mask=masked, causal=causal, scale=size**-0.5)
        worst = max(
            worst,
            float((own.out.float() - expected.out.float()).abs().max()),
            float((own.lse - expected.lse).abs().max()),
        )
    return worst


def merge_into(own: Attended, other: Attended) -> None:
    """Make `own` the attention over the keys of both, exactly, in float32 and in place.

    The log-sum-exps say which share of the whole softmax each part has.

    Args:
        own: in any order of dimensions; the head size is the last one of `out`.
        other: the same queries over other keys, in the same order.
    """
    share = torch.sigmoid(other.lse - own.lse)[..., None]
    if own.out.dtype == torch.float32:
        own.out.lerp_(other.out, share)
    else:
        own.out.copy_(torch.lerp(own.out.float(), other.out.float(), share))
    own.lse.copy_(torch.logaddexp(own.lse, other.lse))


def _packed(part: torch.Tensor) -> torch.Tensor:
    """(batch, heads, tokens, head size) as (batch * tokens, heads, head size)."""
    return part.transpose(1, 2).reshape(-1, part.shape[1], part.shape[3])
