"""What a GGUF file says of itself: architecture, kind, how its weights are quantised.

Reads the head of the file alone, so that a file that cannot be used is refused before any library
reads gigabytes. Imports no model library.
"""

from __future__ import annotations

import mmap
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from qwen_bench.errors import ModelError

MAGIC = b"GGUF"
SERVED = (
    "llama-server -m {path} serves it: --model openai:NAME --base-url URL",
    "or the model it was made from, as a Hub id or a folder with safetensors",
)
"""What can be done with a file that is not read here."""

_VERSIONS = (2, 3)
_PLAIN = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
_ALIGNMENT = 32
_FACTORS = ("rope_freqs", "rope_factors")


Field = str | float | int | bool


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """The head of a file.

    Attributes:
        fields: metadata by key; of lists only how many items they have.
        types: elements by number of the type they are stored in.
        tensors: number of tensors.
        parameters: elements of all tensors.
        needed: bytes up to the beginning of the last tensor; a shorter file was cut.
        factors: whether a tensor holds factors of the positions.
    """

    fields: Mapping[str, Field]
    types: Mapping[int, int]
    tensors: int
    parameters: int
    needed: int
    factors: bool

    @property
    def architecture(self) -> str:
        """Name of llama.cpp."""
        return str(self.fields.get("general.architecture", "unknown"))

    @property
    def rope_scaling(self) -> str | None:
        """How positions are scaled beyond the trained length; None where they are not."""
        named = str(self.fields.get(f"{self.architecture}.rope.scaling.type", "none"))
        if named != "none":
            return named
        return "by factors" if self.factors else None

    @property
    def quantisation(self) -> str:
        """Name of the mixture, such as Q4_K_M; that of most elements where the file has none."""
        import gguf  # noqa: PLC0415 - brings numpy

        mixture = self.fields.get("general.file_type")
        try:
            if isinstance(mixture, int):
                name = str(gguf.LlamaFileType(mixture).name)
                return name.removeprefix("MOSTLY_").removeprefix("ALL_")
        except ValueError:
            pass
        most = max(self.types, key=lambda kind: self.types[kind], default=0)
        try:
            return str(gguf.GGMLQuantizationType(most).name)
        except ValueError:
            return f"type {most}"


def read_header(label: str, path: Path) -> GgufHeader:
    """The head of a GGUF file that holds a whole model.

    Args:
        label: what the model is called in errors.
        path: of the file.

    Raises:
        ModelError: it is none, cut off, one part of several, or an adapter or the like.
    """
    try:
        with (
            path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            header = _Reader(data).header()
            size = len(data)
    except (OSError, ValueError, struct.error, UnicodeDecodeError) as error:
        raise ModelError(
            f"{label} cannot be read as a GGUF file",
            why=str(error),
            fix=f"download or copy it again; {SERVED[1].removeprefix('or ')}",
        ) from error
    if header.needed >= size:
        raise ModelError(
            f"{label} ends in the middle: {size:,} bytes, its tensors need more than "
            f"{header.needed:,}",
            fix="download or copy it again",
        )
    parts = header.fields.get("split.count", 0)
    if isinstance(parts, int) and parts > 1:
        raise ModelError(
            f"{label} is one part of {parts}",
            fix=("llama-gguf-split --merge FIRST.gguf WHOLE.gguf", "--model ./WHOLE.gguf"),
        )
    kind = header.fields.get("general.type", "model")
    if kind != "model":
        raise ModelError(
            f"{label} holds no model but a part for one ({kind})",
            fix="an adapter is taken in the form of PEFT: --model MODEL.gguf+FOLDER"
            if kind == "adapter"
            else "name the file with the language model",
        )
    return header


class _Reader:
    """Walks through the head of a file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._place = 0

    def header(self) -> GgufHeader:
        """The whole head.

        Raises:
            ValueError: it is none.
            struct.error: the file ends in it.
        """
        if self._data[:4] != MAGIC:
            raise ValueError(f"it does not begin with the letters {MAGIC.decode()}")
        self._place = 4
        version = self._whole("I")
        if version not in _VERSIONS:
            raise ValueError(f"its version is {version}; known are 2 and 3, little-endian")
        tensors, count = self._whole("Q"), self._whole("Q")
        fields = dict(self._field() for _ in range(count))
        types: Counter[int] = Counter()
        last, factors = 0, False
        for _ in range(tensors):
            factors |= self._text().startswith(_FACTORS)
            size = prod(self._whole("Q") for _ in range(self._whole("I")))
            types[self._whole("I")] += size
            last = max(last, self._whole("Q"))
        step = int(fields.get("general.alignment", _ALIGNMENT)) or _ALIGNMENT
        begin = -(-self._place // step) * step
        return GgufHeader(fields, types, tensors, types.total(), begin + last, factors)

    def _field(self) -> tuple[str, Field]:
        return self._text(), self._value(self._whole("I"))

    def _value(self, kind: int) -> Field:
        if kind == _TEXT:
            return self._text()
        if kind == _LIST:
            inner, count = self._whole("I"), self._whole("Q")
            if inner in _PLAIN:
                self._place += count * struct.calcsize(_PLAIN[inner])
            else:
                for _ in range(count):
                    self._skip(inner)
            return count
        if kind not in _PLAIN:
            raise ValueError(f"a value of it has the unknown type {kind}")
        value: Field = self._number(_PLAIN[kind])
        return value

    def _skip(self, kind: int) -> None:
        """Pass over an item of a list."""
        if kind == _TEXT:
            size = self._whole("Q")
            self._place += size
        else:
            self._value(kind)

    def _whole(self, form: str) -> int:
        return int(self._number(form))

    def _number(self, form: str) -> Any:  # noqa: ANN401 - whatever the form stands for
        (value,) = struct.unpack_from(f"<{form}", self._data, self._place)
        self._place += struct.calcsize(form)
        return value

    def _text(self) -> str:
        size = self._whole("Q")
        text = self._data[self._place : self._place + size]
        if len(text) < size:
            raise ValueError("it ends in its head")
        self._place += size
        return text.decode("utf-8")
