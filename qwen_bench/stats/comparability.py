"""Which differences between two runs forbid a comparison, which are shown, which are expected.

What a field decides stands beside it, in `qwen_bench.record.manifest`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from qwen_bench.errors import InputError, near
from qwen_bench.record.manifest import Manifest
from qwen_bench.record.marks import MarkedField, SettingClass, marked_fields
from qwen_bench.stats.results import SettingDifference

_ORDER: tuple[SettingClass, ...] = ("must match", "warn", "expected")
_NONE = "none"
_METHOD = "fingerprint method"
_THOUGHTS = "generation.max_thinking_tokens"
_VERSION = "suite.version"
_TYPING_ERROR = 0.8


def differing_settings(base: Manifest, candidate: Manifest) -> tuple[SettingDifference, ...]:
    """Every setting that differs between two manifests, must-match ones first."""
    found = [
        _named(field.path, field.read(base), field.read(candidate), field.mark.pairing)
        for field in _compared(base, candidate)
        if field.mark.pairing is not None
    ]
    found += [_base_weights(base, candidate), _method(base, candidate)]
    old, new = _packages(base), _packages(candidate)
    found += [
        _named(_package(name), old.get(name), new.get(name), "warn")
        for name in sorted({*old, *new})
    ]
    return tuple(sorted((item for item in found if item), key=lambda item: _ORDER.index(item.kind)))


def compared_settings(base: Manifest, candidate: Manifest) -> dict[str, SettingClass]:
    """What a difference does, for every setting that two manifests may be compared in."""
    packages = sorted({*_packages(base), *_packages(candidate)})
    marked = {item.path: item.mark.pairing for item in _compared(base, candidate)}
    found: dict[str, SettingClass] = {path: kind for path, kind in marked.items() if kind}
    found.setdefault(_THOUGHTS, "expected")
    return found | dict.fromkeys(
        ("model.base_fingerprint", _METHOD, *map(_package, packages)), "warn"
    )


def needless(allowed: Sequence[str], known: Mapping[str, SettingClass]) -> tuple[str, ...]:
    """A line for each allowed field whose difference forbids nothing.

    Args:
        allowed: fields whose difference the user accepts.
        known: from `compared_settings`.
    """
    done = {"warn": "only warned of", "expected": "expected"}
    return tuple(
        f"--allow-mismatch {field} changes nothing: a difference in it is {done[known[field]]}"
        for field in dict.fromkeys(allowed)
        if known.get(field) in done
    )


def _compared(base: Manifest, candidate: Manifest) -> list[MarkedField]:
    """Fields of either side: settings in the order of the manifest, generation by name.

    What was selected from the suite comes last where it may differ. Where one side thinks and the
    other does not, only one has thoughts to bound: that their modes differ is shown, their budgets
    are not compared.
    """
    fields = {field.path: field for side in (base, candidate) for field in marked_fields(side)}
    if thinks(base) != thinks(candidate):
        del fields[_THOUGHTS]
    return sorted(fields.values(), key=_place)


def _place(field: MarkedField) -> tuple[bool, str]:
    """Sorts generation by name, without moving what stands in the order of the manifest."""
    generation = field.path.startswith("generation.")
    last = field.mark.selection and field.mark.pairing == "expected"
    return last or generation, field.path if generation else ""


def refused(
    settings: Sequence[SettingDifference],
    allowed: Sequence[str],
    known: Mapping[str, SettingClass],
) -> tuple[SettingDifference, ...]:
    """The must-match differences nobody allowed.

    Args:
        settings: all differences.
        allowed: fields whose difference the user accepts.
        known: from `compared_settings`.

    Raises:
        InputError: an allowed field is none of them.
    """
    for field in allowed:
        if field not in known:
            close = near(field, known, cutoff=_TYPING_ERROR)
            need = ", ".join(name for name, kind in known.items() if kind == "must match")
            raise InputError(
                f"{field} is not a setting whose mismatch can be allowed",
                fix=close if close.startswith("near") else f"settings that can: {need}",
            )
    return tuple(
        item for item in settings if item.kind == "must match" and item.field not in allowed
    )


def fixes(differences: Sequence[SettingDifference], manifest: Manifest) -> tuple[str, ...]:
    """Lines that say how to make two runs comparable.

    Suites of another major version ask other conversations under the same names, so no flag makes
    them comparable.

    Args:
        differences: the refused ones.
        manifest: of the candidate.
    """
    if any(
        item.field == _VERSION and _major(item.base) != _major(item.candidate)
        for item in differences
    ):
        return ("ask both models with one version of qwen-bench; no flag overrides this",)
    marks = {field.path: field for field in marked_fields(manifest)}
    typed = [_typed(item, marks.get(item.field)) for item in differences]
    flags = " ".join(text for text in typed if text)
    again = f"  qwen-bench run --model {manifest.model.spec} {flags}" if flags else ""
    allow = " ".join(f"--allow-mismatch {item.field}" for item in differences)
    return (
        "run the candidate again with the baseline's settings" + (":" if again else ""),
        *([again] if again else []),
        f"or accept {'a difference' if len(differences) == 1 else 'the differences'}: {allow}",
    )


def thinks(manifest: Manifest) -> bool:
    """Whether the prompts of a run asked for thoughts."""
    thinking = manifest.template.thinking
    return (thinking.effective or thinking.requested) == "on"


def _major(version: str) -> str:
    """The number of a suite's version that changes when an existing probe does."""
    return version.partition(".")[0]


def _typed(difference: SettingDifference, field: MarkedField | None) -> str | None:
    """What to type for the baseline's value; None where nothing needs to be typed."""
    if field is None or field.mark.flag is None or field.mark.repeated:
        return None
    if difference.base != _NONE:
        return f"{field.mark.flag} {difference.base}"
    return f"{field.mark.flag} {field.mark.off}" if field.mark.off is not None else None


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


def _base_weights(base: Manifest, candidate: Manifest) -> SettingDifference | None:
    """An adapter compared with something else than the weights it sits on."""
    under = candidate.model.base_fingerprint
    if under is None:
        return None
    reference = base.model.base_fingerprint or base.model.fingerprint
    return _named("model.base_fingerprint", reference, under, "warn")


def _method(base: Manifest, candidate: Manifest) -> SettingDifference | None:
    """Weights hashed in full on one side and by samples on the other."""

    def method(manifest: Manifest) -> str:
        return "fast" if "fast" in manifest.model.fingerprint.split(":") else "full"

    return _named(_METHOD, method(base), method(candidate), "warn")


def _package(name: str) -> str:
    """The version of a package, as a setting."""
    return f"packages.{name}"


def _packages(manifest: Manifest) -> dict[str, str]:
    """Package versions of the last process that recorded each."""
    versions: dict[str, str] = {}
    for invocation in manifest.invocations:
        versions |= invocation.packages
    return versions
