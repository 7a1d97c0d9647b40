"""qwen-bench: does a fine-tuned ChatML model still remember the conversation?

The data flows one way: ``tasks/`` definitions become probes (`qwen_bench.probes`), probes become
ChatML prompts (`qwen_bench.chat`), engines answer them (`qwen_bench.engines`), answers are scored
(`qwen_bench.scoring`), kept (`qwen_bench.runs`), compared (`qwen_bench.stats`) and shown
(`qwen_bench.report`). What a user can do with it are the functions below; docs/python.md has
examples.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qwen_bench.version import __version__

if TYPE_CHECKING:
    from qwen_bench.app.python import RunResult, compare, load_suite, report, run
    from qwen_bench.chat.policy import Policy
    from qwen_bench.engines.legacy_chat import LegacyChat
    from qwen_bench.errors import QwenBenchError
    from qwen_bench.protocol import (
        Abilities,
        Engine,
        Identity,
        Reply,
        Request,
        Score,
        Unit,
    )
    from qwen_bench.record.counters import Counters
    from qwen_bench.record.manifest import DecodingInfo, EngineInfo, ModelInfo, TemplateInfo
    from qwen_bench.runs.job import Reporter, RunInterruptedError
    from qwen_bench.stats.results import Comparison

__all__ = [
    "Abilities",
    "Comparison",
    "Counters",
    "DecodingInfo",
    "Engine",
    "EngineInfo",
    "Identity",
    "LegacyChat",
    "ModelInfo",
    "Policy",
    "QwenBenchError",
    "Reply",
    "Reporter",
    "Request",
    "RunInterruptedError",
    "RunResult",
    "Score",
    "TemplateInfo",
    "Unit",
    "__version__",
    "compare",
    "load_suite",
    "report",
    "run",
]
# Where each name is found, when it is first asked for: importing the package stays light.
_HOMES = {
    "app.python": ("RunResult", "compare", "load_suite", "report", "run"),
    "chat.policy": ("Policy",),
    "engines.legacy_chat": ("LegacyChat",),
    "errors": ("QwenBenchError",),
    "protocol": ("Abilities", "Engine", "Identity", "Reply", "Request", "Score", "Unit"),
    "record.counters": ("Counters",),
    "record.manifest": ("DecodingInfo", "EngineInfo", "ModelInfo", "TemplateInfo"),
    "runs.job": ("Reporter", "RunInterruptedError"),
    "stats.results": ("Comparison",),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever is public
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"qwen_bench.{home}"), name)
    raise AttributeError(f"module 'qwen_bench' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
