"""Putting a checked adapter on a base in memory, and looking whether it is computed with.

It is never merged. Loaded is not applied: PEFT takes tensors that the model alone then does not
use, so the model is compared with PEFT's own computation on fixed prompts.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict

from qwen_bench.engines.adapters import (
    AttachedAdapter,
    CheckedAdapter,
    check_loaded,
    checked_adapter,
)
from qwen_bench.engines.hf.isolation import check_prompts, last_logits, logits_of, same_bits
from qwen_bench.engines.loading import LoadedBase
from qwen_bench.errors import AdapterMismatchError

_ROUNDING = 1e-4
SEED = 0
"""For methods that start from random numbers although their weights come from a file."""


def attach_adapter(
    base: LoadedBase, folder: Path, *, allow_pickle: bool = False
) -> AttachedAdapter:
    """Check an adapter folder and put it on the base; the base itself stays usable.

    Raises:
        AdapterMismatchError: it does not fit, or see `attach`.
        ModelError: the adapter's files cannot be used.
    """
    return attach(base, checked_adapter(base, folder, allow_pickle=allow_pickle))


def attach(base: LoadedBase, adapter: CheckedAdapter) -> AttachedAdapter:
    """Put an adapter on the base.

    Nothing is computed before that: bitsandbytes packs weights on a CPU at their first use, and
    PEFT then wraps what they no longer are.

    Raises:
        AdapterMismatchError: PEFT refuses it, a tensor was not loaded, or the model alone does not
            compute what PEFT does.
    """
    key = str(adapter.folder.absolute())
    if key in base.adapters:
        known: AttachedAdapter = base.adapters[key]
        return known
    name = f"adapter-{len(base.adapters)}"
    prompts = check_prompts(int(base.config.vocab_size), _own_tokens(adapter.config))
    with warnings.catch_warnings():
        # peft warns of what is checked here: tied weights, biases, tensors, other adapters.
        warnings.simplefilter("ignore")
        _load(base, adapter, name)
        loaded = get_peft_model_state_dict(
            base.peft, adapter_name=name, save_embedding_layers=False
        )
        check_loaded(set(adapter.tensors) - adapter.saved_base, set(loaded) - adapter.saved_base)
        found = logits_of(base, name, prompts)
        _check_applied(base, adapter, name, prompts, found)
        unchanged = same_bits(logits_of(base, None, prompts), found)
    same = "it changes nothing: on fixed prompts its logits are those of the base"
    told = any("changes nothing" in line for line in adapter.warnings)
    more = [f"adapter {adapter.shown}: {same}"] if unchanged and not told else []
    attached = adapter.attached(name, *more)
    base.adapters[key] = attached
    return attached


def _load(base: LoadedBase, adapter: CheckedAdapter, name: str) -> None:
    """Let PEFT load it.

    Raises:
        AdapterMismatchError: it refuses.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            if base.peft is None:
                base.peft = PeftModel.from_pretrained(base.model, adapter.folder, adapter_name=name)
            else:
                base.peft.load_adapter(adapter.folder, adapter_name=name)
    except (ValueError, RuntimeError, OSError, TypeError, KeyError, ImportError) as error:
        raise AdapterMismatchError(
            f"the adapter {adapter.shown} cannot be put on {base.source.resolved}",
            why=str(error).strip().splitlines()[:4],
        ) from error
    base.peft.eval()
    base.peft.requires_grad_(requires_grad=False)


def _check_applied(
    base: LoadedBase,
    adapter: CheckedAdapter,
    name: str,
    prompts: torch.Tensor,
    found: torch.Tensor,
) -> None:
    """Compare the model alone, which is what engines ask, with PEFT's wrapper around it.

    Raises:
        AdapterMismatchError: they differ.
    """
    try:
        with torch.inference_mode(), base.weights(name):
            expected = last_logits(base.peft, prompts.to(base.device))
    except (ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise AdapterMismatchError(
            f"PEFT cannot compute with the adapter {adapter.shown}",
            why=str(error).strip().splitlines()[:4],
        ) from error
    scale = max(1.0, float(expected.abs().max()))
    bound = max(_ROUNDING, 8 * torch.finfo(expected.dtype).eps) * scale
    if float((found - expected).abs().max()) > bound:
        raise AdapterMismatchError(
            f"the adapter {adapter.shown} cannot be computed here: {adapter.peft_type}",
            why="the model alone, which the engine asks, does not give what PEFT gives around it",
        )


def _own_tokens(config: Mapping[str, Any]) -> list[int]:
    """Tokens that an adapter has embeddings for, without which it would change nothing."""
    given = config.get("token_indices") or config.get("trainable_token_indices") or []
    lists = given.values() if isinstance(given, dict) else [given]
    return sorted({token for tokens in lists for token in tokens})
