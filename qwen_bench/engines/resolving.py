"""What SPECs come to once Hub ids are looked up, before anything is loaded or asked.

A Hub id may be an adapter, which is then one like in a folder: with its files, its commit and the
base it names. What can be told from small files is refused here, so that no model is asked for
hours before the next one turns out to be unusable. Imports no model library unless a model is
quantised.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from qwen_bench.engines.checkpoint_files import (
    ADAPTER_CONFIG,
    MODEL_CONFIG,
    PICKLED,
    WHOLE,
    check_tokenizer_files,
    check_weights,
    holds_full_model,
    read_config,
)
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.gguf_model import GgufModel
from qwen_bench.engines.hub_files import ADAPTER_FILES, CONFIG_FILES, on_the_hub, snapshot
from qwen_bench.engines.model_spec import ModelSpec, holds_both, named_base
from qwen_bench.engines.quantisation import check_quantisation
from qwen_bench.engines.recorded_base import repacked_from
from qwen_bench.errors import InputError, ModelError, ModelNotFoundError


def resolve(spec: ModelSpec, options: EngineOptions, *, weights: bool = True) -> ModelSpec:
    """A SPEC with Hub ids looked up: one that is an adapter has its folder, commit and base.

    Args:
        spec: from `parse_spec`, of a model that is loaded.
        options: `offline` and the like.
        weights: whether its weights will be loaded, so that they are checked.

    Raises:
        ModelNotFoundError: its files, or those of its base, are not here and cannot be had.
        ModelError: they cannot be used.
        InputError: what follows the plus is no adapter.
    """
    if spec.kind == "hub":
        spec = _looked_up(spec, options)
    elif spec.kind == "adapter" and spec.path is None:
        spec = _with_files(spec, options)
    if spec.kind == "adapter" and spec.base is not None:
        spec = replace(spec, base=_base_of(spec, spec.base, options))
    if weights:
        _check(spec, options)
    return spec


def _looked_up(spec: ModelSpec, options: EngineOptions) -> ModelSpec:
    """A Hub id as a full model, or as the adapter that it is."""
    found = snapshot(spec.name, spec.revision, CONFIG_FILES, offline=options.offline)
    if not (found / ADAPTER_CONFIG).is_file():
        return spec
    _refuse_both(spec.name, found, options)
    found = _adapter_files(spec, options)
    base = named_base(spec.name, found, beside=False)
    return replace(spec, kind="adapter", revision=found.name, path=found, base=base)


def _with_files(spec: ModelSpec, options: EngineOptions) -> ModelSpec:
    """An adapter on the Hub whose base was given."""
    found = snapshot(spec.name, spec.revision, CONFIG_FILES, offline=options.offline)
    if not (found / ADAPTER_CONFIG).is_file():
        raise InputError(f"{spec.name} is not an adapter: no {ADAPTER_CONFIG}")
    found = _adapter_files(spec, options)
    return replace(spec, revision=found.name, path=found)


def _adapter_files(spec: ModelSpec, options: EngineOptions) -> Path:
    files = (*ADAPTER_FILES, "adapter_*.bin") if options.allow_pickle else ADAPTER_FILES
    return snapshot(spec.name, spec.revision, files, offline=options.offline)


def _refuse_both(name: str, found: Path, options: EngineOptions) -> None:
    """Refuse a repository in which it cannot be told what is meant."""
    full = holds_full_model(found)
    if not full and (found / MODEL_CONFIG).is_file():
        full = on_the_hub(name, found.name, (*WHOLE, *PICKLED), offline=options.offline)
    if full:
        raise holds_both(name)


def _base_of(spec: ModelSpec, base: ModelSpec, options: EngineOptions) -> ModelSpec:
    """The base of an adapter, looked up; what is missing is said of the adapter."""
    if base.kind != "hub":
        return base
    repacked = repacked_from(base.name)
    if repacked is not None and find_spec("bitsandbytes") is None:
        full = _full_name(base.name, repacked)
        raise ModelError(
            f"{base.name} is {repacked} packed into fewer bits, which needs the package "
            "bitsandbytes, which is not installed",
            why=f"{spec.name} was trained on it" if spec.base is base else (),
            fix=(
                "pip install bitsandbytes",
                f"or write BASE+{spec.name} with the full model: {full}+{spec.name}",
            ),
        )
    try:
        found = snapshot(base.name, base.revision, CONFIG_FILES, offline=options.offline)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"the base of the adapter {spec.name} is not there: {base.name}",
            why=(error.message, *error.why),
            fix=f"write BASE+{spec.name} with a Hub id or folder that is here",
        ) from error
    if (found / ADAPTER_CONFIG).is_file():
        raise InputError(f"{base.name} cannot be the base of an adapter: it is one itself")
    return base


def _full_name(name: str, repacked: str) -> str:
    """Hub id of the model that a repack was made from, as far as its name tells."""
    owner = "Qwen" if repacked.startswith(("Qwen", "QwQ")) else name.partition("/")[0]
    return f"{owner}/{repacked}"


def _check(spec: ModelSpec, options: EngineOptions) -> None:
    """Refuse what small files of the weights to be loaded tell."""
    model = spec.weights
    if model.kind == "hub":
        folder = snapshot(model.name, model.revision, CONFIG_FILES, offline=options.offline)
        if (folder / MODEL_CONFIG).is_file():
            read_config(model.default_label, folder)
    elif model.kind == "local" and model.path is not None:
        folder = model.path
        check_weights(model.default_label, folder, allow_pickle=options.allow_pickle)
        if not options.trust_remote_code:
            check_tokenizer_files(model.default_label, folder)
    elif model.kind == "gguf" and model.path is not None:
        GgufModel(model.default_label, model.path, options.fingerprint).check()
        return
    else:
        return
    if options.engine == "hf":
        check_quantisation(model.default_label, folder)
