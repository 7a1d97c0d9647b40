"""Which settings change answers, and whether two runs agree in them.

Identity comes from weights, text and settings, never from names; the selection (lengths, limit,
languages, families, conditions, modes) is not in it, so a run can be extended.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwen_bench.runs.manifest import Manifest

_SUITE = ("name", "version", "sha256", "seed", "filler_sha256", "policy")
_TEMPLATE = ("chat_template_sha256", "tokenizer_sha256")


def identity_fields(manifest: Manifest) -> dict[str, Any]:
    """Every setting that changes answers, by dotted name; absent and null are the same.

    The checkpoint's own generation defaults are left out: they were overridden.
    """
    data = manifest.model_dump(mode="json")
    found = {f"suite.{name}": data["suite"][name] for name in _SUITE}
    found["model.fingerprint"] = data["model"]["fingerprint"]
    found["model.dtype"] = data["model"]["dtype"]
    found |= {f"template.{name}": data["template"][name] for name in _TEMPLATE}
    found["template.thinking.effective"] = data["template"]["thinking"]["effective"]
    found |= {
        f"generation.{name}": value
        for name, value in data["generation"].items()
        if name != "checkpoint_defaults"
    }
    found["engine.name"] = data["engine"]["name"]
    found["engine.device"] = str(data["engine"]["device"] or "").split(":")[0] or None
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
    before = _with_scorer(old)
    after = _with_scorer(new)
    return [
        (name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _with_scorer(manifest: Manifest) -> Mapping[str, Any]:
    """Identity fields and the scorer's."""
    scorer = {
        "scorer.version": manifest.scorer.version,
        "scorer.sha256": manifest.scorer.sha256,
    }
    return identity_fields(manifest) | {
        name: value for name, value in scorer.items() if value is not None
    }
