"""Text and settings without their secrets: what is recorded may be published."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

HIDDEN = "***"
_SECRET_NAME = re.compile(r"key|token|secret|password|authorization", re.IGNORECASE)
_NOT_SECRET = re.compile(
    r"tokenizer|tokens$|sha256$|(?:eos|bos|pad|unk|stop)[_-]token", re.IGNORECASE
)
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/@\s]+@")


def redact_text(text: str) -> str:
    """The text without credentials inside URLs."""
    return _CREDENTIALS.sub(rf"\g<scheme>{HIDDEN}@", text)


def redact_argv(argv: Sequence[str]) -> tuple[str, ...]:
    """A command line without the values of flags that sound secret and without URL credentials."""
    cleaned: list[str] = []
    hide_next = False
    for word in argv:
        name, equals, _ = word.partition("=")
        if hide_next and not word.startswith("--"):
            cleaned.append(HIDDEN)
            hide_next = False
        elif word.startswith("-") and sounds_secret(name):
            cleaned.append(f"{name}={HIDDEN}" if equals else word)
            hide_next = not equals
        else:
            cleaned.append(redact_text(word))
            hide_next = False
    return tuple(cleaned)


def redact_mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """Flags by name with secret values hidden, at any depth."""
    return {
        name: HIDDEN if sounds_secret(name) and value is not None else _redact(value)
        for name, value in values.items()
    }


def _redact(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """One JSON value without secrets."""
    if isinstance(value, Mapping):
        return redact_mapping(value)
    if isinstance(value, list | tuple):
        return [_redact(item) for item in value]
    return redact_text(value) if isinstance(value, str) else value


def sounds_secret(name: str) -> bool:
    """Whether a flag, key or variable of this name holds a secret; token ids and hashes do not."""
    return bool(_SECRET_NAME.search(name)) and not _NOT_SECRET.search(name)
