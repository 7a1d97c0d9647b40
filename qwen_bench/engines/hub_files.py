"""Files of the Hub, from the local cache or downloaded.

Knows names and commits, not what is in the files; imports no model library.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from qwen_bench.errors import InputError, ModelNotFoundError

TOKENIZER_FILES = ("*.json", "*.jinja", "*.model", "*.tiktoken", "merges.txt", "vocab.txt")
HUB_FILES = (*TOKENIZER_FILES, "*.safetensors")
ADAPTER_FILES = (*TOKENIZER_FILES, "adapter_*.safetensors")
CONFIG_FILES = ("adapter_config.json", "config.json")


def snapshot(name: str, revision: str | None, files: Iterable[str], *, offline: bool) -> Path:
    """Folder of a Hub repository at one commit; the folder's name is the commit.

    Args:
        name: Hub id.
        revision: branch, tag or commit; None is the default branch.
        files: patterns of what is wanted; a cached snapshot may hold more or less.
        offline: whether only the local cache is asked.

    Raises:
        ModelNotFoundError: it is not here and cannot be had.
        InputError: the name cannot be a Hub id.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - wanted only here
    from huggingface_hub.errors import (  # noqa: PLC0415 - as above
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        return Path(
            snapshot_download(
                name, revision=revision, allow_patterns=[*files], local_files_only=offline
            )
        )
    except LocalEntryNotFoundError as error:
        raise ModelNotFoundError(
            f"{name} is not in the local Hub cache; download it once online, "
            "or use --model embedded",
            why=() if offline else "the Hub could not be reached",
        ) from error
    except HfHubHTTPError as error:
        raise ModelNotFoundError(
            "the Hub has no such model, or it needs a token (HF_TOKEN)", why=name
        ) from error
    except HFValidationError as error:
        raise InputError(f"{name} is no Hub id", why=str(error).splitlines()[:1]) from error


def on_the_hub(name: str, commit: str, files: Iterable[str], *, offline: bool) -> bool:
    """Whether a repository has one of some files; offline, or out of reach, it has none."""
    from huggingface_hub import HfApi  # noqa: PLC0415 - as above
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415 - as above

    if offline:
        return False
    try:
        return any(HfApi().file_exists(name, file, revision=commit) for file in files)
    except (HfHubHTTPError, OSError):
        return False


def shown_folder(folder: Path) -> str:
    """Name of a folder for people: that of a Hub snapshot is its repository and commit.

    >>> shown_folder(Path("hub/models--org--lora/snapshots/0123456789abcdef"))
    'org/lora@01234567'
    >>> shown_folder(Path("out/checkpoint-200"))
    'checkpoint-200'
    """
    place = folder.absolute()
    repository = place.parent.parent.name
    if place.parent.name == "snapshots" and repository.startswith("models--"):
        name = "/".join(repository.split("--")[1:])
        return f"{name}@{place.name[:8]}"
    return place.name
