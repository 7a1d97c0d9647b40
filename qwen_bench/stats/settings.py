"""Which differences between two runs forbid a comparison, which are shown, which are expected.

Reads manifests as plain mappings under the field names of docs/runs.md; an absent field and null
are the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qwen_bench.errors import InputError, near
from qwen_bench.stats.model import SettingClass, SettingDifference

_MUST_MATCH = (
    "suite.name",
    "suite.version",
    "suite.sha256",
    "suite.seed",
    "suite.filler_sha256",
    "suite.policy",
    "suite.families",
    "scorer.version",
    "scorer.sha256",
)
_WARN = (
    "template.chat_template_sha256",
    "template.tokenizer_sha256",
    "template.default_system",
    "template.thinking.requested",
    "template.thinking.effective",
    "model.dtype",
    "engine.name",
    "engine.version",
    "engine.device",
)
_EXPECTED = (
    "model.label",
    "model.spec",
    "model.fingerprint",
    "engine.batch_size",
    "engine.replicas",
    "suite.langs",
    "suite.lengths",
    "suite.conditions",
    "suite.limit",
    "suite.modes",
)
# What the checkpoint shipped and the run overrode did not change the run.
_NOT_A_SETTING = frozenset({"checkpoint_defaults"})
_FLAGS = {
    "suite.name": "--suite",
    "suite.seed": "--seed",
    "suite.policy": "--policy",
    "generation.max_new_tokens": "--max-new-tokens",
    "generation.max_thinking_tokens": "--max-thinking-tokens",
    "generation.temperature": "--temperature",
    "generation.top_p": "--top-p",
    "generation.top_k": "--top-k",
    "generation.seed": "--sampling-seed",
}
_NONE = "none"
# What stands for "none" on the command line, where it has an effect of its own.
_OFF = {"generation.top_p": "1", "generation.top_k": "0"}


def differing_settings(
    base: Mapping[str, Any], candidate: Mapping[str, Any]
) -> tuple[SettingDifference, ...]:
    """Every setting that differs between two manifests, must-match ones first.

    Args:
        base: manifest of the baseline.
        candidate: manifest of the candidate.
    """
    classes: tuple[tuple[SettingClass, Sequence[str]], ...] = (
        ("must match", must_match_fields(base, candidate)),
        ("warn", _WARN),
        ("expected", _EXPECTED),
    )
    found = [
        _difference(base, candidate, field, kind) for kind, fields in classes for field in fields
    ]
    found += [_base_weights(base, candidate), _method(base, candidate)]
    packages = sorted({*_packages(base), *_packages(candidate)})
    for name in packages:
        old, new = _packages(base).get(name), _packages(candidate).get(name)
        found.append(_named(f"packages.{name}", old, new, "warn"))
    order: dict[SettingClass, int] = {"must match": 0, "warn": 1, "expected": 2}
    return tuple(sorted((item for item in found if item), key=lambda item: order[item.kind]))


def must_match_fields(base: Mapping[str, Any], candidate: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields that must agree; all of `generation` but what is not a setting.

    Where one side thinks and the other does not, only one has thoughts to bound: that their modes
    differ is shown, their budgets are not compared.
    """
    names = {*(base.get("generation") or {}), *(candidate.get("generation") or {})}
    if _thinks(base) != _thinks(candidate):
        names.discard("max_thinking_tokens")
    return (*_MUST_MATCH, *(f"generation.{name}" for name in sorted(names - _NOT_A_SETTING)))


def refused(
    settings: Sequence[SettingDifference], allowed: Sequence[str], known: Sequence[str]
) -> tuple[SettingDifference, ...]:
    """The must-match differences nobody allowed.

    Args:
        settings: all differences.
        allowed: fields whose difference the user accepts.
        known: fields that can be allowed.

    Raises:
        InputError: an allowed field is none that can be.
    """
    for field in allowed:
        if field not in known:
            raise InputError(
                f"{field} is not a setting whose mismatch can be allowed", fix=near(field, known)
            )
    return tuple(
        item for item in settings if item.kind == "must match" and item.field not in allowed
    )


def fixes(differences: Sequence[SettingDifference], manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Lines that say how to make two runs comparable.

    Args:
        differences: the refused ones.
        manifest: of the candidate.
    """
    flags = " ".join(flag for flag in map(_flag, differences) if flag)
    spec = _get(manifest, "model.spec")
    again = f"  qwen-bench run --model {spec} {flags}" if flags and spec else ""
    allow = " ".join(f"--allow-mismatch {item.field}" for item in differences)
    return (
        "run the candidate again with the baseline's settings" + (":" if again else ""),
        *([again] if again else []),
        f"or accept {'a difference' if len(differences) == 1 else 'the differences'}: {allow}",
    )


def _thinks(manifest: Mapping[str, Any]) -> bool:
    """Whether the prompts of a run asked for thoughts."""
    thinking = _get(manifest, "template.thinking") or {}
    return (thinking.get("effective") or thinking.get("requested")) == "on"


def _flag(difference: SettingDifference) -> str | None:
    """What to type for the baseline's value; None where nothing needs to be typed."""
    name = _FLAGS.get(difference.field)
    if name is None:
        return None
    if difference.base != _NONE:
        return f"{name} {difference.base}"
    return f"{name} {_OFF[difference.field]}" if difference.field in _OFF else None


def _get(manifest: Mapping[str, Any], field: str) -> Any:  # noqa: ANN401 - a value of a JSON file
    """Value at a dotted path, None when any part is absent."""
    value: Any = manifest
    for name in field.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _difference(
    base: Mapping[str, Any], candidate: Mapping[str, Any], field: str, kind: SettingClass
) -> SettingDifference | None:
    """The difference in one field, None when it agrees."""
    return _named(field, _get(base, field), _get(candidate, field), kind)


def _named(field: str, old: object, new: object, kind: SettingClass) -> SettingDifference | None:
    """A difference between two values, None when they agree; the order of lists is no setting."""
    before, after = _text(old), _text(new)
    return None if before == after else SettingDifference(field, before, after, kind)


def _text(value: object) -> str:
    """A setting as a reader types it."""
    if value is None:
        return _NONE
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return ",".join(sorted((_text(item) for item in value), key=lambda t: (len(t), t)))
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _base_weights(
    base: Mapping[str, Any], candidate: Mapping[str, Any]
) -> SettingDifference | None:
    """An adapter compared with something else than the weights it sits on."""
    under = _get(candidate, "model.base_fingerprint")
    if under is None:
        return None
    reference = _get(base, "model.base_fingerprint") or _get(base, "model.fingerprint")
    return _named("model.base_fingerprint", reference, under, "warn")


def _method(base: Mapping[str, Any], candidate: Mapping[str, Any]) -> SettingDifference | None:
    """Weights hashed in full on one side and by samples on the other."""

    def method(manifest: Mapping[str, Any]) -> str:
        return "fast" if "fast" in str(_get(manifest, "model.fingerprint")).split(":") else "full"

    return _named("fingerprint method", method(base), method(candidate), "warn")


def _packages(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Package versions of the last process that recorded each."""
    versions: dict[str, str] = {}
    for invocation in manifest.get("invocations") or ():
        versions |= invocation.get("packages") or {}
    return versions
