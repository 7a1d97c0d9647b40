"""Word files as plain trees: every string of them, and the same words under other names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel


def tree_of(value: object) -> Any:  # noqa: ANN401 - a tree of plain values
    """Mappings, lists and scalars of a words object; fields hidden from dumps are kept."""
    if isinstance(value, BaseModel):
        return {name: tree_of(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {key: tree_of(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(tree_of(item) for item in value)
    return value


def strings_of(value: object) -> Iterator[str]:
    """Every string in a tree, keys of mappings left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from strings_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings_of(item)


def exchanged(value: Any, renaming: Mapping[str, str]) -> Any:  # noqa: ANN401 - as above
    """The tree with whole strings renamed."""
    if isinstance(value, str):
        return renaming.get(value, value)
    if isinstance(value, Mapping):
        return {key: exchanged(item, renaming) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(exchanged(item, renaming) for item in value)
    return value
