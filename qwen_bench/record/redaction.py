"""Text and settings without their secrets: what is recorded or shown may be published."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

HIDDEN = "***"
_SECRET_NAME = re.compile(r"key|token|secret|password|authorization", re.IGNORECASE)
_NOT_SECRET = re.compile(
    r"tokenizer|tokens$|sha256$|(?:eos|bos|pad|unk|stop)[_-]token", re.IGNORECASE
)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_HOME = re.compile(r"(?:/home/|/Users/|[A-Za-z]:\\Users\\)[^/\\\s\"':,;]+|/root(?=[/\s\"':,;]|$)")
_SECRET_VALUE = re.compile(r"\b(?:hf_|sk-|ghp_|xox[bp]-)[A-Za-z0-9_-]{12,}|Bearer\s+[^\s\"',]+")
_SHOWN = "[redacted]"


def redact_text(text: str, hidden: str = HIDDEN) -> str:
    """The text without credentials inside URLs."""
    return _CREDENTIALS.sub(f"{hidden}@", text)


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


def redact_shown(value: object, *, name: str = "") -> object:
    """A value as it is shown to others: without home folders and secrets, containers included.

    Args:
        value: JSON value.
        name: key the value stands under; a name with key, token, secret or password hides
            strings, as it does for a flag and the word after it in a command line.
    """
    if isinstance(value, str):
        flag, equals, _ = value.partition("=")
        if sounds_secret(name):
            return _SHOWN
        if equals and flag.startswith("-") and sounds_secret(flag):
            return f"{flag}={_SHOWN}"
        text = _SECRET_VALUE.sub(_SHOWN, redact_text(value, _SHOWN))
        return _HOME.sub("~", text)
    if isinstance(value, dict):
        return {key: redact_shown(item, name=str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return redact_shown_list(value, name=name)
    return value


def redact_shown_list(values: Sequence[object], *, name: str = "") -> list[object]:
    """`redact_shown` of each value, which may be the words of a command line."""
    return [
        redact_shown(value, name=str(flag) if str(flag).startswith("-") else name)
        for flag, value in zip(["", *values], values, strict=False)
    ]


def sounds_secret(name: str) -> bool:
    """Whether a flag, key or variable of this name holds a secret; token ids and hashes do not."""
    return bool(_SECRET_NAME.search(name)) and not _NOT_SECRET.search(name)
