"""Hashes that say whether two runs used the same weights.

Content decides, never names or times: retraining into the same folder leaves both plausible. Knows
files, and tensors in memory; imports no model library until it is given some.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from qwen_bench.engines.engine_options import FingerprintMethod

BLOCK = 1 << 20
SAMPLES = 16
WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")
CONFIGS = ("config.json", "generation_config.json")
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
TOKENIZER_FILES = (
    "added_tokens.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)


def model_fingerprint(folder: Path, method: FingerprintMethod = "full") -> str:
    """Fingerprint of a full model in a folder, the method as its prefix.

    Hashes weights, `config.json` and `generation_config.json`; other files do not change answers.
    ``fast`` hashes headers, sizes and 1 MiB blocks at fixed offsets of the weights; it can miss a
    change of a few rows, so ``full:`` and ``fast:`` never compare equal.
    """
    weights = sorted({path for pattern in WEIGHTS for path in folder.glob(pattern)})
    weights = [path for path in weights if not path.name.startswith(("adapter_", "training_args"))]
    configs = [folder / name for name in CONFIGS if (folder / name).is_file()]
    return f"{method}:{_combined([*weights, *configs], method)}"


def file_fingerprint(path: Path, method: FingerprintMethod = "full") -> str:
    """Fingerprint of a model that is one file, the method as its prefix."""
    return f"{method}:{_file_sha256(path, method)}"


def adapter_fingerprint(folder: Path, base: str) -> str:
    """Fingerprint of an adapter: that of its base and every byte of its own files."""
    own = _combined([folder / name for name in ADAPTER_FILES if (folder / name).is_file()], "full")
    return f"{base}+{own}"


def tokenizer_sha256(folder: Path) -> str:
    """Hash of what decides token ids: `tokenizer.json`, or the older files without one."""
    fast = folder / "tokenizer.json"
    files = [fast] if fast.is_file() else [folder / name for name in TOKENIZER_FILES]
    return _combined([path for path in files if path.is_file()], "full")


def state_fingerprint(state: Mapping[str, Any]) -> str:
    """Fingerprint of a model in memory: name, type, shape and bytes of every tensor.

    Args:
        state: a state dict of torch.
    """
    import torch  # noqa: PLC0415 - the rest of this module reads files without it

    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name}\t{tensor.dtype}\t{tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return f"state:{digest.hexdigest()}"


def _combined(files: Iterable[Path], method: FingerprintMethod) -> str:
    """SHA-256 over the sorted (name, hash) pairs; files are hashed in threads."""
    paths = sorted(files, key=lambda path: path.name)
    with ThreadPoolExecutor(max_workers=4) as pool:
        hashes = list(pool.map(lambda path: _file_sha256(path, method), paths))
    pairs = [[path.name, digest] for path, digest in zip(paths, hashes, strict=True)]
    return hashlib.sha256(json.dumps(pairs, separators=(",", ":")).encode()).hexdigest()


def _file_sha256(path: Path, method: FingerprintMethod) -> str:
    digest = hashlib.sha256()
    size = path.stat().st_size
    with path.open("rb") as stream:
        if path.suffix == ".safetensors":
            digest.update(_tensor_index(stream))
        begin = stream.tell()
        if method == "full" or size - begin <= BLOCK * SAMPLES:
            while block := stream.read(BLOCK):
                digest.update(block)
        else:
            digest.update(str(size).encode())
            for sample in range(SAMPLES):
                stream.seek(begin + (size - begin - BLOCK) * sample // (SAMPLES - 1))
                digest.update(stream.read(BLOCK))
    return digest.hexdigest()


def _tensor_index(stream: BinaryIO) -> bytes:
    """Read a safetensors header and normalise it: no metadata, sorted keys.

    A file whose header cannot be read is hashed as it is; loading it will tell what is wrong.
    """
    length = int.from_bytes(stream.read(8), "little")
    raw = stream.read(min(length, 100 << 20))
    try:
        header = json.loads(raw)
    except ValueError:
        stream.seek(0)
        return b""
    if not isinstance(header, dict):
        stream.seek(0)
        return b""
    header.pop("__metadata__", None)
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
