"""Opening the engines of a command on Ray: checks, environment, and everything ended afterwards."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.ray.engine import PooledEngine
from qwen_bench.engines.ray.pool import Pool
from qwen_bench.engines.ray.worker import EngineOpener
from qwen_bench.errors import InputError
from qwen_bench.protocol import Engine

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Messages of Ray's own go to standard output otherwise, where results are.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""What Ray takes as "no cluster here": with it, it listens on 127.0.0.1 only (seen in 2.60)."""
_ACCESS = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def pooled_engines(
    specs: Sequence[ModelSpec], options: EngineOptions, opener: EngineOpener
) -> Generator[Engine, None, None]:
    """An engine for each SPEC, in their order, each being `options.replicas` workers.

    Ray is there from the first engine asked for until the generator is closed.

    Args:
        specs: of models that are loaded; the ray package must be installed.
        options: of one engine, and how many.
        opener: of engines in a worker.

    Raises:
        InputError: a device that cannot be shared out.
        EngineError: no cluster, or no room on it.
        QwenBenchError: a model cannot be used as given.
    """
    if ":" in options.device:
        raise InputError(
            f"--device {options.device} names one device; with --replicas each worker gets its own",
            fix=f"--device {options.device.split(':')[0]}",
        )
    _prepare(own=options.ray_address is None)
    from qwen_bench.engines.ray.cluster import RayCluster, connected  # noqa: PLC0415 - imports ray

    alone = replace(_absolute_options(options), replicas=1, ray_address=None)
    with connected(options.ray_address), ExitStack() as stack:
        cluster = RayCluster([*map(_absolute, specs)], alone, opener, options.replicas)
        pool = Pool(cluster, options.replicas)
        stack.callback(pool.end)
        for place, _ in enumerate(specs):
            yield PooledEngine(pool, place)


def _prepare(*, own: bool) -> None:
    """Settings that Ray reads when it is imported and started; what the user set stays."""
    settings = _QUIET | (_LOOPBACK if own and "ray" not in sys.modules else {})
    if own and not any(name in os.environ for name in _ACCESS):
        # Otherwise Ray would write a lasting token into the home folder.
        settings |= {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def _absolute(spec: ModelSpec) -> ModelSpec:
    """The SPEC with paths that mean the same in a process that began in another folder."""
    path = spec.path.absolute() if spec.path is not None else None
    return replace(spec, path=path, base=_absolute(spec.base) if spec.base is not None else None)


def _absolute_options(options: EngineOptions) -> EngineOptions:
    """The same for the file of a chat template."""
    template = options.chat_template
    if template is None or template == "chatml":
        return options
    return replace(options, chat_template=str(Path(template).absolute()))
