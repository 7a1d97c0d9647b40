"""Which settings change answers, and whether two runs agree in them.

Identity comes from weights, text and settings, never from names; the selection (lengths, limit,
languages, families, conditions, modes) is not in it, so a run can be extended. Which fields count
stands beside them, in `qwen_bench.record.manifest`.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from qwen_bench.record.manifest import Manifest
from qwen_bench.record.marks import marked_fields


def identity_fields(manifest: Manifest) -> dict[str, Any]:
    """Every setting that changes answers, by dotted name; absent and null are the same."""
    found = {}
    for field in marked_fields(manifest):
        if field.mark.identity:
            value = field.read(manifest)
            value = field.mark.identity_of(value) if field.mark.identity_of else value
            found[field.path] = list(value) if isinstance(value, tuple) else value
    return {name: value for name, value in sorted(found.items()) if value is not None}


def canonical_sha256(value: object) -> str:
    """SHA-256 of canonical JSON: UTF-8, sorted keys, no blanks."""
    text = json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def with_identity(manifest: Manifest) -> Manifest:
    """The manifest with its `identity` computed."""
    return manifest.model_copy(update={"identity": canonical_sha256(identity_fields(manifest))})


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
