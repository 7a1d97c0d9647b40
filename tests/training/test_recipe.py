"""Recipes are read strictly, by name or file, and flags change them in known ways."""

import pytest
import yaml

from qwen_bench.errors import DataError, InputError
from qwen_bench.training.recipe import load_recipe, recipe_names, resolve

CONTENT = {
    "about": "a test",
    "generate": {"n": 4, "lengths": [1, 2], "langs": ["en"]},
    "lora": {"rank": 4, "alpha": 8, "target_modules": ["q_proj"]},
    "steps": 2,
    "batch": 2,
    "lr": 0.01,
    "max_length": 512,
}


def write(tmp_path, **changes):
    path = tmp_path / "own.yaml"
    content = {k: v for k, v in (CONTENT | changes).items() if v is not None}
    path.write_text(yaml.safe_dump(content), "utf-8")
    return str(path)


def test_the_shipped_recipes_are_found_by_name_and_valid():
    assert "quick" in recipe_names()
    for name in recipe_names():
        assert load_recipe(name).recipe.about


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="no recipe 'quik'; near: quick"):
        load_recipe("quik")


def test_a_missing_file_lists_the_shipped_recipes(tmp_path):
    with pytest.raises(InputError) as caught:
        load_recipe(str(tmp_path / "none.yaml"))

    assert "quick" in caught.value.fix[0]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"step": 3}, "unknown key 'step'; near: steps"),
        (
            {"lora": {"rang": 4, "rank": 4, "alpha": 8, "target_modules": ["q"]}},
            "unknown key 'lora.rang'; near: rank",
        ),
        ({"steps": 0}, "steps: "),
        ({"lr": None}, "lr: Field required"),
        ({"data": "x.jsonl"}, "a recipe has either generate or data"),
        ({"generate": None}, "a recipe has either generate or data"),
        ({"generate": {"n": 1, "lengths": [1, 2], "langs": ["de"]}}, "generate.langs.0: "),
    ],
)
def test_a_wrong_key_is_named(tmp_path, changes, told):
    with pytest.raises(DataError) as caught:
        load_recipe(write(tmp_path, **changes))

    assert told in caught.value.message


@pytest.mark.parametrize(
    ("content", "told"), [("a: [", "not valid YAML"), ("- a", "not a mapping")]
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path, content, told):
    path = tmp_path / "own.yaml"
    path.write_text(content, "utf-8")

    with pytest.raises(DataError, match=told):
        load_recipe(str(path))


def test_flags_change_values_and_rank_keeps_the_scale(tmp_path):
    named = load_recipe(write(tmp_path))

    changed = resolve(named, data=None, changes={"steps": 7, "rank": 8, "lr": None}).recipe

    assert (changed.steps, changed.lr) == (7, 0.01)
    assert (changed.lora.rank, changed.lora.alpha) == (8, 16)


def test_a_data_path_counts_from_the_recipe_and_from_the_user_when_it_is_a_flag(tmp_path):
    named = load_recipe(write(tmp_path, generate=None, data="own.jsonl"))

    assert resolve(named, data=None, changes={}).recipe.data == str(tmp_path / "own.jsonl")
    assert resolve(named, data="mine.jsonl", changes={}).recipe.data == "mine.jsonl"
    flagged = resolve(load_recipe(write(tmp_path)), data="mine.jsonl", changes={}).recipe
    assert flagged.generate is None
