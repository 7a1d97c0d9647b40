"""Engines of other packages, by the entry-point group ``qwen_bench.engines``.

An entry ``NAME = "package.module:open_engine"`` answers for SPECs ``NAME:REST``. It is called with
REST and the options of the command and returns an engine (`qwen_bench.protocol.Engine`).
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.errors import EngineError
from qwen_bench.protocol import Engine

GROUP = "qwen_bench.engines"


def open_plugin(spec: ModelSpec, options: EngineOptions) -> Engine:
    """The engine of a SPEC whose kind another package brought.

    Raises:
        EngineError: the package cannot be imported, or does not give an engine.
        QwenBenchError: whatever the package raises for a user's mistake.
    """
    scheme, _, rest = spec.name.partition(":")
    found: EntryPoint = next(iter(entry_points(group=GROUP, name=scheme)))
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
