"""One place that turns what libraries raise while they read a user's files into our errors.

A model names a library by what it needs (a quantisation, a kernel, code of its own), and the
library says so with whatever exception it likes. Knows words of error texts; imports no library.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from qwen_bench.errors import ModelError, QwenBenchError

_PIP = re.compile(r"pip3? install\s+(?:-U\s+|--upgrade\s+)?([^`)\n]+?)(?=[`)\n]|\.\s|\.?$)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What is installed for a module or for a word in an error text, where that is another name.
_INSTALLS = {
    "auto_round": "auto-round",
    "compressed_tensors": "compressed-tensors",
    "fast_hadamard_transform": "fast-hadamard-transform",
    "fbgemm_gpu": "fbgemm-gpu",
    "flash_attn": "flash-attn",
    "google": "protobuf",
    "optimum": "optimum gptqmodel",  # asked for by GPTQ alone, which needs both
    "quark": "amd-quark",
    "spqr_quant": "spqr_quant[gpu]",
}
# Words by which libraries mean a package that they do not tell how to install.
_WORDS = (
    (re.compile(r"package for FlashAttention2"), "flash-attn --no-build-isolation"),
    (re.compile(r"\bHQQ\b"), "hqq"),
    (re.compile(r"\bQuark\b|`quark`"), "amd-quark"),
    (re.compile(r"fbgemm-gpu library"), "fbgemm-gpu"),
    (re.compile(r"protobuf library"), "protobuf"),
    (re.compile(r"SentencePiece library|requires `?sentencepiece"), "sentencepiece"),
    (re.compile(r"tiktoken"), "tiktoken"),
)


@contextmanager
def opening(subject: str, *, hint: str | None = None, instead: str | None = None) -> Iterator[None]:
    """Whatever a library raises inside becomes a `ModelError` about the subject.

    Args:
        subject: what is being loaded, for example ``the tokenizer of checkpoint-200``.
        hint: what may help where no package is missing.
        instead: what may be done where one is.

    Raises:
        ModelError: names the package with its install line where one is missing, else gives the
            first lines of the library's own words.
    """
    try:
        yield
    except QwenBenchError:
        raise
    except Exception as error:
        if _is_ours(error):
            raise
        raise model_error(subject, error, hint=hint, instead=instead) from error


def model_error(
    subject: str, error: Exception, *, hint: str | None = None, instead: str | None = None
) -> ModelError:
    """What a library raised, as an error with cause and mend; see `opening`."""
    lines = first_lines(error)
    wanted = missing_package(error)
    if wanted is None:
        return ModelError(f"{subject} cannot be loaded", why=lines, fix=hint or ())
    name = _package_of(wanted)
    try:
        found = version(name)
    except PackageNotFoundError:
        message = f"{subject} needs the package {name}, which is not installed"
    else:
        message = f"{subject} needs another version of the package {name}; {found} is installed"
    parts = wanted.replace("'", "").replace('"', "").split()
    install = " ".join(["pip install", *map(shlex.quote, parts)])
    return ModelError(message, why=lines, fix=(install, instead) if instead else install)


def first_lines(error: BaseException) -> list[str]:
    """The first lines of an error's text, or its type where it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[:4] or [type(error).__name__]


def missing_package(error: Exception) -> str | None:
    """What `pip install` would be given so that this error goes away, or None.

    >>> missing_package(ImportError("needs AQLM: `pip install aqlm[gpu,cpu]`"))
    'aqlm[gpu,cpu]'
    >>> missing_package(ValueError("pip install --upgrade transformers"))
    """
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        return _INSTALLS.get(top, top)
    if not isinstance(error, ImportError):
        return None
    text = str(error)
    if told := _PIP.search(text):
        wanted = told[1].strip()
        return _INSTALLS.get(_package_of(wanted), wanted)
    return next((install for word, install in _WORDS if word.search(text)), None)


def _package_of(wanted: str) -> str:
    """The package in what `pip install` is given."""
    found = _NAME.search(wanted)
    return found[0] if found else wanted


def _is_ours(error: Exception) -> bool:
    """Whether it is a fault of this program, which has to show its traceback."""
    return isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "qwen_bench"
