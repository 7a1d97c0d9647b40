"""Recipes: what to train on and how, read from YAML; unknown keys are errors.

A name means a file shipped in `finetune/`, everything else is a path. Torch-free.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qwen_bench.chat.plain_text import half_character, texts_in
from qwen_bench.errors import DataError, InputError, near
from qwen_bench.probes.probe import Lang
from qwen_bench.resources import data_folder

SUFFIXES = (".yaml", ".yml")


class GenerateBlock(BaseModel):
    """Training conversations to make from the train split; see `training_dialogues`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: int = Field(ge=1)
    """Conversations to train on; held-out ones come on top."""
    lengths: tuple[int, int]
    """Shortest and longest history in user turns, questions not counted."""
    langs: tuple[Lang, ...] = Field(min_length=1)
    """Taken in turn."""
    families: tuple[str, ...] | None = None
    """None is all of them."""
    levels: tuple[int, ...] = (1, 2, 3)
    """Of memory load, 1 to 5, increasing."""
    seed: int = Field(default=0, ge=0)
    """Of all draws."""
    early: float = Field(default=0.25, ge=0, le=1)
    """Share of the questions asked on the way instead of at the end."""
    train_replies: bool = False
    """Whether the scripted replies to evidence and filler are trained too."""


class LoraBlock(BaseModel):
    """The adapter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(ge=1)
    alpha: float = Field(gt=0)
    """The effective scale is alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] | Literal["all-linear"]


class Schedule(BaseModel):
    """How long, how fast and how exactly to train; the part of a recipe that knows no data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(ge=1)
    """Optimizer steps."""
    batch: int = Field(ge=1)
    """Rows whose loss is summed for one step."""
    lr: float = Field(gt=0)
    """Learning rate after the warm-up; it then falls linearly to a tenth."""
    warmup: int = Field(default=0, ge=0)
    """Steps in which the rate rises linearly."""
    weight_decay: float = Field(default=0.0, ge=0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto` computes in bfloat16 where the device does so natively; weights stay as loaded."""
    gradient_checkpointing: bool = False
    """Compute activations a second time instead of keeping them: less memory, more time."""
    seed: int = Field(default=0, ge=0)
    """Of adapter weights, dropout and the order of rows."""


class Recipe(Schedule):
    """One recipe file."""

    about: str
    generate: GenerateBlock | None = None
    data: str | None = None
    """A ChatML JSONL file instead of `generate`; a relative path counts from the recipe."""
    lora: LoraBlock
    max_length: int = Field(ge=16)
    """Tokens of the longest row."""
    held_out: int = Field(default=0, ge=0)
    """Conversations kept back, to measure loss before and after."""


@dataclass(frozen=True, slots=True)
class NamedRecipe:
    """A recipe and the file it came from.

    Attributes:
        name: as the user gave it.
        sha256: of the file, before flags changed anything.
        folder: of the file; data paths count from there.
    """

    name: str
    recipe: Recipe
    sha256: str
    folder: Path


def recipe_names() -> tuple[str, ...]:
    """Recipes shipped with the package."""
    return tuple(sorted(path.stem for path in data_folder("finetune").glob("*.yaml")))


def load_recipe(name: str) -> NamedRecipe:
    """A recipe by name or file.

    Raises:
        InputError: there is no such recipe.
        DataError: the file is not YAML or has a wrong or unknown key.
    """
    path = _find(name)
    content = path.read_bytes()
    try:
        parsed = yaml.safe_load(content)
        texts = list(texts_in(parsed))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise DataError(path, line, f"not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise DataError(path, None, f"not valid YAML: {why}") from None
    if not isinstance(parsed, dict):
        raise DataError(path, 1, "not a mapping of keys")
    for place, text in texts:
        wrong = half_character(text)
        if wrong is not None:
            name = ".".join(map(str, place))
            raise DataError(path, None, f"{name}: {wrong}", fix="write the whole character")
    recipe = _checked(path, parsed)
    if (recipe.generate is None) == (recipe.data is None):
        raise DataError(path, None, "a recipe has either generate or data")
    return NamedRecipe(name, recipe, hashlib.sha256(content).hexdigest(), path.parent)


def resolve(
    named: NamedRecipe, *, data: str | None, changes: Mapping[str, float | None]
) -> NamedRecipe:
    """The recipe with flags applied and its data file as a path that can be opened.

    Args:
        named: what the file says; a relative data path counts from its folder.
        data: a ChatML JSONL file instead of the recipe's data, relative to where the user is.
        changes: values by key, None where the flag was not given; ``rank`` is that of `lora` and
            keeps the scale alpha / rank.
    """
    given: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
    rank = given.pop("rank", None)
    recipe = named.recipe
    if rank is not None:
        alpha = recipe.lora.alpha / recipe.lora.rank * rank
        given["lora"] = recipe.lora.model_copy(update={"rank": rank, "alpha": alpha})
    if data is not None:
        given |= {"data": data, "generate": None}
    elif recipe.data is not None:
        given["data"] = str(named.folder / recipe.data)
    return replace(named, recipe=recipe.model_copy(update=given))


def _find(name: str) -> Path:
    shipped = recipe_names()
    if name in shipped:
        return data_folder("finetune") / f"{name}.yaml"
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix in SUFFIXES or len(path.parts) > 1:
        raise InputError(
            f"no recipe file {name}", fix=f"shipped recipes: {', '.join(shipped) or 'none'}"
        )
    raise InputError(
        f"no recipe '{name}'; {near(name, shipped)}", fix="--recipe FILE.yaml takes your own"
    )


def _checked(path: Path, content: Mapping[str, Any]) -> Recipe:
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            block = first["loc"][0] if len(first["loc"]) > 1 else None
            blocks: dict[object, type[BaseModel]] = {"generate": GenerateBlock, "lora": LoraBlock}
            model = blocks.get(block, Recipe)
            hint = near(str(first["loc"][-1]), model.model_fields)
            raise DataError(path, None, f"unknown key '{place}'; {hint}") from None
        raise DataError(path, None, f"{place}: {first['msg']}") from None
