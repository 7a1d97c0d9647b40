"""Quantised models: whether this machine has what their method needs, told before weights are read.

transformers is asked itself, so that what it can load here is what is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qwen_bench.engines.checkpoint_files import MODEL_CONFIG, read_config
from qwen_bench.engines.library_errors import opening
from qwen_bench.engines.quiet_library import quiet_transformers
from qwen_bench.errors import ModelError

FULL = "or the full-precision model; --model openai:NAME asks a server that runs it"


def quantised_with(label: str, folder: Path) -> dict[str, Any] | None:
    """`quantization_config` of a model; None where it is not quantised.

    Raises:
        ModelError: `config.json`, or that part of it, is not a JSON object.
    """
    if not (folder / MODEL_CONFIG).is_file():
        return None
    settings = read_config(label, folder).get("quantization_config")
    if settings is None or isinstance(settings, dict):
        return settings
    raise ModelError(f"{label}: quantization_config in {MODEL_CONFIG} is not a JSON object")


def method_of(settings: dict[str, Any]) -> str:
    """Name of the method."""
    for bits in ("4", "8"):
        if settings.get(f"load_in_{bits}bit"):
            return f"bitsandbytes, {bits} bits"
    return str(settings.get("quant_method"))


def quantisation_of(label: str, folder: Path) -> str | None:
    """The format in which a model's weights are stored in fewer bits; None for plain numbers.

    Raises:
        ModelError: see `quantised_with`.
    """
    settings = quantised_with(label, folder)
    if settings is None:
        return None
    method = method_of(settings)
    bits = settings.get("bits", settings.get("w_bit"))
    return f"{method}, {bits} bits" if isinstance(bits, int) else method


def check_quantisation(label: str, folder: Path) -> None:
    """Refuse a model that is quantised in a way transformers cannot load here.

    Raises:
        ModelError: names the missing package with its install line, or says what else is wanted.
    """
    settings = quantised_with(label, folder)
    if settings is None:
        return
    from transformers.quantizers.auto import AutoHfQuantizer  # noqa: PLC0415 - seconds to import

    subject = f"{label}, quantised with {method_of(settings)},"
    with quiet_transformers(), opening(subject, hint=FULL.removeprefix("or "), instead=FULL):
        quantizer = AutoHfQuantizer.from_config(dict(settings), pre_quantized=True)
        quantizer.validate_environment(device_map=None, weights_only=True)
