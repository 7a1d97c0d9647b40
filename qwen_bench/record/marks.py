"""What a field of the manifest means: for identity, for pairing two runs, for workers, for flags.

A mark stands beside its field in `qwen_bench.record.manifest`; whoever decides by a field reads its
mark, so that there is no second list of fields to keep in step. A field without a mark is an error.

The identity of a run comes from weights, text and settings, never from names; the selection
(lengths, limit, languages, families, conditions, modes) is not in it, so a run can be extended.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pydantic import BaseModel

    from qwen_bench.record.manifest import Manifest

SettingClass = Literal["must match", "warn", "expected"]


@dataclass(frozen=True, slots=True)
class Mark:
    """What one field means.

    Attributes:
        pairing: what a difference between two runs does: forbid the comparison, be warned of, be
            expected; None for what is not compared.
        identity: it changes answers, so a run that differs in it is another run.
        identity_of: what of the value counts for the identity; all of it by default.
        workers: engines that answer side by side must agree in it.
        selection: which part of the suite was asked, so that a run can be extended in it.
        column: field of an outcome that holds one of its values.
        flag: the flag that sets it.
        repeated: the flag is given once a value.
        off: what stands for "none" on the command line.
    """

    pairing: SettingClass | None = None
    identity: bool = False
    identity_of: Callable[[Any], object] | None = None
    workers: bool = False
    selection: bool = False
    column: str | None = None
    flag: str | None = None
    repeated: bool = False
    off: str | None = None


@dataclass(frozen=True, slots=True)
class MarkedField:
    """A field of the manifest by its dotted path, with its mark."""

    path: str
    mark: Mark

    def read(self, manifest: BaseModel) -> Any:  # noqa: ANN401 - a value of the manifest
        """Its value in a manifest."""
        value: Any = manifest
        for name in self.path.split("."):
            value = getattr(value, name, None)
        return value


def marked_fields(manifest: BaseModel) -> tuple[MarkedField, ...]:
    """Every field of a manifest in order of declaration; sections are walked into.

    Keys of a section that this version does not declare follow the declared ones by name, with the
    mark that the section gives to such keys.

    Raises:
        TypeError: a field has no mark.
    """
    return tuple(_walk(manifest, ""))


def _walk(section: BaseModel, prefix: str) -> Iterator[MarkedField]:
    """The fields of one section, those of sections inside it included."""
    for name, mark in _declared(type(section)):
        value = getattr(section, name)
        if mark is None:
            yield from _walk(value, f"{prefix}{name}.")
        else:
            yield MarkedField(f"{prefix}{name}", mark)
    undeclared: Mark = getattr(section, "undeclared", Mark())
    for name in sorted(section.model_extra or {}):
        yield MarkedField(f"{prefix}{name}", undeclared)


@lru_cache(maxsize=32)
def _declared(section: type[BaseModel]) -> tuple[tuple[str, Mark | None], ...]:
    """Names and marks of the fields of a section; None for a field that is a section itself."""
    found: list[tuple[str, Mark | None]] = []
    for name, field in section.model_fields.items():
        marks = [item for item in field.metadata if isinstance(item, Mark)]
        inner = isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields")
        if len(marks) + inner != 1:
            raise TypeError(f"{section.__name__}.{name} needs one mark")
        found.append((name, None if inner else marks[0]))
    return tuple(found)


def identity_fields(manifest: Manifest) -> dict[str, Any]:
    """Every setting that changes answers, by dotted name; absent and null are the same."""
    found = {}
    for field in marked_fields(manifest):
        if field.mark.identity:
            value = field.read(manifest)
            value = field.mark.identity_of(value) if field.mark.identity_of else value
            found[field.path] = list(value) if isinstance(value, tuple) else value
    return {name: value for name, value in sorted(found.items()) if value is not None}


def with_identity(manifest: Manifest) -> Manifest:
    """The manifest with its `identity`, the SHA-256 of its identity fields as canonical JSON."""
    text = json.dumps(
        identity_fields(manifest),
        ensure_ascii=False,
        sort_keys=True,
        separators=(",", ":"),
        allow_nan=False,
    )
    return manifest.model_copy(update={"identity": hashlib.sha256(text.encode()).hexdigest()})


def differences(old: Manifest, new: Manifest) -> list[tuple[str, Any, Any]]:
    """(field, old, new) of every setting that forbids continuing `old` with `new`.

    The scorer is added here although it is not part of the identity: one run never mixes scorers.
    """
    before, after = _with_scorer(old), _with_scorer(new)
    return [
        (name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _with_scorer(manifest: Manifest) -> dict[str, Any]:
    """Identity fields and the scorer's."""
    scorer = manifest.scorer
    found = {"scorer.version": scorer.version, "scorer.sha256": scorer.sha256}
    return identity_fields(manifest) | {
        name: value for name, value in found.items() if value is not None
    }
