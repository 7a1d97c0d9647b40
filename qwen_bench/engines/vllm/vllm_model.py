"""Opening vLLM on a full model, once for the base and all adapters on it.

Knows files, vLLM's constructor and how to end what it started; nothing of prompts or replies.
"""

from __future__ import annotations

import gc
import importlib
import os
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from qwen_bench.engines.adapters import (
    HARMLESS_STARTS,
    AttachedAdapter,
    CheckedAdapter,
    checked_adapter,
    read_config,
)
from qwen_bench.engines.checkpoint_files import WHOLE, check_weights, weight_files
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.hub_files import shown_folder
from qwen_bench.engines.library_errors import first_lines, missing_package, opening
from qwen_bench.engines.loading import (
    LoadedBase,
    choose_dtype,
    loaded_base,
    locate,
    read_tokenizer,
    trust_hint,
)
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.quiet_library import quiet_transformers
from qwen_bench.engines.vllm.sampling_requests import Ask
from qwen_bench.errors import AdapterMismatchError, EngineError, MissingExtraError, ModelError

SEQUENCES = 512
"""Most sequences vLLM computes together: more than one dialogue asks for."""
CPU_BLOCK = 32
"""Tokens of a cache block on a CPU, the least vLLM takes there. With its own 128, 1.6 times as many
tokens went through the model, as every candidate reads what follows the last whole block."""
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM makes room for."""
# vLLM prints to stdout, reports its use over the network, and computes in a child process whose
# errors cannot be told apart, unless told otherwise before its import. What the user sets stays.
ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}


def import_vllm() -> Any:  # noqa: ANN401 - a module that need not be installed
    """The package, imported so that it stays quiet.

    Raises:
        MissingExtraError: it is not installed.
        EngineError: it is, and cannot be imported.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module("vllm")
    except ModuleNotFoundError as error:
        if error.name == "vllm":
            raise MissingExtraError("vllm", "vllm") from error
        raise EngineError("vllm cannot be imported", why=str(error)) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineError("vllm cannot be imported", why=first_lines(error)) from error


class VllmBase:
    """A full model in vLLM.

    vLLM cannot be asked again after a fault, because sequences of the failed call stay in it. It is
    then thrown away with `discard`, and the next call opens a new one.

    Args:
        loaded: files, tokenizer and configuration; `model` is None.
        arguments: of `vllm.LLM`.

    Attributes:
        window: tokens that prompt and answer may have together.
        lora: whether it was opened for adapters.
    """

    def __init__(self, loaded: LoadedBase, arguments: Mapping[str, Any]) -> None:
        self.loaded = loaded
        self.arguments = dict(arguments)
        self.window = int(arguments["max_model_len"])
        self.lora = bool(arguments.get("enable_lora"))
        self._vllm = import_vllm()
        self._llm: Any = None

    @property
    def version(self) -> str:
        """Version of vLLM."""
        return str(self._vllm.__version__)

    def open(self) -> None:
        """Load the weights unless they are there.

        Raises:
            EngineError: vLLM refuses.
        """
        if self._llm is not None:
            return
        begun = time.perf_counter()
        try:
            self._llm = self._vllm.LLM(**self.arguments)
        except Exception as error:  # whatever vLLM raises: a user can only read it
            wanted = missing_package(error)
            raise EngineError(
                f"vllm cannot load {self.loaded.source.resolved}",
                why=first_lines(error),
                fix=(
                    f"pip install {wanted}" if wanted else "-M max_model_len=N needs less memory",
                    "--engine hf computes in this process without vllm",
                ),
            ) from error
        self.loaded.load_seconds += time.perf_counter() - begun

    def forget(self) -> None:
        """Empty the prefix cache."""
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("vllm could not empty its prefix cache")

    def ask(self, asks: Sequence[Ask], adapter: AttachedAdapter | None) -> list[Any]:
        """Outputs for some sequences, all under one adapter or all under the base.

        Raises:
            RuntimeError: an output belongs to another prompt.
        """
        outputs = self._llm.generate(
            [{"prompt_token_ids": list(ask.ids)} for ask in asks],
            sampling_params=[self._vllm.SamplingParams(**ask.settings) for ask in asks],
            lora_request=None if adapter is None else self._request(adapter),
            use_tqdm=False,
        )
        if [tuple(output.prompt_token_ids) for output in outputs] != [ask.ids for ask in asks]:
            raise RuntimeError("vllm answered other prompts than it was asked")
        return list(outputs)

    def attach(self, folder: Path, *, allow_pickle: bool) -> AttachedAdapter:
        """Check an adapter and give it its place.

        Raises:
            AdapterMismatchError: it does not fit.
            ModelError: its files cannot be used.
        """
        key = str(folder.absolute())
        if key not in self.loaded.adapters:
            checked = checked_adapter(self.loaded, folder, allow_pickle=allow_pickle)
            check_for_vllm(checked)
            name = f"adapter-{len(self.loaded.adapters)}"
            self.loaded.adapters[key] = checked.attached(name)
        known: AttachedAdapter = self.loaded.adapters[key]
        return known

    def discard(self) -> None:
        """End vLLM and free its memory; the next `open` starts it again."""
        llm, self._llm = self._llm, None
        if llm is None:
            return
        core = getattr(getattr(llm, "llm_engine", None), "engine_core", None)
        if core is not None:
            core.shutdown()
        del llm, core
        importlib.import_module("vllm.distributed").cleanup_dist_env_and_memory()
        gc.collect()

    def _request(self, adapter: AttachedAdapter) -> Any:  # noqa: ANN401 - of vLLM
        number = list(self.loaded.adapters).index(str(adapter.folder.absolute())) + 1
        make = importlib.import_module("vllm.lora.request").LoRARequest
        return make(adapter.name, number, str(adapter.folder.absolute()))


def open_base(spec: ModelSpec, options: EngineOptions, adapters: Sequence[Path]) -> VllmBase:
    """Load a full model into vLLM.

    Args:
        spec: of the full model.
        options: device, dtype, `model_args` and the like.
        adapters: folders of all adapters that will be put on it.

    Raises:
        ModelNotFoundError: its files are not here and cannot be had.
        ModelError: its files, or those of an adapter, cannot be used.
        EngineError: no vllm, the wrong device, or vLLM refuses the model.
    """
    begun = time.perf_counter()
    import_vllm()
    device = _device(options.device)
    base = _files(spec, options, device)
    base.load_seconds = time.perf_counter() - begun
    base.max_context = options.max_context
    given = options.model_args
    arguments: dict[str, Any] = {
        "model": str(base.source.folder),
        "skip_tokenizer_init": True,
        "trust_remote_code": options.trust_remote_code,
        "load_format": "auto" if options.allow_pickle else "safetensors",
        "use_tqdm_on_load": False,
        "dtype": str(base.dtype).removeprefix("torch."),
        "seed": 0,
        "generation_config": "vllm",
        "max_model_len": given.get("max_model_len") or base.context_window,
        "max_num_seqs": SEQUENCES,
        "enable_prefix_caching": True,
        "enforce_eager": given.get("enforce_eager", device.type == "cpu"),
        "disable_log_stats": True,
    }
    if device.type == "cpu":
        arguments["block_size"] = CPU_BLOCK
    if arguments["max_model_len"] is None:
        raise EngineError(
            f"{spec.default_label} does not say how long its context is", fix="--max-context N"
        )
    for name in ("gpu_memory_utilization", "tensor_parallel_size"):
        if name in given:
            arguments[name] = given[name]
    if adapters:
        rank = given.get("max_lora_rank") or lora_rank(map(adapter_rank, adapters))
        arguments |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": rank}
    opened = VllmBase(base, arguments)
    for folder in adapters:
        opened.attach(folder, allow_pickle=options.allow_pickle)
    opened.open()
    return opened


def check_for_vllm(adapter: CheckedAdapter) -> None:
    """Refuse what vLLM would leave out or put on the wrong weights.

    It adds the product of A and B to the base as it is on disk, whatever the adapter was trained
    on.

    Raises:
        AdapterMismatchError: names what it is.
    """
    config = adapter.config
    start = config.get("init_lora_weights", True)
    odd = [] if adapter.peft_type == "LORA" else [adapter.peft_type]
    if start not in HARMLESS_STARTS:
        odd.append(f"init_lora_weights={start}")
    if config.get("bias", "none") != "none":
        odd.append(f"bias={config['bias']}")
    only = ("use_dora", "modules_to_save", "trainable_token_indices", "layer_replication")
    odd += [name for name in (*only, "target_parameters", "lora_bias") if config.get(name)]
    if adapter.saved_base:
        odd.append("saved embeddings")
    if odd:
        raise AdapterMismatchError(
            f"vllm cannot compute with the adapter {adapter.shown}: {', '.join(odd)}",
            fix="--engine hf computes it as peft does, or merge it (merge_and_unload)",
        )


def adapter_rank(folder: Path) -> int:
    """Largest rank in an adapter's configuration.

    Raises:
        AdapterMismatchError: it names none.
    """
    config = read_config(folder)
    ranks = [config.get("r"), *(config.get("rank_pattern") or {}).values()]
    known = [rank for rank in ranks if isinstance(rank, int)]
    if not known:
        raise AdapterMismatchError(
            f"the adapter {shown_folder(folder)} is no LoRA; vllm takes no other"
        )
    return max(known)


def lora_rank(ranks: Iterable[int]) -> int:
    """The smallest rank vLLM makes room for that holds all of some.

    >>> lora_rank([4, 16]), lora_rank([40])
    (16, 64)

    Raises:
        AdapterMismatchError: none is large enough.
    """
    wanted = max(ranks)
    for rank in RANKS:
        if rank >= wanted:
            return rank
    raise AdapterMismatchError(f"vllm takes ranks up to {RANKS[-1]}; the adapter has {wanted}")


def _device(name: str) -> torch.device:
    """The device vLLM was built for, as the user named it or chose to leave it."""
    found = importlib.import_module("vllm.platforms").current_platform.device_type
    if name not in {"auto", found}:
        raise EngineError(
            f"this vllm computes on {found}, not on {name}",
            fix=(
                f"--device {found}",
                "CUDA_VISIBLE_DEVICES chooses one of several GPUs",
                "--engine hf takes other devices",
            ),
        )
    return torch.device(str(found))


def _files(spec: ModelSpec, options: EngineOptions, device: torch.device) -> LoadedBase:
    """Everything about a model but its weights, which vLLM reads itself."""
    source = locate(spec, options)
    name = spec.default_label
    check_weights(name, source.folder, allow_pickle=options.allow_pickle)
    trust = options.trust_remote_code
    with quiet_transformers():
        with opening(name, hint=trust_hint(options)):
            config = AutoConfig.from_pretrained(source.folder, trust_remote_code=trust)
            with torch.device("meta"):
                empty = AutoModelForCausalLM.from_config(config, trust_remote_code=trust)
        tokenizer = read_tokenizer(name, source.folder, options)
        shipped = empty.generation_config
        if (source.folder / "generation_config.json").is_file():
            with opening(f"the generation settings of {name}"):
                shipped = GenerationConfig.from_pretrained(source.folder)
    if config.get_text_config(decoder=True).tie_word_embeddings:
        _check_tied(name, source.folder)
    dtype = choose_dtype(options.dtype, device)
    base = loaded_base(source, empty, tokenizer, shipped, device=device, dtype=dtype)
    base.model = None
    return base


def _check_tied(label: str, folder: Path) -> None:
    """Refuse an output layer of its own under a configuration that ties it: vLLM drops it.

    Raises:
        ModelError: see above.
    """
    if not any((folder / name).is_file() for name in WHOLE):
        return
    found = {}
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118 - it is no dict
                if name.endswith(("lm_head.weight", "embed_tokens.weight")):
                    found[name.rpartition(".")[0].rpartition(".")[2]] = stored.get_tensor(name)
    if len(found) == 2 and not torch.equal(found["lm_head"], found["embed_tokens"]):
        raise ModelError(
            f"{label} has an lm_head that differs from its embeddings, although its config.json "
            "ties them; vllm would not use it",
            fix=(
                '"tie_word_embeddings": false in config.json',
                "--engine hf uses the one in the files",
            ),
        )
