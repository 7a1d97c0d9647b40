"""Workers as Ray actors, on a cluster that is there or one that is started on this machine.

Ray is only asked to place processes and to carry calls; it neither retries nor restarts anything:
see `pool`. Importing this imports ray, whose settings must be in the environment by then: see
`ray_engine`.
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.ray.pool import WorkerLostError
from qwen_bench.engines.ray.worker import EngineOpener, Worker
from qwen_bench.engines.ray.worker_resources import Node, cpus_each, gpus_each
from qwen_bench.errors import EngineError

_OBJECT_STORE_BYTES = 100 * 2**20
_LOOPBACK = "127.0.0.1"
_KNOCK_SECONDS = 10.0
_LINE = 300


class RayCluster:
    """Where workers run. Every call but `wait` and `result` returns at once.

    Args:
        specs, options, opener: for the workers.
        workers: how many there will be.

    Raises:
        EngineError: the cluster has no room for so many.
    """

    def __init__(
        self,
        specs: Sequence[ModelSpec],
        options: EngineOptions,
        opener: EngineOpener,
        workers: int,
    ) -> None:
        nodes = [
            Node(node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
            for node in ray.nodes()  # type: ignore[no-untyped-call]  # Ray has no annotation there
            if node["Alive"]
        ]
        gpus = gpus_each(options.device, nodes)
        self._actor = ray.remote(Worker).options(
            num_gpus=gpus,
            num_cpus=cpus_each(nodes, workers, gpus),
            max_restarts=0,
            max_task_retries=0,
        )
        self._arguments = (specs, options, opener)

    def begin(self) -> Any:  # noqa: ANN401 - an actor handle, untyped
        """Start one more worker, an actor; Ray finds it a place."""
        return self._actor.remote(*self._arguments)

    def call(self, worker: Any, method: str, *arguments: object) -> Hashable:  # noqa: ANN401
        """Call a method of `Worker`; calls of one worker are carried out in their order."""
        reference: Hashable = getattr(worker, method).remote(*arguments)
        return reference

    def wait(self, calls: Sequence[Hashable], seconds: float | None) -> set[Hashable]:
        """Calls that have ended, as soon as one has; none after the time."""
        first, _ = ray.wait(list(calls), num_returns=1, timeout=seconds)
        if not first:
            return set()
        ended, _ = ray.wait(list(calls), num_returns=len(calls), timeout=0)
        return {*first, *ended}

    def result(self, call: Hashable) -> Any:  # noqa: ANN401 - of whatever was called
        """Result of a call that has ended; it is small, so Ray sends it with the end of the call.

        Raises:
            WorkerLostError: the actor died, or the value was lost with its node.
        """
        try:
            return ray.get(call)  # type: ignore[call-overload]  # an ObjectRef, see `call`
        except RayTaskError:
            raise  # a mistake in this program, with the traceback from the other process
        except RayError as error:
            lines = str(error).strip().splitlines()
            raise WorkerLostError(lines[-1][:_LINE] if lines else "") from error

    def end(self, worker: Any) -> None:  # noqa: ANN401 - as above
        """End a worker, dead or alive."""
        ray.kill(worker, no_restart=True)


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Ray, as long as the block lasts; one that runs in this process already is used and kept.

    Args:
        address: of a cluster to join; None starts Ray on this machine, on loopback only.

    Raises:
        EngineError: there is no cluster at the address.
    """
    if ray.is_initialized():
        yield
        return
    try:
        with _signal_handlers_kept():
            _connect(address)
        yield
    finally:
        with _signal_handlers_kept():
            ray.shutdown()


def _connect(address: str | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        ray.init("local", include_dashboard=False, object_store_memory=_OBJECT_STORE_BYTES, **quiet)
        if ray.util.get_node_ip_address() != _LOOPBACK:  # type: ignore[no-untyped-call]  # as above
            raise EngineError(
                "Ray would listen on the network",
                why="it was imported in this process before it was told not to",
                fix="set RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 first, or call ray.init() yourself",
            )
        return
    try:
        _knock(address)
        ray.init(address, **quiet)
    except (OSError, ValueError) as error:
        raise EngineError(
            f"no Ray cluster answers at {address}",
            why=str(error).strip().splitlines()[:1],
            fix=(
                "run this on a node of the cluster, with --ray-address auto or HEAD:6379",
                "without --ray-address Ray is started on this machine",
            ),
        ) from error


def _knock(address: str) -> None:
    """Try a HOST:PORT shortly: Ray itself tries for minutes, with a line each time.

    Raises:
        OSError: nobody listens there.
    """
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        socket.create_connection((host, int(port)), _KNOCK_SECONDS).close()


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Ray replaces the handler of SIGTERM; whoever had it wants to stop a run in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, kept)
