"""Addresses of servers: what may be typed, and what of it may be shown.

Credentials inside an address are sent and never written anywhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from qwen_bench.errors import InputError


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is.

    Attributes:
        url: as typed, for requests.
        shown: without user and password, for messages and records.
        host: host and port.
        root: the address without its last ``/v1``, where servers keep pages of their own.
    """

    url: str
    shown: str
    host: str
    root: str


def read_addresses(text: str | None) -> tuple[Address, ...]:
    """The addresses of ``--base-url``, separated by commas.

    Raises:
        InputError: none, or one that is no address.
    """
    words = [word.strip().rstrip("/") for word in (text or "").split(",")]
    found = tuple(_address(word) for word in words if word)
    if not found:
        raise InputError(
            "no server address; pass --base-url or set OPENAI_BASE_URL",
            fix="for example --base-url http://127.0.0.1:8000/v1",
        )
    return found


def address_of(dialogue: str, count: int) -> int:
    """Which of several servers answers a dialogue: always the same one, whose cache has it."""
    return int.from_bytes(hashlib.sha256(dialogue.encode()).digest()[:8], "big") % count


def _address(word: str) -> Address:
    try:
        parts = urlsplit(word)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host or parts.scheme not in {"http", "https"} or parts.query or parts.fragment:
        raise InputError(
            "--base-url: not the address of a server",
            why="it begins with http:// or https:// and a host, and has no ? or #",
            fix="for example --base-url http://127.0.0.1:8000/v1",
        )
    name = f"[{host}]" if ":" in host else host
    netloc = name if port is None else f"{name}:{port}"
    shown = urlunsplit((parts.scheme, netloc, parts.path, "", ""))
    root = urlunsplit((parts.scheme, parts.netloc, parts.path.removesuffix("/v1"), "", ""))
    return Address(word, shown, netloc, root)
