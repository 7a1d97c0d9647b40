"""From SPECs to engines: one at a time, in order, with one copy of each base.

Imports model libraries only when a SPEC needs them, so that solvers work without.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from qwen_bench.engines import ENGINES, PLUGINS
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.openmp import wait_passively
from qwen_bench.engines.prompter import Prompter, chat_settings
from qwen_bench.engines.prompting import Prompting, prompting_of, prompting_of_server
from qwen_bench.engines.template_files import template_in
from qwen_bench.errors import EngineError, InputError, MissingExtraError, QwenBenchError
from qwen_bench.protocol import Engine

if TYPE_CHECKING:
    from qwen_bench.engines.prompter import Prompter

Solver = Callable[[ModelSpec], Engine]

_LOADED = frozenset({"embedded", "hub", "local", "gguf", "adapter"})
_WITHOUT = {"mock": "mock solvers have", "openai": "a server has", "plugin": "a plug-in has"}
_ANOTHER = "--model embedded, or the same model as a Hub id or a folder"
_PACKAGES = ("torch", "transformers", "peft", "safetensors")


def _no_solver(spec: ModelSpec) -> Engine:
    raise InputError(f"{spec.text}: a solver answers a suite, and none is given here")


@contextmanager
def open_engines(
    specs: Sequence[ModelSpec], options: EngineOptions, *, solver: Solver = _no_solver
) -> Iterator[Iterator[Engine]]:
    """Engines for the SPECs, in their order, each loaded when it is asked for.

    An engine is closed when the next one is asked for, so at most one model answers at a time. A
    base and its adapters share one copy of the weights; all adapters of a base are checked when it
    is loaded, so that a bad one is found before the first probe is answered. A base is freed as
    soon as no later SPEC needs it. With `options.replicas` all this happens in that many processes
    on Ray, and an engine given here stands for one in each; solvers and servers stay here.

        with open_engines(specs, options) as engines:
            for spec, engine in zip(specs, engines, strict=True): ...

    Args:
        specs: from `parse_spec`.
        options: device, template and the like.
        solver: makes the engine of a `mock:` SPEC; whoever knows the suite gives it.

    Raises:
        MissingExtraError: a SPEC needs torch, transformers, peft, openai or vllm, or replicas need
            ray, and it is not installed.
        InputError: a server without an address; while iterating, a solver that cannot be had.
        QwenBenchError: while iterating, a model cannot be used as given.
    """
    if any(spec.kind == "openai" for spec in specs):
        from qwen_bench.engines.openai.address import read_addresses  # noqa: PLC0415 - for servers

        _require("api", "openai")
        read_addresses(options.base_url)
    if options.engine == "vllm" and any(spec.kind in _LOADED for spec in specs):
        _require("vllm", "vllm")
    with ExitStack() as stack:
        found = [_found(spec, options) for spec in specs]
        loaded = [spec for spec in found if isinstance(spec, ModelSpec) and spec.kind in _LOADED]
        models = stack.enter_context(_models(loaded, options)) if loaded else None
        yield stack.enter_context(closing(_engines(found, options, solver, models)))


def look_up(spec: ModelSpec, options: EngineOptions, *, weights: bool = True) -> ModelSpec:
    """A SPEC as it is opened: a Hub id that is an adapter has its folder, commit and base.

    Replicas look up their models themselves, with the packages and devices they have.

    Args:
        spec: from `parse_spec`.
        options: as for `open_engines`.
        weights: whether its weights will be loaded, so that their files are checked.

    Raises:
        MissingExtraError: torch, transformers or peft is not installed.
        QwenBenchError: small files tell that the model cannot be used.
    """
    if spec.kind not in _LOADED or (weights and _pooled(options)):
        return spec
    _require_packages()
    from qwen_bench.engines.resolving import resolve  # noqa: PLC0415 - not for solvers and servers

    return resolve(spec, options, weights=weights)


def open_prompter(spec: ModelSpec, options: EngineOptions) -> Prompter:
    """Tokenizer and template that the engine of a SPEC would use; no weights are loaded.

    Raises:
        InputError: a solver, which has no tokenizer, or a server, when none is given for it.
        MissingExtraError: torch, transformers or peft is not installed.
        ModelError: the tokenizer cannot be had or used, or there is no template.
    """
    if spec.kind == "openai":
        return _prompter_of_server(spec, options)
    if spec.kind not in _LOADED:
        raise InputError(f"{spec.text}: {_WITHOUT[spec.kind]} no tokenizer here", fix=_ANOTHER)
    _require_packages()
    from qwen_bench.engines.loading import load_tokenizer, shipped_template  # noqa: PLC0415 - as above
    from qwen_bench.engines.prompter import Prompter  # noqa: PLC0415 - as above

    spec = look_up(spec, options, weights=False)
    tokenizer = load_tokenizer(spec.weights, options)
    own = template_in(spec.path) if spec.kind == "adapter" and spec.path else None
    return Prompter(tokenizer, chat_settings(spec, options, own or shipped_template(tokenizer)))


def open_config(spec: ModelSpec, options: EngineOptions) -> dict[str, Any]:
    """Configuration of the text model that the engine of a SPEC would load; without weights.

    Raises:
        InputError: a solver or a server, which have none here.
        MissingExtraError: torch, transformers or peft is not installed.
        ModelError: it cannot be had or used.
    """
    if spec.kind not in _LOADED:
        raise InputError(f"{spec.text}: {_WITHOUT[spec.kind]} no configuration here", fix=_ANOTHER)
    _require_packages()
    from qwen_bench.engines.loading import load_config  # noqa: PLC0415 - imports torch

    return load_config(look_up(spec, options, weights=False).weights, options)


def open_prompting(spec: ModelSpec, options: EngineOptions) -> Prompting | None:
    """What the engine of a SPEC will say of its prompts; no weights are loaded, no server is asked.

    Returns:
        None for solvers and plug-ins, of which nothing is known here.

    Raises:
        MissingExtraError: torch, transformers or peft is not installed.
        ModelError: the tokenizer cannot be had or used, or there is no template.
    """
    if spec.kind == "openai":
        return prompting_of_server(options)
    if spec.kind not in _LOADED:
        return None
    return prompting_of(open_prompter(spec, options))


class _Models(Protocol):
    """Models that are loaded, with the engines on them."""

    def open(self, spec: ModelSpec, later: Sequence[ModelSpec]) -> Engine:
        """The engine of a SPEC; those still to come may share what it loads."""
        ...

    def keep(self, later: Sequence[ModelSpec]) -> None:
        """Free what none of these SPECs needs."""
        ...

    def close(self) -> None:
        """Free all."""
        ...


class _PooledModels:
    """Models loaded by workers, which share and free what they load by themselves."""

    def __init__(self, engines: Generator[Engine, None, None]) -> None:
        self._engines = engines

    def open(self, *_: object) -> Engine:
        """The next engine; they come in the order of the SPECs."""
        return next(self._engines)

    def keep(self, _: object) -> None:
        """Nothing is held here."""

    def close(self) -> None:
        """End the workers."""
        self._engines.close()


@contextmanager
def _models(specs: Sequence[ModelSpec], options: EngineOptions) -> Iterator[_Models]:
    """What loads models; imports torch, and ray or vllm where they are to compute."""
    if _pooled(options):
        _require("ray", "ray")
        wait_passively()  # workers inherit it
        from qwen_bench.engines.ray.ray_engine import (  # noqa: PLC0415 - its workers import this
            pooled_engines,
        )

        with closing(_PooledModels(pooled_engines(specs, options, open_engines))) as pooled:
            yield pooled
        return
    _require_packages()
    from qwen_bench.engines.loading import exact_products  # noqa: PLC0415 - imports torch

    with exact_products(), ExitStack() as stack:
        if options.engine == "vllm":
            from qwen_bench.engines.vllm.open_vllm import VllmModels  # noqa: PLC0415 - imports vllm

            yield stack.enter_context(closing(VllmModels(options)))
        else:
            from qwen_bench.engines.hf.open_hf import HfModels  # noqa: PLC0415 - as above

            yield stack.enter_context(closing(HfModels(options)))


def _engines(
    specs: Sequence[ModelSpec | QwenBenchError],
    options: EngineOptions,
    solver: Solver,
    models: _Models | None,
) -> Generator[Engine, None, None]:
    openers: dict[str, Callable[[ModelSpec, Sequence[ModelSpec]], Engine]] = {
        "mock": lambda spec, _: solver(spec),
        "openai": lambda spec, _: _openai_engine(spec, options),
        "plugin": lambda spec, _: _plugin_engine(spec, options),
    }
    if models is not None:
        openers |= dict.fromkeys(_LOADED, models.open)
    for place, spec in enumerate(specs):
        if isinstance(spec, QwenBenchError):
            raise spec
        usable = [other for other in specs[place + 1 :] if isinstance(other, ModelSpec)]
        later = [other for other in usable if other.kind in _LOADED]
        engine = openers[spec.kind](spec, later)
        try:
            yield engine
        finally:
            engine.close()
        del engine
        if models is not None:
            models.keep(later)


def _plugin_engine(spec: ModelSpec, options: EngineOptions) -> Engine:
    """The engine of a SPEC ``NAME:REST``, whose kind `ENGINES` or another package brought.

    Its entry is called with REST and the options and returns an engine.

    Raises:
        EngineError: the module cannot be imported, or does not give an engine.
        QwenBenchError: whatever the package raises for a user's mistake.
    """
    scheme, _, rest = spec.name.partition(":")
    if scheme in ENGINES:
        found = EntryPoint(scheme, ENGINES[scheme], PLUGINS)
    else:
        found = next(iter(entry_points(group=PLUGINS, name=scheme)))
    try:
        opened = found.load()
    except (ImportError, AttributeError) as error:
        raise EngineError(
            f"the engine '{scheme}:' cannot be loaded from {found.value}", why=str(error)
        ) from error
    engine: Engine = opened(rest, options)
    missing = [
        name
        for name in ("identity", "abilities", "answer", "counters", "close")
        if not callable(getattr(engine, name, None))
    ]
    if missing:
        raise EngineError(f"{found.value} gives no engine: it has no {', '.join(missing)}")
    return engine


def _openai_engine(spec: ModelSpec, options: EngineOptions) -> Engine:
    from qwen_bench.engines.openai.openai_engine import open_servers  # noqa: PLC0415 - imports openai

    if "tokenizer" in options.model_args:
        _require_packages()
    return open_servers(spec, options)


def _prompter_of_server(spec: ModelSpec, options: EngineOptions) -> Prompter:
    from qwen_bench.engines.openai.server_request import load_local  # noqa: PLC0415 - wanted only here

    if "tokenizer" in options.model_args:
        _require_packages()
    local = load_local(options)
    if local is None:
        raise InputError(
            f"{spec.text}: the tokenizer is on the server",
            fix="name the same one here: -M tokenizer=HUB_ID|FOLDER, or give the model itself",
        )
    return local.prompter


def _pooled(options: EngineOptions) -> bool:
    """Whether models answer in other processes."""
    return options.replicas > 1 or options.ray_address is not None


def _found(spec: ModelSpec, options: EngineOptions) -> ModelSpec | QwenBenchError:
    """A SPEC looked up, or why it cannot be used, which is raised when it is its turn."""
    try:
        return look_up(spec, options)
    except MissingExtraError:
        raise
    except QwenBenchError as error:
        return error


def _require_packages() -> None:
    """See to all that must be so before torch is imported.

    Raises:
        MissingExtraError: torch, transformers or peft is not installed.
    """
    wait_passively()
    for package in _PACKAGES:
        _require("hf", package)


def _require(extra: str, package: str) -> None:
    if find_spec(package) is None:
        raise MissingExtraError(extra, package)
