"""Settings of one kind of engine, typed as `-M KEY=VALUE`: which there are, and what they take.

They travel in `EngineOptions.model_args`; an engine reads the keys it knows. None of them belongs
to the identity of a run: they say how answers are computed, not which. Reads words, knows no
engine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from qwen_bench.errors import InputError, near

if TYPE_CHECKING:
    from qwen_bench.engines.engine_options import EngineOptions
    from qwen_bench.engines.model_spec import ModelSpec

Value = str | int | float | bool
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?)?B?", re.IGNORECASE)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}


class Argument(NamedTuple):
    """One setting.

    Attributes:
        read: value of a text; raises ValueError, whose text says what is expected.
        metavar: what to type.
        help: what it sets.
    """

    read: Callable[[str], Value]
    metavar: str
    help: str


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


ARGUMENTS: Mapping[str, Mapping[str, Argument]] = {
    "hf": {
        "memory": Argument(
            read_bytes, "SIZE", "memory for keys, values and activations, such as 4GiB"
        ),
        "chunk_tokens": Argument(_whole(1), "N", "tokens of a shared history read at once"),
        "attn_implementation": Argument(
            _text, "NAME", "attention of transformers for models without two-part attention"
        ),
    },
    "openai": {
        "tokenizer": Argument(
            _text, "SPEC", "model whose tokenizer counts and renders prompts here"
        ),
        "timeout": Argument(_number(0, math.inf), "SECONDS", "longest wait for one answer"),
        "max_retries": Argument(_whole(0), "N", "times a failed request is sent again"),
        "logprobs": Argument(_whole(1), "N", "most log-probabilities of a token to ask for"),
    },
    "vllm": {
        "max_model_len": Argument(_whole(1), "N", "context window"),
        "gpu_memory_utilization": Argument(_number(0, 1), "SHARE", "share of the GPU's memory"),
        "tensor_parallel_size": Argument(_whole(1), "N", "GPUs of one engine"),
        "enforce_eager": Argument(_yes_or_no, "true|false", "compile nothing"),
        "max_lora_rank": Argument(_whole(1), "N", "largest rank of an adapter"),
    },
}


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
    known = {key: argument for keys in ARGUMENTS.values() for key, argument in keys.items()}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"-M {text}: expected KEY=VALUE", fix=_keys())
        if key not in known:
            raise InputError(f"unknown model argument '{key}'; {near(key, known)}", fix=_keys())
        if key in found:
            raise InputError(f"-M {key} is given twice")
        try:
            found[key] = known[key].read(value)
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
