"""An engine made of several on Ray: whole units go to workers, replies come as they are ready."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.ray.agreement import joint_identity
from qwen_bench.engines.ray.pool import Pool
from qwen_bench.engines.ray.worker import EngineOpener
from qwen_bench.errors import InputError
from qwen_bench.protocol import Abilities, Engine, Identity, Reply, Unit
from qwen_bench.record.counters import Counters

# Without the second, messages of Ray's own go to standard output, where results are.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""What Ray takes as "no cluster here": with it, it listens on 127.0.0.1 only (seen in 2.60)."""
_ACCESS = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


class PooledEngine:
    """Implements `qwen_bench.protocol.SideBySideEngine` on a pool.

    Args:
        pool: workers, which load the model now.
        place: of its SPEC among those of the command.

    Raises:
        QwenBenchError: the model cannot be used as given, or the workers cannot be had.
    """

    def __init__(self, pool: Pool, place: int) -> None:
        opened = pool.open(place)
        self._pool = pool
        self._abilities = opened[0].abilities
        self._identity = joint_identity(opened)
        self._seconds = 0.0

    def identity(self) -> Identity:
        """Who answers: any of the workers, and how many they are."""
        return self._identity

    def abilities(self) -> Abilities:
        """Those of each worker."""
        return self._abilities

    def answer(self, unit: Unit) -> Iterator[Reply]:
        """One unit alone, on one worker."""
        return self.answer_all(iter((unit,)))

    def answer_all(self, units: Iterator[Unit]) -> Iterator[Reply]:
        """Replies unit by unit as they are ready; see the protocol.

        Raises:
            EngineError: no worker is left.
        """
        begun = time.perf_counter()
        try:
            for replies in self._pool.answers(units):
                yield from replies
        finally:
            self._seconds += time.perf_counter() - begun

    def counters(self) -> Counters:
        """Work of all workers.

        Sums, processor time and the seconds of single phases included; peaks of memory, rows and
        load time are those of one worker. `seconds` is the time that passed here, so that tokens
        per second are those of the pool.
        """
        return replace(self._pool.counters(), seconds=self._seconds)

    def close(self) -> None:
        """Keep the workers: they free the model when they open the next one, or end."""


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
