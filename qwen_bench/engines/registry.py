"""From SPECs to engines: one at a time, in order, with one copy of each base.

Imports model libraries only when a SPEC needs them, so that solvers work without.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from qwen_bench.chat.rendering import ChatSettings, choose_template
from qwen_bench.engines.openai.address import read_addresses
from qwen_bench.engines.options import EngineOptions
from qwen_bench.engines.prompts import Prompter
from qwen_bench.engines.protocol import Engine
from qwen_bench.engines.solvers import SolverEngine
from qwen_bench.engines.spec import ModelSpec
from qwen_bench.errors import InputError, MissingExtraError
from qwen_bench.probes.model import Probe

if TYPE_CHECKING:
    from qwen_bench.engines.hf import HfEngine
    from qwen_bench.engines.loading import LoadedBase
    from qwen_bench.engines.openai.engine import OpenAIEngine
    from qwen_bench.engines.vllm.engine import VllmEngine
    from qwen_bench.engines.vllm.loading import VllmBase

_LOADED = frozenset({"embedded", "hub", "local", "adapter"})
_PACKAGES = ("torch", "transformers", "peft", "safetensors")


@contextmanager
def open_engines(
    specs: Sequence[ModelSpec],
    options: EngineOptions,
    probes: Mapping[str, Probe],
) -> Iterator[Iterator[Engine]]:
    """Engines for the SPECs, in their order, each loaded when it is asked for.

    An engine is closed when the next one is asked for, so at most one model answers at a time. A
    base and its adapters share one copy of the weights; all adapters of a base are checked when it
    is loaded, so that a bad one is found before the first probe is answered. A base is freed as
    soon as no later SPEC needs it. With `options.replicas` all this happens in that many processes
    on Ray, and an engine given here stands for one in each; solvers and servers stay here.

        with open_engines(specs, options, probes) as engines:
            for spec, engine in zip(specs, engines, strict=True): ...

    Args:
        specs: from `parse_spec`.
        options: device, template and the like.
        probes: by request id; only solvers read them.

    Raises:
        MissingExtraError: a SPEC needs torch, transformers, peft, openai or vllm, or replicas need
            ray, and it is not installed.
        InputError: a server without an address; while iterating, a solver under a history policy
            that counts tokens.
        QwenBenchError: while iterating, a model cannot be used as given.
    """
    if any(spec.kind == "openai" for spec in specs):
        _require("api", "openai")
        read_addresses(options.base_url)
    if options.engine == "vllm" and any(spec.kind in _LOADED for spec in specs):
        _require("vllm", "vllm")
    with ExitStack() as stack:
        loaded = [spec for spec in specs if spec.kind in _LOADED]
        pooled = None
        if loaded and (options.replicas > 1 or options.ray_address is not None):
            _require("ray", "ray")
            from qwen_bench.engines.ray.opening import (  # noqa: PLC0415 - its workers import this
                pooled_engines,
            )

            pooled = stack.enter_context(closing(pooled_engines(loaded, options)))
        elif loaded:
            _require_packages()
            stack.enter_context(_exact_products())
        opened = stack.enter_context(_opened_in_vllm())
        yield stack.enter_context(closing(_engines(specs, options, probes, opened, pooled)))


def open_prompter(spec: ModelSpec, options: EngineOptions) -> Prompter:
    """Tokenizer and template that the engine of a SPEC would use; no weights are loaded.

    Raises:
        InputError: a solver, which has no tokenizer, or a server, when none is given for it.
        MissingExtraError: torch, transformers or peft is not installed.
        ModelError: the tokenizer cannot be had or used, or there is no template.
    """
    if spec.kind == "openai":
        return _prompter_of_server(spec, options)
    if spec.kind == "mock":
        raise InputError(
            f"{spec.text}: mock solvers have no tokenizer", fix="--model embedded, or another model"
        )
    _require_packages()
    from qwen_bench.engines.adapters import adapter_template  # noqa: PLC0415 - imports torch
    from qwen_bench.engines.loading import load_tokenizer, shipped_template  # noqa: PLC0415 - as above

    tokenizer = load_tokenizer(spec.weights, options)
    own = adapter_template(spec.path) if spec.kind == "adapter" and spec.path else None
    return Prompter(tokenizer, _settings(spec, options, own or shipped_template(tokenizer)))


def open_config(spec: ModelSpec, options: EngineOptions) -> dict[str, Any]:
    """Configuration of the text model that the engine of a SPEC would load; without weights.

    Raises:
        InputError: a solver or a server, which have none here.
        MissingExtraError: torch, transformers or peft is not installed.
        ModelError: it cannot be had or used.
    """
    if spec.kind == "mock":
        raise InputError(
            f"{spec.text}: mock solvers have no model", fix="--model embedded, or another model"
        )
    if spec.kind == "openai":
        raise InputError(
            f"{spec.text}: the configuration of a model on a server cannot be read",
            fix="give the same model as a Hub id or a folder",
        )
    _require_packages()
    from qwen_bench.engines.loading import load_config  # noqa: PLC0415 - imports torch

    return load_config(spec.weights, options)


def _engines(
    specs: Sequence[ModelSpec],
    options: EngineOptions,
    probes: Mapping[str, Probe],
    opened: dict[tuple[str, str, str | None], VllmBase],
    pooled: Iterator[Engine] | None,
) -> Generator[Engine, None, None]:
    bases: dict[tuple[str, str, str | None], LoadedBase] = {}
    for place, spec in enumerate(specs):
        if spec.kind == "mock":
            engine: Engine = SolverEngine(spec.name, probes, policy=options.policy)
        elif spec.kind == "openai":
            engine = _openai_engine(spec, options)
        elif pooled is not None:
            engine = next(pooled)
        elif options.engine == "vllm":
            engine = _vllm_engine(spec, specs[place:], options, opened)
        else:
            engine = _hf_engine(spec, specs[place:], options, bases)
        try:
            yield engine
        finally:
            engine.close()
        needed = {_base_key(later) for later in specs[place + 1 :] if later.kind in _LOADED}
        for key in [key for key in bases if key not in needed]:
            del bases[key]
        for key in [key for key in opened if key not in needed]:
            opened.pop(key).discard()
        del engine


def _openai_engine(spec: ModelSpec, options: EngineOptions) -> OpenAIEngine:
    from qwen_bench.engines.openai.engine import OpenAIEngine  # noqa: PLC0415 - imports openai

    if "tokenizer" in options.model_args:
        _require_packages()
    return OpenAIEngine(spec, options)


def _prompter_of_server(spec: ModelSpec, options: EngineOptions) -> Prompter:
    from qwen_bench.engines.openai.local import load_local  # noqa: PLC0415 - wanted only here

    if "tokenizer" in options.model_args:
        _require_packages()
    local = load_local(options)
    if local is None:
        raise InputError(
            f"{spec.text}: the tokenizer is on the server",
            fix="name the same one here: -M tokenizer=HUB_ID|FOLDER, or give the model itself",
        )
    return local.prompter


def _hf_engine(
    spec: ModelSpec,
    upcoming: Sequence[ModelSpec],
    options: EngineOptions,
    bases: dict[tuple[str, str, str | None], LoadedBase],
) -> HfEngine:
    from qwen_bench.engines.adapters import attach_adapter  # noqa: PLC0415 - imports torch
    from qwen_bench.engines.hf import HfEngine  # noqa: PLC0415 - imports torch
    from qwen_bench.engines.loading import load_base, shipped_template  # noqa: PLC0415 - as above
    from qwen_bench.engines.memory import limits_for  # noqa: PLC0415 - as above

    key = _base_key(spec)
    if key not in bases:
        bases[key] = load_base(spec.weights, options)
    base = bases[key]
    for other in upcoming:
        if other.kind == "adapter" and other.path is not None and _base_key(other) == key:
            attach_adapter(base, other.path, allow_pickle=options.allow_pickle)
    adapter = None
    if spec.kind == "adapter" and spec.path is not None:
        adapter = attach_adapter(base, spec.path, allow_pickle=options.allow_pickle)
    own = (adapter.chat_template if adapter else None) or shipped_template(base.tokenizer)
    settings = _settings(spec, options, own)
    limits = limits_for(options, base.device)
    return HfEngine(base, settings, spec, adapter=adapter, policy=options.policy, limits=limits)


def _vllm_engine(
    spec: ModelSpec,
    upcoming: Sequence[ModelSpec],
    options: EngineOptions,
    opened: dict[tuple[str, str, str | None], VllmBase],
) -> VllmEngine:
    from qwen_bench.engines.loading import shipped_template  # noqa: PLC0415 - imports torch
    from qwen_bench.engines.vllm.engine import VllmEngine  # noqa: PLC0415 - as above
    from qwen_bench.engines.vllm.loading import open_base  # noqa: PLC0415 - as above

    key = _base_key(spec)
    if key not in opened:
        folders = [
            other.path
            for other in upcoming
            if other.kind == "adapter" and other.path is not None and _base_key(other) == key
        ]
        opened[key] = open_base(spec.weights, options, folders)
    base = opened[key]
    adapter = None
    if spec.kind == "adapter" and spec.path is not None:
        adapter = base.attach(spec.path, allow_pickle=options.allow_pickle)
    own = (adapter.chat_template if adapter else None) or shipped_template(base.loaded.tokenizer)
    settings = _settings(spec, options, own)
    return VllmEngine(base, settings, spec, adapter=adapter, policy=options.policy)


@contextmanager
def _opened_in_vllm() -> Iterator[dict[tuple[str, str, str | None], VllmBase]]:
    """Bases in vLLM by key; those left are ended at last."""
    opened: dict[tuple[str, str, str | None], VllmBase] = {}
    try:
        yield opened
    finally:
        for base in opened.values():
            base.discard()


def _settings(spec: ModelSpec, options: EngineOptions, own: str | None) -> ChatSettings:
    """How prompts of a model are written; `own` is the template that came with it."""
    template = choose_template(options.chat_template, own, spec.default_label)
    return ChatSettings(template, options.system, options.thinking)


def _base_key(spec: ModelSpec) -> tuple[str, str, str | None]:
    """Equal for SPECs that need the same weights."""
    weights = spec.weights
    place = str(weights.path.resolve()) if weights.path is not None else weights.name
    return (weights.kind, place, weights.revision)


def _require_packages() -> None:
    for package in _PACKAGES:
        _require("hf", package)


def _require(extra: str, package: str) -> None:
    if find_spec(package) is None:
        raise MissingExtraError(extra, package)


@contextmanager
def _exact_products() -> Iterator[None]:
    """Products of float32 stay float32 (no TF32, no bf16 inside), as long as engines are open."""
    import torch  # noqa: PLC0415 - seconds to import

    precision = torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = cudnn
