"""LoRA weights on a loaded base: made, written and checked. Knows PEFT, nothing of data."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save

from qwen_bench.engines.adapters import check_loaded, checked_adapter, zero_adapter
from qwen_bench.engines.loading import LoadedBase
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.errors import AdapterMismatchError, InputError
from qwen_bench.training.recipe import LoraBlock

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
COPIED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "generation_config.json",
)
"""Files of a local base that go with its adapter; a base with a name is found by its name."""


def add_lora(base: LoadedBase, lora: LoraBlock) -> Any:  # noqa: ANN401 - a PEFT model
    """A PEFT model over the base; only its LoRA factors require gradients.

    A fresh LoRA changes nothing, because its factor B is zero. Draws from torch's global generator.

    Raises:
        InputError: no module of the base has one of the target names.
    """
    targets = lora.target_modules
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            # PEFT 0.21 reads an attribute that transformers 5.23 renamed; nothing to mend here.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            return get_peft_model(base.model, config)
    except ValueError as error:
        modules = sorted({name.rpartition(".")[2] for name, size in base.sizes.items() if size})
        raise InputError(
            f"lora.target_modules: {base.architecture} has none of {targets}",
            fix=f"it has {', '.join(modules)}",
        ) from error


def write_weights(model: Any, folder: Path) -> None:  # noqa: ANN401 - a PEFT model
    """Write the LoRA factors into an existing folder."""
    tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
    content = save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())},
        metadata={"format": "pt"},
    )
    (folder / WEIGHTS).write_bytes(content)


def save_adapter(model: Any, base: LoadedBase, spec: ModelSpec, folder: Path) -> None:  # noqa: ANN401
    """Write weights and configuration into an existing folder.

    The name in `spec`, the SPEC of the base, is what the adapter asks for when it is loaded.
    """
    write_weights(model, folder)
    config = model.peft_config["default"]
    config.inference_mode = True
    config.save_pretrained(str(folder))
    written = json.loads((folder / CONFIG).read_text("utf-8"))
    written["base_model_name_or_path"] = spec.name
    written["revision"] = base.source.revision
    if isinstance(written["target_modules"], list):
        written["target_modules"].sort()
    (folder / CONFIG).write_text(json.dumps(written, indent=2, sort_keys=True) + "\n", "utf-8")
    if spec.kind == "local":
        for name in COPIED:
            if (base.source.folder / name).is_file():
                shutil.copyfile(base.source.folder / name, folder / name)


def check_written(model: Any, base: LoadedBase, folder: Path) -> int:  # noqa: ANN401
    """Check the written adapter against the base and the model in memory.

    Returns:
        How many numbers it holds.

    Raises:
        AdapterMismatchError: a tensor is not finite, does not fit, or is missing; or all are zero.
    """
    tensors = checked_adapter(base, folder, allow_pickle=False).tensors
    check_loaded(set(tensors), set(get_peft_model_state_dict(model, save_embedding_layers=False)))
    zero = zero_adapter(tensors)
    if zero:
        raise AdapterMismatchError(zero, fix="more --steps, or a larger --lr")
    return sum(tensor.numel() for tensor in tensors.values())


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Global generators start at `seed` inside and are as before afterwards.

    Trainer seeds those of Python and numpy too.
    """
    before = random.getstate(), np.random.get_state()  # noqa: NPY002 - Trainer uses the old one
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002 - as above
