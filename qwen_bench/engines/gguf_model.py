"""A GGUF file as a model: its weights converted once to safetensors, and its tokenizer.

Reading a GGUF takes many times longer than reading what it was converted to, so the result stays in
the user cache. Knows files and transformers; nothing of prompts or devices.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import platformdirs

from qwen_bench.engines.checkpoint_files import MODEL_CONFIG
from qwen_bench.engines.engine_options import FingerprintMethod
from qwen_bench.engines.fingerprint import file_fingerprint
from qwen_bench.engines.gguf_header import SERVED, GgufHeader, read_header
from qwen_bench.engines.library_errors import opening
from qwen_bench.engines.quiet_library import quiet_transformers
from qwen_bench.errors import ModelError

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def user_cache() -> Path:
    """Where converted models are kept."""
    return Path(platformdirs.user_cache_dir("qwen-bench"))


def converted_folder(kind: str, key: str, cache: Path | None = None) -> Path:
    """Where a converted model is, or will be; another version of the converter has another place.

    Args:
        kind: of model, the name of a folder.
        key: tells its bytes from all others.
        cache: parent folder; the user cache by default.
    """
    import transformers  # noqa: PLC0415 - seconds to import

    parent = cache if cache is not None else user_cache()
    return parent / kind / f"{key}-transformers-{transformers.__version__}"


def is_converted(folder: Path) -> bool:
    """Whether a folder holds a converted model; it is moved into place whole."""
    return (folder / MODEL_CONFIG).is_file()


def convert(label: str, gguf: Path, target: Path, dtype: str = "float32") -> None:
    """Write a GGUF file as safetensors with tokenizer, unless that is there already.

    Two processes may convert at the same time; the first to finish wins and both results are
    equal, because the folder is moved into place whole.

    Args:
        label: what the model is called in errors.
        gguf: the file.
        target: see `converted_folder`.
        dtype: number format of the weights.

    Raises:
        ModelError: a tensor of the model is not in the file.
    """
    if is_converted(target):
        return
    import torch  # noqa: PLC0415 - seconds to import
    from transformers import (  # noqa: PLC0415 - as above
        AutoModelForCausalLM,
        GgufConfig,
    )

    from qwen_bench.engines.loaded_weights import check_loaded_weights  # noqa: PLC0415 - as above

    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".converting-", dir=target.parent))
    try:
        with quiet_transformers():
            model, info = AutoModelForCausalLM.from_pretrained(
                gguf.parent,
                gguf_file=gguf.name,
                dtype=getattr(torch, dtype),
                quantization_config=GgufConfig(dequantize=True),
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # judged below, by name
            )
            check_loaded_weights(label, model, info)
            model.save_pretrained(work)
            read_tokenizer(gguf).save_pretrained(work)
        try:
            work.replace(target)
        except OSError:
            if not is_converted(target):
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def read_tokenizer(gguf: Path) -> Any:  # noqa: ANN401 - untyped
    """The tokenizer in a GGUF file."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - seconds to import, wanted only here

    with quiet_transformers():
        return AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)


class GgufModel:
    """A GGUF file that a user names.

    Args:
        label: what it is called in errors.
        path: of the file.
        method: how its bytes are told from others.

    Attributes:
        header: what it says of itself.

    Raises:
        ModelError: it is no whole model.
    """

    def __init__(self, label: str, path: Path, method: FingerprintMethod = "full") -> None:
        self.header: GgufHeader = read_header(label, path)
        self._label = label
        self._path = path
        self._method: FingerprintMethod = method
        self._fingerprint: str | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of the file, the method as its prefix."""
        if self._fingerprint is None:
            self._fingerprint = file_fingerprint(self._path, self._method)
        return self._fingerprint

    def folder(self, dtype: str) -> Path:
        """The model as a folder, converted on first use in the number format it computes in.

        Raises:
            ModelError: transformers does not know its architecture or cannot read it, or the disk
                is too small.
        """
        target = self._target(dtype)
        if not is_converted(target):
            self._check_room(target, dtype)
            with self._opening():
                convert(self._label, self._path, target, dtype)
        return target

    def config(self) -> Any:  # noqa: ANN401 - untyped
        """The configuration alone; nothing is converted.

        Raises:
            ModelError: transformers does not know its architecture, or not its positions.
        """
        from transformers import AutoConfig  # noqa: PLC0415 - seconds to import

        with quiet_transformers(), self._opening():
            found = self._converted()
            if found is not None:
                return AutoConfig.from_pretrained(found)
            config = AutoConfig.from_pretrained(self._path.parent, gguf_file=self._path.name)
        self._check_positions(config.get_text_config(decoder=True))
        return config

    def tokenizer(self) -> Any:  # noqa: ANN401 - untyped
        """The tokenizer alone; nothing is converted.

        Raises:
            ModelError: transformers cannot read it.
        """
        from transformers import AutoTokenizer  # noqa: PLC0415 - as above

        with quiet_transformers(), self._opening("the tokenizer of "):
            found = self._converted()
            return AutoTokenizer.from_pretrained(found) if found else read_tokenizer(self._path)

    def check(self) -> None:
        """Refuse what transformers cannot read; what was converted before it can.

        Raises:
            ModelError: see above.
        """
        if self._converted() is None:
            self.config()

    def _target(self, dtype: str) -> Path:
        method, _, digest = self.fingerprint.partition(":")
        return converted_folder("gguf", f"{digest[:16]}-{method}-{dtype}")

    def _converted(self) -> Path | None:
        """Where it was converted to before, in whatever number format."""
        folders = (self._target(dtype) for dtype in _BYTES)
        return next((folder for folder in folders if is_converted(folder)), None)

    def _opening(self, part: str = "") -> Any:  # noqa: ANN401 - a context manager
        fix = "; ".join(SERVED).format(path=self._path)
        subject = f"{part}{self._label} (GGUF, {self.header.architecture})"
        return opening(subject, hint=fix, instead=fix)

    def _check_positions(self, config: Any) -> None:  # noqa: ANN401 - a transformers configuration
        """Refuse positions that would be placed otherwise than in llama.cpp, without a word."""
        scaling, rope = self.header.rope_scaling, getattr(config, "rope_parameters", None) or {}
        if scaling is not None and rope.get("rope_type", "default") == "default":
            raise ModelError(
                f"{self._label} scales its positions ({scaling})",
                why="transformers does not read that from a GGUF file and would answer otherwise",
                fix=[fix.format(path=self._path) for fix in SERVED],
            )

    def _check_room(self, target: Path, dtype: str) -> None:
        """Refuse before minutes of work what the disk will not hold."""
        needed = self.header.parameters * _BYTES.get(dtype, 4)
        place = next(parent for parent in target.parents if parent.exists())
        free = shutil.disk_usage(place).free
        if free < needed:
            raise ModelError(
                f"{self._label} needs {needed / 1e9:.1f} GB in the cache, {free / 1e9:.1f} GB "
                "are free",
                why="a GGUF file is converted once, to the number format that is computed in",
                fix=("free some space", "--dtype bfloat16 takes half of float32"),
            )
