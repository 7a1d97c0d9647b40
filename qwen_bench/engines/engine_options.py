"""What a user may choose about engines, and the settings of one kind of them, `-M KEY=VALUE`.

The latter travel in `EngineOptions.model_args`; an engine reads the keys it knows. None of them
belongs to the identity of a run: they say how answers are computed, not which. Values and words
only; no model library.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from qwen_bench.chat.policy import FULL, Policy
from qwen_bench.chat.rendering import Thinking
from qwen_bench.errors import InputError, near

if TYPE_CHECKING:
    from qwen_bench.engines.model_spec import ModelSpec

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
FingerprintMethod = Literal["full", "fast"]
EngineName = Literal["auto", "hf", "vllm"]
Value = str | int | float | bool
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?)?B?", re.IGNORECASE)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Options of all engines of one command.

    Attributes:
        device: ``auto`` takes cuda, then mps, then cpu; ``cuda:1`` names one of several.
        dtype: ``auto`` is float32 on a CPU and 16 bit where the device is made for it.
        chat_template: None for the model's own, ``chatml``, or a file.
        system: ``default``, ``none``, or the text itself.
        thinking: passed to the template only when it is not ``auto``.
        policy: which turns of a history are sent; applied before rendering.
        offline: no network; Hub models come from the local cache.
        trust_remote_code: run code from the model folder.
        allow_pickle: load weights stored as ``*.bin``.
        fingerprint: hash all bytes of local weights, or samples of them.
        engine: what computes models that are not behind a server; ``auto`` is hf.
        replicas: engines that answer side by side on Ray; 1 for none of it.
        ray_address: cluster to use; None starts Ray on this machine when replicas need it.
        base_url: address of an OpenAI-compatible server, ``.../v1``.
        concurrency: requests sent to a server at one time.
        batch_size: most sequences computed together by hf; None decides by memory.
        max_context: tokens of prompt and answer together; None takes what the model says.
        model_args: further settings of one engine, by name; see `ARGUMENTS`.
    """

    device: str = "auto"
    dtype: Dtype = "auto"
    chat_template: str | None = None
    system: str = "default"
    thinking: Thinking = "auto"
    policy: Policy = FULL
    offline: bool = False
    trust_remote_code: bool = False
    allow_pickle: bool = False
    fingerprint: FingerprintMethod = "full"
    engine: EngineName = "auto"
    replicas: int = 1
    ray_address: str | None = None
    base_url: str | None = None
    concurrency: int = 8
    batch_size: int | None = None
    max_context: int | None = None
    model_args: Mapping[str, Value] = field(default_factory=dict)


def _whole(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"\d+", text) or int(text) < least:
            raise ValueError(f"a whole number from {least} on")
        return int(text)

    return read


def _number(above: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not above < number <= most:
            upper = "" if math.isinf(most) else f" and at most {most:g}"
            raise ValueError(f"a number above {above:g}{upper}")
        return number

    return read


def _yes_or_no(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError("true or false")
    return text.lower() == "true"


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("a text")
    return text


def read_bytes(text: str) -> int:
    """Bytes of a size: a number, or one with a decimal or a binary unit.

    >>> read_bytes("4GiB"), read_bytes("1.5 GB"), read_bytes("1024")
    (4294967296, 1500000000, 1024)

    Raises:
        ValueError: it is no size above 0.
    """
    match = _SIZE.fullmatch(text.strip())
    size = 0.0
    if match:
        unit = (match[2] or "").lower()
        base = 1024 if unit.endswith("i") else 1000
        size = float(match[1]) * (base ** _POWERS[unit[0]] if unit else 1)
    if size < 1:
        raise ValueError("bytes, such as 4GiB or 2000000000")
    return int(size)


ARGUMENTS: Mapping[str, Mapping[str, Callable[[str], Value]]] = {
    "hf": {"memory": read_bytes, "chunk_tokens": _whole(1), "attn_implementation": _text},
    "openai": {
        "tokenizer": _text,
        "timeout": _number(0, math.inf),
        "max_retries": _whole(0),
        "logprobs": _whole(1),
    },
    "vllm": {
        "max_model_len": _whole(1),
        "gpu_memory_utilization": _number(0, 1),
        "tensor_parallel_size": _whole(1),
        "enforce_eager": _yes_or_no,
        "max_lora_rank": _whole(1),
    },
}
"""For each engine its settings, each with what reads a value from its text.

A reader raises ValueError, whose text says what is expected.
"""


def engine_of(spec: ModelSpec, options: EngineOptions) -> str | None:
    """Name of the engine that answers for a SPEC; None for solvers and plug-ins."""
    if spec.kind in {"mock", "plugin"}:
        return None
    if spec.kind == "openai":
        return "openai"
    return "vllm" if options.engine == "vllm" else "hf"


def read_arguments(texts: Sequence[str]) -> dict[str, Value]:
    """Values of `-M` by key.

    Raises:
        InputError: no KEY=VALUE, a key no engine knows, one given twice, or a value it cannot have.
    """
    found: dict[str, Value] = {}
    readers = {key: read for keys in ARGUMENTS.values() for key, read in keys.items()}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"-M {text}: expected KEY=VALUE", fix=_keys())
        if key not in readers:
            raise InputError(f"unknown model argument '{key}'; {near(key, readers)}", fix=_keys())
        if key in found:
            raise InputError(f"-M {key} is given twice")
        try:
            found[key] = readers[key](value)
        except ValueError as error:
            raise InputError(f"-M {key}: '{value}' is not {error}") from error
    return found


def check_used(arguments: Iterable[str], engines: Iterable[str | None]) -> None:
    """Refuse keys that none of the engines of a command reads.

    Args:
        arguments: keys given.
        engines: names of `engine_of`.

    Raises:
        InputError: a key belongs to another engine.
    """
    used = {name for name in engines if name}
    for key in arguments:
        owners = [name for name, keys in ARGUMENTS.items() if key in keys]
        if not used & set(owners):
            raise InputError(
                f"-M {key} is an argument of the {owners[0]} engine, which no model here uses",
                fix=_keys(),
            )


def arguments_help() -> str:
    """The keys of every engine, for `--help`."""
    return "; ".join(_keys()) + "."


def _keys() -> tuple[str, ...]:
    """What can be given, a line an engine."""
    return tuple(f"{name}: {', '.join(keys)}" for name, keys in ARGUMENTS.items())
