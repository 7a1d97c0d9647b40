"""Whether an adapter is put on the base it was trained on.

A base of the same shape takes any adapter without a word. An adapter's folder says in up to two
places what it was trained on: `training.json` of this project holds a fingerprint of the weights,
`adapter_config.json` a name, which is compared by content where it can be found here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_bench.engines.checkpoint_files import MODEL_CONFIG, holds_full_model
from qwen_bench.engines.fingerprint import model_fingerprint
from qwen_bench.engines.hub_files import CONFIG_FILES, snapshot
from qwen_bench.errors import QwenBenchError

if TYPE_CHECKING:
    from qwen_bench.engines.loading import Source

_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPACKED = re.compile(r"(-unsloth)?-bnb-[48]bit$", re.IGNORECASE)


def base_notices(config: Mapping[str, Any], folder: Path, base: Source) -> tuple[str, ...]:
    """Lines for the user where an adapter was trained on another base than it is put on.

    Args:
        config: `adapter_config.json`.
        folder: of the adapter.
        base: what it is put on.
    """
    line = _notice(config, folder, base)
    return () if line is None else (line,)


def repacked_from(name: str) -> str | None:
    """Name of the model that a 4-bit or 8-bit repack for bitsandbytes was made from, else None.

    >>> repacked_from("unsloth/Qwen2.5-0.5B-Instruct-unsloth-bnb-4bit")
    'Qwen2.5-0.5B-Instruct'
    """
    last = name.rstrip("/").rpartition("/")[2]
    return _REPACKED.sub("", last) if _REPACKED.search(last) else None


def _notice(config: Mapping[str, Any], folder: Path, base: Source) -> str | None:
    training = _training(folder)
    told = training.get("fingerprint")
    if isinstance(told, str) and _method(told) == _method(base.fingerprint):
        if told == base.fingerprint:
            return None
        trained = training.get("resolved") or "another model"
        return (
            f"it was trained on {trained}, and is put on {base.resolved}, whose fingerprint is "
            "not the one in its training.json"
        )
    name, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(name, str) or not name.strip():
        return None
    commit = revision if isinstance(revision, str) else None
    if name == base.resolved:
        return _other_commit(name, commit, base)
    if (full := repacked_from(name)) is not None and full == _last(base.resolved):
        return f"it was trained on {name}, a repack of {base.resolved} in fewer bits"
    return _by_content(name.strip(), commit, folder, base)


def _other_commit(name: str, revision: str | None, base: Source) -> str | None:
    """A line where both commits are known and differ."""
    known = revision and base.revision and _COMMIT.fullmatch(revision)
    if not known or revision == base.revision:
        return None
    return f"it was trained on {name} at commit {revision}, and is put on {base.revision}"


def _by_content(name: str, revision: str | None, folder: Path, base: Source) -> str | None:
    """A line where another base is named, unless what is found under its name is the same."""
    trained = Path(name).name if Path(name).is_absolute() else name
    found = _folder_of(name, revision, folder)
    if found is None:
        if _last(name) == _last(base.resolved):
            return None
        return (
            f"it names {trained} as its base, and is put on {base.resolved}; "
            "whether they are the same cannot be told here"
        )
    if found.resolve() == base.folder.resolve() or _same_weights(found, base.folder):
        return None
    return (
        f"it was trained on {trained}, and is put on {base.resolved}, whose weights or "
        "configuration differ"
    )


def _folder_of(name: str, revision: str | None, adapter: Path) -> Path | None:
    """Where the weights of a named base are on this machine; None where they are not."""
    places = [Path(name).expanduser()]
    if not places[0].is_absolute():
        places += [parent / name for parent in (adapter, *adapter.absolute().parents)]
    for place in places:
        if holds_full_model(place):
            return place
    try:
        found = snapshot(name, revision, CONFIG_FILES, offline=True)
    except (QwenBenchError, ImportError, ValueError, OSError):
        return None
    return found if holds_full_model(found) else None


def _same_weights(one: Path, other: Path) -> bool:
    """Whether two folders hold the same model, by configuration, sizes and samples of the bytes."""
    if not (other / MODEL_CONFIG).is_file():
        return False
    return model_fingerprint(one, "fast") == model_fingerprint(other, "fast")


def _training(folder: Path) -> Mapping[str, Any]:
    """What `training.json` says of the base; empty where there is none that can be read."""
    try:
        base = json.loads((folder / "training.json").read_text("utf-8"))["base"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return base if isinstance(base, dict) else {}


def _last(name: str) -> str:
    """The last component of a Hub id or path."""
    return name.rstrip("/").rpartition("/")[2]


def _method(fingerprint: str) -> tuple[str, bool]:
    """Equal for fingerprints that can be compared; that of the wheel has its version in it."""
    method, _, rest = fingerprint.partition(":")
    return method, "-" in rest
