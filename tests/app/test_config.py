"""The fields of `RunConfig` say everything about an option, and agree with the manifest's marks."""

import dataclasses
from dataclasses import dataclass, field, fields

import pytest

from qwen_bench.app.config import RunConfig, flag_of, options
from qwen_bench.app.option_values import SETTING, Meaning, option, option_of
from qwen_bench.record.marks import identity_fields, marked_fields
from qwen_bench.runs.store import read_run
from qwen_bench.testing import make_manifest

SMALL = {"suite": "quick", "limit": 1, "lengths": (1,), "lang": "en", "family": "fact_recall"}


def marks():
    """Marks of the manifest by flag."""
    return {item.mark.flag: item.mark for item in marked_fields(make_manifest()) if item.mark.flag}


def test_every_field_says_what_it_means_for_resuming_and_identity():
    for item in fields(RunConfig):
        if item.name != "sources":
            meaning = option_of(item).meaning
            assert isinstance(meaning, Meaning)
            assert meaning.resumed in {"manifest", "arguments", None}
            assert isinstance(meaning.identity, bool)


def test_a_field_without_such_a_mark_fails():
    @dataclass
    class Careless:
        bare: int = 0
        said: int = option(0, "Run", SETTING, "Something.")
        other: int = field(default=0, metadata={"option": "Run"})

    bare, said, other = fields(Careless)
    assert option_of(said).help == "Something."
    for item in (bare, other):
        with pytest.raises(TypeError, match="does not say what option it is"):
            option_of(item)
    with pytest.raises(TypeError):
        option(0, "Run")


def test_what_resuming_takes_from_the_manifest_is_marked_there_with_its_flag():
    known = marks()

    for name, said in options().items():
        if said.meaning.resumed == "manifest":
            assert flag_of(name) in known


def test_what_is_marked_as_identity_in_the_manifest_is_identity_of_its_flag():
    said = {flag_of(name): option.meaning.identity for name, option in options().items()}

    for flag, mark in marks().items():
        if mark.identity:
            assert said[flag], flag
        if mark.selection:
            assert not said[flag], flag


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("suite", "demo"),
        ("seed", 3),
        ("policy", "last-turns:4"),
        ("max_new_tokens", 5),
        ("max_thinking_tokens", 100),
        ("limit", 2),
        ("lengths", (1, 2)),
        ("mode", "rank"),
        ("family", "pronoun"),
        ("condition", "main"),
        ("concurrency", 3),
        ("retry_errors", False),
        ("run_id", "other"),
        ("margin", 2),
    ],
)
def test_a_run_with_another_value_is_another_run_where_the_field_says_so(
    tmp_path, monkeypatch, name, value
):
    import qwen_bench

    monkeypatch.chdir(tmp_path)
    one = qwen_bench.run("mock:oracle", **SMALL).run
    other = qwen_bench.run("mock:oracle", **{**SMALL, name: value}).run

    same = identity_fields(one.manifest) == identity_fields(other.manifest)
    assert same is not options()[name].meaning.identity


def test_a_config_made_from_a_manifest_asks_for_the_same(tmp_path, monkeypatch):
    import qwen_bench

    monkeypatch.chdir(tmp_path)
    given = {**SMALL, "mode": "generate", "policy": "last-turns:4", "max_new_tokens": 7}
    folder = qwen_bench.run("mock:window-8", **given, replicas=1, concurrency=3).run.folder

    config = RunConfig.from_manifest(read_run(folder).manifest)

    assert config.model == ("mock:window-8",)
    asked = RunConfig.of(**given, concurrency=3)
    for name in set(given) - {"family"}:
        assert getattr(config, name) == getattr(asked, name)
    assert config.family == ("fact_recall",)
    assert config.concurrency == 3
    assert config.runs_dir == "runs"


def test_defaults_stand_in_one_place():
    config = RunConfig()

    for item in dataclasses.fields(RunConfig):
        if item.name != "sources":
            assert getattr(config, item.name) == item.default
