"""Adapter folders: what is in their files, and whether that fits a base.

A silently ignored adapter looks like a fine-tune that changed nothing, so every way to lose one
is an error. Puts nothing on a model; knows tensors and names, nothing of prompts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import PeftType, PromptLearningConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from safetensors import SafetensorError
from safetensors.torch import load_file

from qwen_bench.engines.checkpoint_files import ADAPTER_CONFIG
from qwen_bench.engines.fingerprint import adapter_fingerprint, tokenizer_sha256
from qwen_bench.engines.hub_files import shown_folder
from qwen_bench.engines.loading import LoadedBase, Size
from qwen_bench.engines.recorded_base import base_notices
from qwen_bench.engines.template_files import template_in
from qwen_bench.errors import AdapterMismatchError, ModelError

PREFIX = "base_model.model."
HARMLESS_STARTS = (True, False, "gaussian", "orthogonal", "eva")
"""Ways to start a LoRA that leave the weights under it as they are (`init_lora_weights` of PEFT);
PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA write what is left of a weight back into it."""
_LORA = re.compile(r"(.+)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B)(?:\.weight)?")
_LAYER = re.compile(r"(.*\.)(\d+)(\..+)")
# Which of a factor's sides must agree with the (output, input) of the module, and with which.
_SIDES = {
    "lora_A": (1, 1),
    "lora_B": (0, 0),
    "lora_embedding_A": (1, 0),
    "lora_embedding_B": (0, 1),
}
_AROUND = "PEFT computes it around the model, from what only it is given"
# Computed with more than the layers of a model, so that asking the model alone loses them.
_REFUSED = {
    "XLORA": _AROUND,
    "POLY": _AROUND,
    "CARTRIDGE": "PEFT puts its keys and values before every prompt",
    "SHADOW": _AROUND,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFolder:
    """What an adapter's files say of it.

    Attributes:
        folder: where it came from.
        fingerprint: base and adapter.
        warnings: lines for the user.
        chat_template: template shipped in the adapter folder, if any.
    """

    folder: Path
    fingerprint: str
    warnings: tuple[str, ...]
    chat_template: str | None

    @property
    def shown(self) -> str:
        """Its name for people."""
        return shown_folder(self.folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedAdapter(AdapterFolder):
    """An adapter on a base.

    Attributes:
        name: PEFT name, for `LoadedBase.weights`.
    """

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedAdapter(AdapterFolder):
    """An adapter whose files fit a base.

    Attributes:
        config: `adapter_config.json`.
        tensors: of its file, by name.
        saved_base: those of them that are weights of the base itself, as PEFT saves embeddings
            beside a LoRA on them.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]
    saved_base: frozenset[str]

    @property
    def peft_type(self) -> str:
        """PEFT's name of the method."""
        return str(self.config["peft_type"])

    def attached(self, name: str, *more: str) -> AttachedAdapter:
        """The same on its base, without its tensors.

        Args:
            name: PEFT name.
            more: lines for the user that attaching it added.
        """
        return AttachedAdapter(
            name=name,
            folder=self.folder,
            fingerprint=self.fingerprint,
            warnings=(*self.warnings, *more),
            chat_template=self.chat_template,
        )


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of an adapter folder.

    Raises:
        ModelError: it cannot be read, or names no method.
    """
    place = f"{shown_folder(folder)}/{ADAPTER_CONFIG}"
    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{place} cannot be read", why=str(error)) from error
    if not isinstance(config, dict) or not isinstance(config.get("peft_type"), str):
        raise ModelError(f"{place} names no peft_type", why="PEFT cannot tell the method without")
    return config


def check_method(config: Mapping[str, Any], name: str) -> None:
    """Refuse methods that are not part of the layers of a model, by name.

    Args:
        config: `adapter_config.json`.
        name: of the adapter.

    Raises:
        AdapterMismatchError: prompt tuning and its kin, activated LoRA, or a method that the
            installed PEFT does not know.
    """
    method = str(config["peft_type"])
    if method not in PeftType.__members__:
        raise AdapterMismatchError(
            f"the adapter {name} is of a kind that the installed peft does not know: {method}",
            why=f"it was saved by peft {config.get('peft_version', 'of unknown version')}",
            fix="pip install --upgrade peft",
        )
    made_of = PEFT_TYPE_TO_CONFIG_MAPPING.get(PeftType[method])
    why = _REFUSED.get(method)
    if made_of is not None and issubclass(made_of, PromptLearningConfig):
        why = "its virtual tokens stand before every prompt, and the engine asks the model itself"
    if config.get("alora_invocation_tokens"):
        method, why = "activated LoRA", "it starts to work in the middle of a prompt"
    if config.get("layer_replication"):
        method, why = "layer_replication", "it makes layers that the base's configuration lacks"
    if why is not None:
        raise AdapterMismatchError(
            f"the adapter {name} cannot be computed here: {method}",
            why=why,
            fix=(
                "methods that change layers work: LoRA, DoRA, IA3, LoHa, LoKr, OFT and others",
                "a server that applies it can be asked: --model openai:NAME --base-url URL",
            ),
        )


def checked_adapter(base: LoadedBase, folder: Path, *, allow_pickle: bool) -> CheckedAdapter:
    """Check an adapter against a base without putting it there.

    Raises:
        AdapterMismatchError: a method that cannot be computed, or a tensor that is not finite, is
            empty, or does not fit.
        ModelError: the adapter's files cannot be used.
    """
    config = read_config(folder)
    check_method(config, shown_folder(folder))
    tensors = _read(folder, allow_pickle=allow_pickle)
    check_finite(tensors)
    saved = saved_base_weights(tensors, config, base.sizes)
    check_fit(tensors, config, base.sizes, base.source.resolved)
    lines = [line for line in (zero_adapter(tensors),) if line]
    lines += base_notices(config, folder, base.source)
    if (folder / "tokenizer.json").is_file() and tokenizer_sha256(folder) != base.tokenizer_sha256:
        lines.append("its folder holds another tokenizer; the one of the base is used")
    return CheckedAdapter(
        folder=folder,
        fingerprint=adapter_fingerprint(folder, base.source.fingerprint),
        warnings=tuple(f"adapter {shown_folder(folder)}: {line}" for line in lines),
        chat_template=template_in(folder),
        config=config,
        tensors=tensors,
        saved_base=saved,
    )


def why_not_shared(adapter: CheckedAdapter, weights: Mapping[str, torch.Tensor]) -> str | None:
    """Why an adapter needs weights that nobody else computes with, or None.

    Args:
        adapter: not on the base yet.
        weights: parameters of the base by name, before any adapter.
    """
    config = adapter.config
    start = config.get("init_lora_weights", True)
    if adapter.peft_type != "LORA":
        return f"{adapter.peft_type} adapters are not put beside others"
    if config.get("bias", "none") != "none":
        return f"it holds biases of the base (bias={config['bias']})"
    if start not in HARMLESS_STARTS:
        return f"it changes the base when it is loaded (init_lora_weights={start})"
    for key in ("target_parameters", "arrow_config", "trainable_token_indices"):
        if config.get(key):
            return f"it is made with {key}"
    for name in sorted(adapter.saved_base):
        mine, theirs = adapter.tensors[name], weights.get(base_name(name))
        if theirs is None or not torch.equal(mine.to(theirs), theirs):
            return f"it brings its own {base_name(name)}"
    return None


def base_name(tensor: str) -> str:
    """Name that a tensor of an adapter file has in the base.

    >>> base_name("base_model.model.lm_head.base_layer.weight")
    'lm_head.weight'
    """
    return tensor.removeprefix(PREFIX).replace(".base_layer.", ".")


def saved_base_weights(
    tensors: Mapping[str, torch.Tensor],
    config: Mapping[str, Any],
    sizes: Mapping[str, Size | None],
) -> frozenset[str]:
    """Tensors of an adapter file that are weights of the base: its embeddings or output layer.

    PEFT saves them beside a LoRA on them, and after the vocabulary was resized.
    """
    own = tuple(config.get("modules_to_save") or ())
    return frozenset(
        name
        for name in tensors
        if name.endswith(".weight")
        and (module := base_name(name).removesuffix(".weight")) in sizes
        and module.rpartition(".")[2] in {"embed_tokens", "lm_head", "wte"}
        and not any(module == key or module.endswith(f".{key}") for key in own)
    )


def check_finite(tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse NaN, infinity and empty tensors.

    Raises:
        AdapterMismatchError: names the first tensor.
    """
    for name, tensor in tensors.items():
        if tensor.numel() == 0:
            raise AdapterMismatchError(
                f"the adapter is incomplete: {name} is empty",
                why="DeepSpeed ZeRO-3 and FSDP leave that when the parts are not gathered to save",
            )
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise AdapterMismatchError(f"the adapter is not finite: {name} holds NaN or infinity")


def check_fit(
    tensors: Mapping[str, torch.Tensor],
    config: Mapping[str, Any],
    sizes: Mapping[str, Size | None],
    base: str,
) -> None:
    """Refuse tensors whose module or size is not in the base, and LoRAs that skip layers.

    Args:
        tensors: the adapter file.
        config: `adapter_config.json`.
        sizes: modules of the base.
        base: its name.

    Raises:
        AdapterMismatchError: counts the tensors and names the first.
    """
    factors = list(_factors(tensors)) if config["peft_type"] == "LORA" else []
    wrong = [line for factor in factors if (line := _misfit(factor, sizes))]
    for name, tensor in tensors.items():
        size = sizes.get(base_name(name).removesuffix(".weight"))
        if name.endswith(".weight") and size is not None and tuple(tensor.shape) != size:
            wrong.append(f"{name} has {tuple(tensor.shape)}, base has {size}")
    if wrong:
        raise AdapterMismatchError(
            f"{len(wrong)} of {len(tensors)} adapter tensors do not fit {base}; first: {wrong[0]}",
            fix=(
                "write BASE+ADAPTER with the base it was trained on",
                "one whose vocabulary was resized: merge it (merge_and_unload) and give the result",
            ),
        )
    if not _skips_on_purpose(config):
        _check_layers(factors, sizes)


class _Factor(NamedTuple):
    """A LoRA factor of an adapter file: its name there, its module in the base, and its side."""

    name: str
    module: str
    side: str
    tensor: torch.Tensor


def _factors(tensors: Mapping[str, torch.Tensor]) -> Iterator[_Factor]:
    for name, tensor in tensors.items():
        if match := _LORA.fullmatch(name):
            module = match[1].removeprefix(PREFIX).replace(".base_layer", "")
            yield _Factor(name, module, match[2], tensor)


def _misfit(factor: _Factor, sizes: Mapping[str, Size | None]) -> str | None:
    """What is wrong with a factor, or None."""
    name, module, side, tensor = factor
    if module not in sizes:
        return f"{name} has no counterpart in the base"
    size, (own, theirs) = sizes[module], _SIDES[side]
    if size is None or tensor.shape[own] == size[theirs]:
        return None
    return f"{name} expects {tensor.shape[own]}, base has {size[theirs]}"


def _skips_on_purpose(config: Mapping[str, Any]) -> bool:
    """Whether the configuration itself leaves layers out."""
    targets = config.get("target_modules") or []
    return (
        isinstance(targets, str)
        or any("." in target for target in targets)
        or config.get("layers_to_transform") is not None
        or bool(config.get("exclude_modules"))
    )


def _check_layers(factors: Sequence[_Factor], sizes: Mapping[str, Size | None]) -> None:
    """Refuse a LoRA that leaves out some of the modules of one kind.

    Raises:
        AdapterMismatchError: counts them.
    """
    for kind in sorted({_kind(factor.module) for factor in factors}):
        adapted = {factor.module for factor in factors if _kind(factor.module) == kind}
        present = {module for module in sizes if _kind(module) == kind}
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
    name, file = shown_folder(folder), folder / "adapter_model.safetensors"
    if file.is_file():
        try:
            tensors: dict[str, torch.Tensor] = load_file(file)
        except SafetensorError as error:
            raise ModelError(f"{name}/{file.name} is damaged", why=str(error)) from error
        return tensors
    pickled = folder / "adapter_model.bin"
    if not pickled.is_file():
        raise ModelError(f"the adapter {name} holds no adapter_model.safetensors")
    if not allow_pickle:
        raise ModelError(
            f"the weights of the adapter {name} are pickled (*.bin)",
            why="loading a pickle can run code hidden in it",
            fix="convert them to safetensors, or pass --allow-pickle if you trust the source",
        )
    loaded: dict[str, torch.Tensor] = torch.load(pickled, map_location="cpu", weights_only=True)
    return loaded
