"""Hub ids are looked up before anything is asked; an adapter on the Hub is one like in a folder."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.loading import locate
from qwen_bench.engines.model_spec import distinct_labels, parse_spec
from qwen_bench.engines.registry import open_config, open_engines, open_prompter
from qwen_bench.engines.resolving import resolve
from qwen_bench.errors import InputError, ModelError, ModelNotFoundError
from qwen_bench.lm_eval.importing import fingerprint_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OLDER = "89abcdef0123456789abcdef0123456789abcdef"
OFFLINE = EngineOptions(offline=True, device="cpu")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A local Hub cache without a network; `hub(name, files)` puts a repository in it."""

    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.chdir(tmp_path)

    def put(name, files, commit=COMMIT, branch="main"):
        repository = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / branch).write_text(commit)
        folder = repository / "snapshots" / commit
        if isinstance(files, Path):
            shutil.copytree(files, folder)
            return folder
        folder.mkdir(parents=True)
        for file, content in files.items():
            (folder / file).write_text(json.dumps(content))
        return folder

    return put


def lora(base, **settings):
    return {"adapter_config.json": {"base_model_name_or_path": base, **settings}}


def test_a_hub_id_that_is_an_adapter_has_its_folder_commit_and_base(hub, checkpoints):
    hub("org/base", checkpoints["qwen2"])
    folder = hub("org/lora", lora("org/base", revision=COMMIT))

    spec = resolve(parse_spec("mine=org/lora"), OFFLINE)

    assert (spec.kind, spec.path, spec.revision) == ("adapter", folder, COMMIT)
    assert (spec.base.kind, spec.base.name, spec.base.revision) == ("hub", "org/base", COMMIT)
    assert (spec.text, spec.label, spec.name) == ("mine=org/lora", "mine", "org/lora")


def test_base_and_adapter_may_each_be_at_a_revision(hub, checkpoints):
    hub("org/base", checkpoints["qwen2"], OLDER, "v1")
    folder = hub("org/lora", lora("org/other"), OLDER, "v2")
    hub("org/lora", lora("org/other"))

    spec = resolve(parse_spec("org/base@v1+org/lora@v2"), OFFLINE)

    assert (spec.path, spec.revision) == (folder, OLDER)
    assert (spec.base.name, spec.base.revision) == ("org/base", "v1")


def test_an_adapter_on_the_hub_with_a_tokenizer_and_a_config_is_an_adapter(hub, checkpoints):
    hub("org/base", checkpoints["qwen2"])
    folder = hub("org/lora", lora("org/base") | {"config.json": {"model_type": "qwen2"}})
    for file in checkpoints["qwen2"].glob("tokenizer*"):
        shutil.copy(file, folder)
    (folder / "chat_template.jinja").write_text("own: {{ messages[0].content }}")
    spec = parse_spec("org/lora")

    assert resolve(spec, OFFLINE).base.name == "org/base"
    assert open_config(spec, OFFLINE)["hidden_size"] == 32
    assert "own:" in open_prompter(spec, OFFLINE).settings.template.text


def test_labels_of_adapters_on_the_hub_are_their_names(hub, checkpoints):
    hub("org/base", checkpoints["qwen2"])
    for name in ("org/lora", "team/lora"):
        hub(name, lora("org/base"))
    specs = [resolve(parse_spec(name), OFFLINE) for name in ("org/lora", "team/lora")]

    assert distinct_labels(specs) == ("org/lora", "team/lora")
    assert specs[0].default_label == "lora"


def test_an_adapter_whose_base_is_not_there_says_what_to_write(hub):
    hub("org/lora", lora("org/gone"))

    with pytest.raises(ModelNotFoundError) as caught:
        resolve(parse_spec("org/lora"), OFFLINE)

    assert caught.value.message == "the base of the adapter org/lora is not there: org/gone"
    assert caught.value.fix == ("write BASE+org/lora with a Hub id or folder that is here",)


def test_a_model_that_cannot_be_had_breaks_in_its_turn_and_its_neighbours_open(hub, checkpoints):
    hub("org/base", checkpoints["qwen2"])
    specs = [parse_spec(name) for name in ("org/base", "org/gone", "org/base")]

    with open_engines(specs, OFFLINE) as engines:
        assert next(engines).identity().model.label == "base"
        with pytest.raises(ModelNotFoundError, match="org/gone is not in the local Hub cache"):
            next(engines)


def test_a_full_model_after_a_plus_is_no_adapter(hub, checkpoints):
    hub("org/base", checkpoints["qwen2"])

    with pytest.raises(InputError, match=r"org/base is not an adapter: no adapter_config\.json"):
        resolve(parse_spec("org/base+org/base"), OFFLINE)


def test_an_adapter_cannot_be_the_base_of_another(hub, checkpoints):
    hub("org/base", checkpoints["qwen2"])
    hub("org/lora", lora("org/base"))
    hub("org/second", lora("org/lora"))

    for text in ("org/second", "org/lora+org/second"):
        with pytest.raises(InputError, match="org/lora cannot be the base of an adapter"):
            resolve(parse_spec(text), OFFLINE)


def test_where_a_full_model_is_wanted_an_adapter_on_the_hub_is_refused(hub):
    hub("org/lora", lora("org/base"))

    with pytest.raises(ModelError, match="org/lora is an adapter, where a full model is wanted"):
        locate(parse_spec("org/lora"), OFFLINE)


def test_a_repository_with_a_full_model_and_an_adapter_may_mean_either(hub, checkpoints):
    folder = hub("org/both", checkpoints["qwen2"])
    (folder / "adapter_config.json").write_text(json.dumps(lora("org/base")))

    with pytest.raises(InputError, match="org/both holds a full model and an adapter"):
        resolve(parse_spec("org/both"), OFFLINE)


def test_an_adapter_on_the_hub_whose_base_was_a_path_says_what_to_write(hub):
    hub("org/lora", lora("/home/ada/models/Qwen2.5-7B"))

    with pytest.raises(
        ModelNotFoundError, match=r"is not there: /home/ada/models/Qwen2\.5-7B"
    ) as seen:
        resolve(parse_spec("org/lora"), OFFLINE)

    assert seen.value.fix == ("write BASE+org/lora with the place it has now",)


@pytest.mark.parametrize("text", ["org/lora", "./lora"])
def test_a_base_packed_for_bitsandbytes_is_named_as_what_it_is(hub, tmp_path, monkeypatch, text):
    monkeypatch.setattr("qwen_bench.engines.resolving.find_spec", lambda _: None)
    packed = "unsloth/Qwen2.5-0.5B-Instruct-unsloth-bnb-4bit"
    folder = hub("org/lora", lora(packed))
    shutil.copytree(folder, tmp_path / "lora")

    with pytest.raises(ModelError) as caught:
        resolve(parse_spec(text), OFFLINE)

    assert caught.value.message == (
        f"{packed} is Qwen2.5-0.5B-Instruct packed into fewer bits, which needs the package "
        "bitsandbytes, which is not installed"
    )
    assert caught.value.fix == (
        "pip install bitsandbytes",
        f"or write BASE+{text} with the full model: Qwen/Qwen2.5-0.5B-Instruct+{text}",
    )


def test_the_weights_of_a_log_may_be_an_adapter_on_the_hub(hub, checkpoints):
    hub("org/base", checkpoints["qwen2"])
    hub("org/lora", lora("org/base"))

    assert fingerprint_of(parse_spec("org/lora"), OFFLINE).startswith(f"commit:{COMMIT}+")


def test_a_name_after_the_plus_is_a_folder_where_its_parent_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "lora-v2").mkdir(parents=True)

    assert parse_spec("embedded+org/lora").path is None
    with pytest.raises(InputError, match="no folder out/lora; near: out/lora-v2"):
        parse_spec("embedded+out/lora")


@pytest.mark.parametrize("above", [".", "..", "../.."])
def test_a_relative_base_is_looked_for_from_the_adapter_upwards(tmp_path, monkeypatch, above):
    folder = tmp_path / "project" / "out" / "lora"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "models/base"}')
    base = folder / above / "models" / "base"
    base.mkdir(parents=True)
    (base / "config.json").write_text("{}")
    monkeypatch.chdir("/")

    spec = parse_spec(str(folder))

    assert (spec.base.kind, spec.base.path.resolve()) == ("local", base.resolve())
    assert spec.notice.startswith(f"the base models/base of {folder} is the folder ")


def test_a_relative_base_that_is_nowhere_says_where_it_counts_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text(
        '{"base_model_name_or_path": "../models/base"}'
    )

    with pytest.raises(ModelNotFoundError, match=r"is not there: \.\./models/base") as caught:
        parse_spec("./lora")

    assert "it counts from where the trainer ran" in caught.value.why
    assert caught.value.fix == ("write BASE+./lora with the place it has now",)
