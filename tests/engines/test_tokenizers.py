"""The tokenizer and template of any SPEC, without its weights."""

import json
import shutil

import pytest
from huggingface_hub import constants

from qwen_bench.chat.messages import Message
from qwen_bench.chat.rendering import CHATML
from qwen_bench.engines.embedded import embedded_folder, embedded_tokenizer
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_engines, open_prompter
from qwen_bench.errors import InputError, ModelError, ModelNotFoundError, TemplateError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OFFLINE = EngineOptions(offline=True)
CHAT = (
    Message("user", "My cat is called Biscuit."),
    Message("assistant", "Noted."),
    Message("user", "我的猫叫什么名字？"),
)


@pytest.fixture
def bare(checkpoints, tmp_path):
    """A copy of the tiny Qwen2 that has lost its weights."""
    folder = shutil.copytree(checkpoints["qwen2"], tmp_path / "bare")
    (folder / "model.safetensors").unlink()
    return folder


@pytest.fixture
def hub_cache(bare, tmp_path, monkeypatch):
    """A local Hub cache with one model, no weights."""
    repository = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(bare, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def test_the_prompt_of_a_folder_without_weights_is_that_of_its_engine(checkpoints, bare):
    spec = parse_spec(str(checkpoints["qwen2"]))
    options = EngineOptions(system="Be brief.")

    with open_engines([spec], options) as engines:
        expected = next(engines)._prompter.prompt(CHAT)

    assert open_prompter(parse_spec(str(bare)), options).prompt(CHAT) == expected


@pytest.mark.usefixtures("hub_cache")
def test_a_hub_model_needs_its_tokenizer_files_only():
    assert open_prompter(parse_spec("org/tiny"), OFFLINE).prompt(CHAT).ids


@pytest.mark.usefixtures("hub_cache")
def test_a_hub_model_that_is_not_cached_is_not_found_offline():
    with pytest.raises(ModelNotFoundError, match="org/other is not in the local Hub cache"):
        open_prompter(parse_spec("org/other"), OFFLINE)


def test_an_adapter_brings_its_own_template(bare, tmp_path):
    folder = tmp_path / "lora"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(bare)}))
    (folder / "chat_template.jinja").write_text("<|endoftext|>" + CHATML)

    text = open_prompter(parse_spec(str(folder)), OFFLINE).prompt(CHAT).text

    assert text.startswith("<|endoftext|><|im_start|>user")


def test_a_solver_has_no_tokenizer():
    with pytest.raises(InputError, match="mock:oracle: mock solvers have no tokenizer"):
        open_prompter(parse_spec("mock:oracle"), OFFLINE)


def test_a_folder_without_template_needs_one(bare):
    (bare / "chat_template.jinja").unlink()
    spec = parse_spec(str(bare))

    with pytest.raises(TemplateError, match="bare has no chat template"):
        open_prompter(spec, OFFLINE)
    assert open_prompter(spec, EngineOptions(chat_template="chatml")).prompt(CHAT).ids


def test_a_damaged_tokenizer_is_a_model_error(bare):
    (bare / "tokenizer.json").write_text("{")

    with pytest.raises(ModelError, match="the tokenizer of bare cannot be loaded"):
        open_prompter(parse_spec(str(bare)), OFFLINE)


@pytest.fixture(scope="module")
def from_the_wheel(tmp_path_factory):
    """The embedded tokenizer as it is read without a converted model, and what reading wrote."""
    cache = tmp_path_factory.mktemp("cache")
    return embedded_tokenizer(cache), list(cache.iterdir())


def test_the_embedded_tokenizer_comes_out_of_the_wheel_when_nothing_is_converted(from_the_wheel):
    tokenizer, left_behind = from_the_wheel

    assert tokenizer.convert_tokens_to_ids("<|im_end|>") == 2
    assert "<|im_start|>" in tokenizer.chat_template
    assert left_behind == []


@pytest.mark.model
def test_the_embedded_tokenizer_is_the_same_before_and_after_conversion(from_the_wheel):
    embedded_folder()
    text = "Whom do I ask at the gym? 我的猫叫什么名字？ 1234"

    before, after = from_the_wheel[0], embedded_tokenizer()

    assert before.encode(text) == after.encode(text)
    assert before.chat_template == after.chat_template
