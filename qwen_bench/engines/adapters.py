"""PEFT adapters: checked before and after they are put on a base, never merged into it.

A silently ignored adapter looks like a fine-tune that changed nothing, so every way to lose one
is an error here. Knows tensors and names; nothing of prompts.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file

from qwen_bench.engines.fingerprint import adapter_fingerprint, tokenizer_sha256
from qwen_bench.engines.loading import LoadedBase
from qwen_bench.errors import AdapterMismatchError, ModelError

_PREFIX = "base_model.model."
_LORA = re.compile(r"(.+)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B)(?:\.weight)?")
_LAYER = re.compile(r"(.*\.)(\d+)(\..+)")
# Which side of the base weight (out, in) each factor must agree with, and on which of its own.
_SIDES = {
    "lora_A": (1, 1),
    "lora_B": (0, 0),
    "lora_embedding_A": (0, 1),
    "lora_embedding_B": (1, 0),
}


@dataclass(frozen=True, slots=True)
class AttachedAdapter:
    """An adapter on a base.

    Attributes:
        name: PEFT name, for `LoadedBase.weights`.
        folder: where it came from.
        fingerprint: base and adapter.
        warnings: lines for the user.
        chat_template: template shipped in the adapter folder, if any.
    """

    name: str
    folder: Path
    fingerprint: str
    warnings: tuple[str, ...]
    chat_template: str | None


def attach_adapter(
    base: LoadedBase, folder: Path, *, allow_pickle: bool = False
) -> AttachedAdapter:
    """Check an adapter and put it on the base; the base itself stays usable.

    Raises:
        AdapterMismatchError: a tensor is not finite, does not fit, or was not loaded.
        ModelError: the adapter's files cannot be used.
    """
    key = str(folder.absolute())
    if key in base.adapters:
        known: AttachedAdapter = base.adapters[key]
        return known
    tensors, attached = checked_adapter(base, folder, allow_pickle=allow_pickle)
    name = attached.name
    try:
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5.23 for an attribute that is being renamed.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            if base.peft is None:
                base.peft = PeftModel.from_pretrained(base.model, folder, adapter_name=name)
            else:
                base.peft.load_adapter(folder, adapter_name=name)
    except (ValueError, RuntimeError, OSError, TypeError) as error:
        raise AdapterMismatchError(
            f"the adapter {folder.name} cannot be put on {base.source.resolved}",
            why=str(error).strip().splitlines()[:4],
        ) from error
    base.peft.eval()
    base.peft.requires_grad_(requires_grad=False)
    loaded = get_peft_model_state_dict(base.peft, adapter_name=name, save_embedding_layers=False)
    check_loaded(set(tensors), set(loaded))
    base.adapters[key] = attached
    return attached


def checked_adapter(
    base: LoadedBase, folder: Path, *, allow_pickle: bool
) -> tuple[dict[str, torch.Tensor], AttachedAdapter]:
    """Check an adapter against a base without putting it there.

    Returns:
        Its tensors, and the adapter under the name it is to have.

    Raises:
        AdapterMismatchError: a tensor is not finite, or does not fit.
        ModelError: the adapter's files cannot be used.
    """
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    tensors = _read(folder, allow_pickle=allow_pickle)
    check_finite(tensors)
    check_fit(tensors, config, base.shapes, base.source.resolved)
    lines = [line for line in (zero_adapter(tensors),) if line]
    if (folder / "tokenizer.json").is_file() and tokenizer_sha256(folder) != base.tokenizer_sha256:
        lines.append("its folder holds another tokenizer; the one of the base is used")
    return tensors, AttachedAdapter(
        f"adapter-{len(base.adapters)}",
        folder,
        adapter_fingerprint(folder, base.source.fingerprint),
        tuple(f"adapter {folder.name}: {line}" for line in lines),
        adapter_template(folder),
    )


def check_finite(tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse NaN and infinity.

    Raises:
        AdapterMismatchError: names the first tensor.
    """
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise AdapterMismatchError(f"the adapter is not finite: {name} holds NaN or infinity")


def check_fit(
    tensors: Mapping[str, torch.Tensor],
    config: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    base: str,
) -> None:
    """Refuse LoRA tensors whose module or size is not in the base, or that skip layers.

    Args:
        tensors: the adapter file.
        config: `adapter_config.json`.
        shapes: parameters of the base.
        base: its name.

    Raises:
        AdapterMismatchError: counts the tensors and names the first.
    """
    factors = [
        (name, match[1].removeprefix(_PREFIX), match[2], tensor)
        for name, tensor in tensors.items()
        if (match := _LORA.fullmatch(name))
    ]
    wrong = []
    for name, module, factor, tensor in factors:
        shape = shapes.get(f"{module}.weight")
        own, theirs = _SIDES[factor]
        if shape is None:
            wrong.append(f"{name} has no counterpart in the base")
        elif tensor.shape[own] != shape[theirs]:
            wrong.append(f"{name} expects {tensor.shape[own]}, base has {shape[theirs]}")
    if wrong:
        raise AdapterMismatchError(
            f"{len(wrong)} of {len(tensors)} adapter tensors do not fit {base}; first: {wrong[0]}",
            fix="write BASE+ADAPTER with the base it was trained on",
        )
    targets = config.get("target_modules") or []
    chosen = isinstance(targets, str) or any("." in target for target in targets)
    if chosen or config.get("layers_to_transform") is not None:
        return
    for kind in sorted({_kind(module) for _, module, _, _ in factors}):
        adapted = {module for _, module, _, _ in factors if _kind(module) == kind}
        present = {
            module
            for name in shapes
            if name.endswith(".weight") and _kind(module := name.removesuffix(".weight")) == kind
        }
        if adapted != present:
            raise AdapterMismatchError(
                f"{len(adapted)} of {len(present)} layers adapted; "
                "this adapter belongs to another model",
                why=f"module {kind}",
            )


def check_loaded(in_file: set[str], in_model: set[str]) -> None:
    """Refuse an adapter whose file and injected modules do not hold the same tensors.

    Raises:
        AdapterMismatchError: names the first three.
    """
    odd = sorted(in_file ^ in_model)
    if odd:
        raise AdapterMismatchError(
            f"{len(odd)} adapter tensors were not loaded, or are missing in the file",
            why=odd[:3],
        )


def zero_adapter(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """A warning when every matrix that could change the base is zero, else None."""
    # PEFT starts LoRA at zero in B for linear layers, but in A for embeddings.
    factors = [name for name in tensors if ".lora_B" in name or ".lora_embedding_A" in name]
    others = [name for name in tensors if ".lora_" not in name]
    if factors and not any(tensors[name].any() for name in (*factors, *others)):
        return f"all {len(factors)} lora_B matrices are zero, so this adapter changes nothing"
    return None


def _kind(module: str) -> str:
    """Module name with its layer number taken out."""
    match = _LAYER.fullmatch(module)
    return f"{match[1]}*{match[3]}" if match else module


def _read(folder: Path, *, allow_pickle: bool) -> dict[str, torch.Tensor]:
    file = folder / "adapter_model.safetensors"
    if file.is_file():
        try:
            tensors: dict[str, torch.Tensor] = load_file(file)
        except SafetensorError as error:
            raise ModelError(f"{folder.name}/{file.name} is damaged", why=str(error)) from error
        return tensors
    pickled = folder / "adapter_model.bin"
    if not pickled.is_file():
        raise ModelError(f"the adapter {folder.name} holds no adapter_model.safetensors")
    if not allow_pickle:
        raise ModelError(
            f"the weights of the adapter {folder.name} are pickled (*.bin)",
            why="loading a pickle can run code hidden in it",
            fix="convert them to safetensors, or pass --allow-pickle if you trust the source",
        )
    loaded: dict[str, torch.Tensor] = torch.load(pickled, map_location="cpu", weights_only=True)
    return loaded


def adapter_template(folder: Path) -> str | None:
    """Chat template in an adapter folder: a file of its own, or inside the tokenizer's settings."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text("utf-8")
    settings = folder / "tokenizer_config.json"
    if settings.is_file():
        found = json.loads(settings.read_text("utf-8")).get("chat_template")
        return found if isinstance(found, str) else None
    return None
