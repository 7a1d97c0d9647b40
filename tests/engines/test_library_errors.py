"""What libraries raise while they read a user's files becomes an error with cause and mend."""

import json
import shutil

import pytest

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.library_errors import missing_package, opening
from qwen_bench.engines.loading import load_base, load_config, load_tokenizer
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.errors import InputError, ModelError

TRUSTED = EngineOptions(offline=True, device="cpu", trust_remote_code=True)


@pytest.fixture
def folder(checkpoints, tmp_path):
    """A copy of the tiny Qwen2 that may be damaged."""
    return shutil.copytree(checkpoints["qwen2"], tmp_path / "model")


def change(file, **settings):
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


# As transformers 5.23, bitsandbytes and torch put it.
@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (ImportError("requires accelerate: `pip install 'accelerate>=1.1.0'`"), "accelerate"),
        (ImportError("Loading an FP8 model requires accelerate (`pip install accelerate`)"), "acc"),
        (ImportError("requires optimum (`pip install optimum`)"), "optimum gptqmodel"),
        (ImportError("install it with: pip install sinq"), "sinq"),
        (ImportError("Run `pip install einops flash_attn`"), "einops flash_attn"),
        (
            ImportError(
                "FlashAttention2 has been toggled on, but it cannot be used due to the following "
                "error: the package for FlashAttention2 doesn't seem to be installed."
            ),
            "flash-attn --no-build-isolation",
        ),
        (ImportError("requires the protobuf library but it was not found"), "protobuf"),
        (ImportError("requires the SentencePiece library but it was not found"), "sentencepiece"),
        (ImportError("Converting from Tiktoken: `tiktoken` is required"), "tiktoken"),
        (ModuleNotFoundError("No module named 'google'", name="google.protobuf"), "protobuf"),
        (ModuleNotFoundError("No module named 'x'", name="flash_attn.bert"), "flash-attn"),
    ],
)
def test_the_package_is_read_out_of_the_words_of_a_library(error, wanted):
    assert missing_package(error).strip("'").startswith(wanted)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("You can update Transformers with `pip install --upgrade transformers`"),
        ImportError("cannot import name 'is_flax_available' from 'transformers.utils'"),
    ],
)
def test_an_error_about_something_else_names_no_package(error):
    assert missing_package(error) is None


def test_a_package_that_is_there_in_another_version_is_said_to_be():
    with (
        pytest.raises(ModelError, match=r"m needs another version of the package torch; 2\."),
        opening("m"),
    ):
        raise ImportError("needs torch: `pip install torch>=99`")


def test_errors_of_this_program_pass_unchanged():
    with pytest.raises(InputError, match="as it was"), opening("m"):
        raise InputError("as it was")
    with pytest.raises(ModuleNotFoundError), opening("m"):
        raise ModuleNotFoundError("No module", name="qwen_bench.gone")


@pytest.mark.parametrize(
    ("load", "file", "settings"),
    [
        (load_config, "config.json", {"auto_map": {"AutoConfig": "own.Own"}, "model_type": "own"}),
        (load_base, "config.json", {"auto_map": {"AutoConfig": "own.Own"}, "model_type": "own"}),
        (
            load_tokenizer,
            "tokenizer_config.json",
            {"auto_map": {"AutoTokenizer": ["own.Own", None]}, "tokenizer_class": "Own"},
        ),
    ],
)
def test_a_package_that_code_of_a_model_needs_is_named(folder, load, file, settings):
    (folder / "own.py").write_text("import no_such_package\nclass Own:\n    pass\n")
    change(folder / file, **settings)

    with pytest.raises(ModelError, match="needs the package no_such_package, which is not") as seen:
        load(parse_spec(str(folder)), TRUSTED)

    assert seen.value.fix[0] == "pip install no_such_package"


@pytest.mark.parametrize(
    "text",
    [
        '{"model_type": "qwen2", "hidden_size": "abc"}',
        '{"model_type": "qwen2", "quantization_config": 3}',
        '{"model_type": 3}',
        "{}",
    ],
)
def test_a_configuration_that_is_nonsense_is_a_model_error(folder, text):
    (folder / "config.json").write_text(text)
    spec, options = parse_spec(str(folder)), EngineOptions(offline=True, device="cpu")

    for load in (load_config, load_base):
        with pytest.raises(ModelError):
            load(spec, options)


def test_a_tokenizer_that_is_nonsense_is_a_model_error(folder):
    (folder / "tokenizer.json").write_text('{"model": 3}')

    with pytest.raises(ModelError, match="the tokenizer of model cannot be loaded"):
        load_tokenizer(parse_spec(str(folder)), EngineOptions(offline=True))


def test_flash_attention_without_its_package_names_it_and_what_works_without(folder):
    options = EngineOptions(
        offline=True, device="cpu", model_args={"attn_implementation": "flash_attention_2"}
    )

    with pytest.raises(ModelError, match="needs the package flash-attn, which is not") as seen:
        load_base(parse_spec(str(folder)), options)

    assert seen.value.fix == (
        "pip install flash-attn --no-build-isolation",
        "-M attn_implementation=sdpa needs no package",
    )
