"""A SPEC has one meaning, or an error that says what to write."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.engines.model_spec import distinct_labels, parse_spec
from qwen_bench.errors import InputError, ModelNotFoundError, QwenBenchError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def model(folder):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def adapter(folder, base):
    folder.mkdir(parents=True)
    named = {} if base is None else {"base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(named))
    return folder


@pytest.mark.parametrize(
    ("text", "kind", "name", "revision", "label"),
    [
        ("embedded", "embedded", "embedded", None, None),
        ("mock:oracle", "mock", "oracle", None, None),
        ("Qwen/Qwen3-0.6B", "hub", "Qwen/Qwen3-0.6B", None, None),
        ("Qwen/Qwen3-0.6B@a1b2", "hub", "Qwen/Qwen3-0.6B", "a1b2", None),
        ("gpt2", "hub", "gpt2", None, None),
        ("base=Qwen/Qwen3-0.6B@main", "hub", "Qwen/Qwen3-0.6B", "main", "base"),
        ("ours=embedded", "embedded", "embedded", None, "ours"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_form_is_read(text, kind, name, revision, label):
    spec = parse_spec(text)

    assert (spec.kind, spec.name, spec.revision, spec.label) == (kind, name, revision, label)
    assert spec.text == text


def test_an_explicit_path_is_local(here):
    model(here / "out")

    spec = parse_spec("./out")

    assert (spec.kind, spec.path.resolve(), spec.notice) == ("local", here / "out", None)


def test_an_existing_folder_wins_over_a_hub_id_and_a_line_says_so(here):
    model(here / "Qwen/Qwen3-0.6B")

    assert parse_spec("Qwen/Qwen3-0.6B").kind == "local"
    assert "is a folder here" in parse_spec("Qwen/Qwen3-0.6B").notice
    assert parse_spec("Qwen/Qwen3-0.6B@main").kind == "hub"


def test_a_path_with_an_equals_sign_is_no_label(here):
    model(here / "a=b")

    assert parse_spec("./a=b").label is None


def test_a_path_with_a_plus_sign_is_not_split(here):
    model(here / "a+b")

    assert parse_spec("./a+b").kind == "local"


def test_an_adapter_folder_takes_its_base_from_its_config(here):
    adapter(here / "lora", "Qwen/Qwen3-0.6B")

    spec = parse_spec("./lora")

    assert (spec.kind, spec.base.kind, spec.base.name) == ("adapter", "hub", "Qwen/Qwen3-0.6B")


def test_an_adapter_on_the_embedded_model_says_embedded(here):
    adapter(here / "lora", "embedded")

    assert parse_spec("./lora").base.kind == "embedded"


def test_a_base_named_relative_to_the_adapter_folder_is_found(here, monkeypatch):
    model(here / "deep/base")
    adapter(here / "deep/lora", "../base")
    monkeypatch.chdir(here)

    assert parse_spec("deep/lora").base.path.resolve() == here / "deep/base"


def test_base_plus_adapter_wins_over_the_name_in_the_adapter(here):
    adapter(here / "lora", "somewhere/else")

    spec = parse_spec("embedded+./lora")

    assert (spec.kind, spec.base.kind, spec.path.name) == ("adapter", "embedded", "lora")
    assert spec.weights is spec.base


@pytest.mark.parametrize("text", ["", "  ", "label="])
def test_an_empty_spec_names_the_forms(text):
    with pytest.raises(InputError, match="empty model SPEC; the forms are") as caught:
        parse_spec(text)

    assert any("embedded" in line for line in caught.value.why)


def test_an_unknown_scheme_names_the_forms():
    with pytest.raises(InputError, match="unknown kind of model 'grpc:'; the forms are"):
        parse_spec("grpc:m")


def test_a_missing_folder_names_a_near_one(here):
    model(here / "nope-v2")

    with pytest.raises(InputError, match=r"no folder \./nope; near: \./nope-v2"):
        parse_spec("./nope")


def test_a_folder_that_is_no_model_lists_its_checkpoints(here):
    for step in (100, 20, 200):
        model(here / f"out/checkpoint-{step}")

    with pytest.raises(InputError) as caught:
        parse_spec("./out")

    assert caught.value.message == (
        "./out is not a model folder: no config.json, no adapter_config.json; "
        "it holds checkpoint-20, checkpoint-100, checkpoint-200"
    )
    assert caught.value.fix == ("--model ./out/checkpoint-200",)


def test_a_file_is_no_model(here):
    (here / "m.safetensors").write_text("")

    with pytest.raises(InputError, match="is a file; a model is a folder or a GGUF file"):
        parse_spec("./m.safetensors")


def test_an_adapter_without_base_is_refused_with_the_way_to_write_it(here):
    adapter(here / "lora", None)

    with pytest.raises(InputError, match=r"does not name its base; write BASE\+\./lora"):
        parse_spec("./lora")


def test_an_adapter_whose_base_is_gone_is_not_found(here):
    adapter(here / "lora", "/gone/base")

    with pytest.raises(ModelNotFoundError, match=r"base of the adapter \./lora is not there"):
        parse_spec("./lora")


def test_a_folder_without_adapter_config_cannot_follow_a_plus(here):
    model(here / "full")

    with pytest.raises(InputError, match="is not an adapter folder"):
        parse_spec("embedded+./full")


@pytest.mark.parametrize("text", ["mock:oracle+./lora", "./lora+./lora"])
def test_only_a_full_model_can_be_a_base(here, text):
    adapter(here / "lora", "embedded")

    with pytest.raises(InputError):
        parse_spec(text)


def test_labels_are_the_shortest_names_that_differ(here):
    model(here / "a/checkpoint-1")
    model(here / "b/checkpoint-1")
    specs = [parse_spec(text) for text in ("./a/checkpoint-1", "./b/checkpoint-1", "embedded")]

    assert distinct_labels(specs)[:2] == ("a/checkpoint-1", "b/checkpoint-1")
    assert distinct_labels([specs[0], specs[2]]) == ("checkpoint-1", "embedded")


def test_a_label_used_twice_is_refused():
    with pytest.raises(InputError, match="label 'm' is used twice; write other=mock:blind"):
        distinct_labels([parse_spec("m=mock:oracle"), parse_spec("m=mock:blind")])


@pytest.mark.parametrize("text", ["~nobody-has-this-name", "./" + "x" * 5000])
def test_a_path_the_system_refuses_is_an_input_error(text):
    with pytest.raises(InputError):
        parse_spec(text)


@given(st.text(max_size=40))
def test_any_text_is_a_spec_or_an_error_for_the_user(text):
    try:
        spec = parse_spec(text)
    except QwenBenchError as error:
        assert "\n" not in error.message or "\n" in text  # noqa: PT017 - any text, either outcome
    else:
        assert spec.text == text


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", fullmatch=True),
    st.sampled_from(["embedded", "mock:oracle", "org/name@v1"]),
)
def test_a_label_changes_nothing_but_the_label(label, body):
    plain, named = parse_spec(body), parse_spec(f"{label}={body}")

    assert named.label == label
    assert (named.kind, named.name, named.revision) == (plain.kind, plain.name, plain.revision)
