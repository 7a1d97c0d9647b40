"""Quantised models: loaded where transformers can, else the missing package is named."""

import json
import shutil
from importlib import metadata

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.loading import load_base
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_config, open_engines, open_prompter
from qwen_bench.errors import ModelError
from qwen_bench.testing import tiny_4bit_checkpoint, tiny_checkpoint

TITLE = "Quantised models"
INTRODUCTION = (
    "A model in a folder whose `config.json` names a method, with `--engine hf`, which asks "
    "transformers what it can load. The packages are those that transformers names; but for "
    "bitsandbytes none is installed where the tests run, so nothing is said of what they load. "
    "Neither the tokenizer nor the configuration needs any, so `plan` works without."
)
CORNER = "`quant_method`"
WITHOUT = "Its package is not installed"
ON_CPU = "On a CPU, with what `qwen-bench[hf]` installs"
WITH = "On a CPU, with its package"

# Method: (its settings, what is to be installed).
PACKAGES = {
    "gptq": ({"bits": 4, "group_size": 128}, "optimum gptqmodel"),
    "awq": ({"bits": 4, "group_size": 128, "zero_point": True}, "gptqmodel"),
    "bitsandbytes (4 bits)": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        "bitsandbytes",
    ),
    "bitsandbytes (8 bits)": (
        {"quant_method": "bitsandbytes", "load_in_8bit": True},
        "bitsandbytes",
    ),
    "compressed-tensors": (
        {"format": "pack-quantized", "config_groups": {}},
        "compressed-tensors",
    ),
    "torchao": (
        {"quant_type": {"default": {"_type": "Int8WeightOnlyConfig", "_data": {}}}},
        "torchao",
    ),
    "hqq": ({}, "hqq"),
    "quanto": ({"weights": "int8"}, "optimum-quanto"),
    "aqlm": ({}, "aqlm"),
    "eetq": ({}, "kernels"),
    "auto-round": ({"bits": 4, "group_size": 128, "sym": True}, "auto-round"),
    "vptq": ({}, "vptq"),
    "quark": ({}, "amd-quark"),
    "sinq": ({}, "sinq"),
    "fouroversix": ({}, "fouroversix"),
}
# Method: (its settings, words of the refusal).
REFUSED_ON_CPU = {
    "fbgemm_fp8": ({}, "requires a GPU"),
    "higgs": ({"bits": 4}, "only supported on GPU"),
    "spqr": ({}, "GPU is required"),
    "fp_quant": ({}, "only supported on GPU"),
    "nvfp4": ({}, "not supported yet"),
}
FP8 = {"weight_block_size": [16, 16], "activation_scheme": "dynamic"}
CELLS = [
    *(
        (f"`{method}`", WITHOUT, f"refused: `pip install {package}`", method)
        for method, (_, package) in PACKAGES.items()
    ),
    *(
        (f"`{method}`", ON_CPU, f"refused: {words}", method)
        for method, (_, words) in REFUSED_ON_CPU.items()
    ),
    ("`fp8`", ON_CPU, "loads; equal to its weights times their scales", None),
    ("`bitsandbytes (8 bits)`", WITH, "loads; equal to transformers", None),
    ("`bitsandbytes (4 bits)`", WITH, "loads; adapters on it, see above", None),
    (
        "`bitsandbytes (4 bits)`, over plain weights",
        WITH,
        "refused: layers are not quantised",
        None,
    ),
    (
        "a method that transformers does not know",
        ON_CPU,
        "refused: Unknown quantization type",
        None,
    ),
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def quantised(tiny, tmp_path, monkeypatch):
    """Maker of a folder with that method in its configuration, on a machine without a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def make(method, **settings):
        folder = shutil.copytree(tiny, tmp_path / "model")
        file = folder / "config.json"
        said = {"quant_method": method, **settings}
        file.write_text(json.dumps(json.loads(file.read_text()) | {"quantization_config": said}))
        return folder

    return make


def opened(folder):
    """What a run does up to the first question."""
    options = EngineOptions(offline=True, device="cpu")
    with open_engines([parse_spec(str(folder))], options) as engines:
        return [engine.identity() for engine in engines]


@pytest.fixture
def without_bitsandbytes(monkeypatch):
    """The one package of them that is installed is not."""
    for bits in ("4", "8"):
        place = f"transformers.quantizers.quantizer_bnb_{bits}bit.is_bitsandbytes_available"
        monkeypatch.setattr(place, lambda *_: False)

    def version(name):
        if name == "bitsandbytes":
            raise metadata.PackageNotFoundError
        return metadata.version(name)

    monkeypatch.setattr("qwen_bench.engines.library_errors.version", version)


@pytest.mark.parametrize("method", PACKAGES)
@pytest.mark.usefixtures("without_bitsandbytes")
def test_the_package_that_a_method_needs_is_named_with_its_install_line(quantised, method):
    settings, package = PACKAGES[method]
    folder = quantised(method, **settings)

    with pytest.raises(ModelError) as caught:
        opened(folder)

    first = package.split()[0]
    assert f"needs the package {first}, which is not installed" in caught.value.message
    line = caught.value.fix[0].replace("'", "")
    assert line.startswith("pip install ")
    assert all(name in line for name in package.split())
    with pytest.raises(ModelError, match=f"needs the package {first}"):
        load_base(parse_spec(str(folder)), EngineOptions(offline=True, device="cpu"))


@pytest.mark.parametrize("method", PACKAGES)
def test_tokenizer_and_configuration_of_a_quantised_model_need_no_package(quantised, method):
    spec = parse_spec(str(quantised(method, **PACKAGES[method][0])))
    options = EngineOptions(offline=True, device="cpu")

    assert open_config(spec, options)["hidden_size"] == 32
    assert open_prompter(spec, options).text_tokens("cat") > 0


@pytest.mark.parametrize("method", REFUSED_ON_CPU)
def test_a_method_that_wants_other_hardware_is_refused_in_the_words_of_transformers(
    quantised, method
):
    settings, words = REFUSED_ON_CPU[method]

    with pytest.raises(ModelError, match=f"quantised with {method}, cannot be loaded") as caught:
        opened(quantised(method, **settings))

    assert words in " ".join(caught.value.why)


def test_a_method_that_transformers_does_not_know_is_refused_and_not_skipped(quantised):
    with pytest.raises(ModelError, match="quantised with nf3, cannot be loaded") as caught:
        opened(quantised("nf3"))

    assert "Unknown quantization type" in caught.value.why[0]


def test_a_4_bit_model_is_computed_as_transformers_does(tmp_path):
    folder = tiny_4bit_checkpoint(tmp_path / "packed")

    base = load_base(parse_spec(str(folder)), EngineOptions(offline=True, device="cpu"))

    ids = torch.tensor([[5, 9, 200, 31, 7]])
    with torch.inference_mode():
        plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        assert torch.equal(base.model(ids).logits, plain(ids).logits)


def test_plain_weights_that_are_said_to_be_packed_are_refused(quantised):
    settings, _ = PACKAGES["bitsandbytes (4 bits)"]

    with pytest.raises(ModelError, match="layers are not quantised, as config") as caught:
        opened(quantised("bitsandbytes", **settings))

    assert "quantization_config" in caught.value.fix[0]


def test_fp8_weights_are_their_numbers_times_their_scales(quantised, tiny):
    folder = quantised("fp8", **FP8)
    found = load_file(folder / "model.safetensors")
    plain = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()
    state = plain.state_dict()
    for name in [name for name in found if name.endswith("_proj.weight")]:
        blocks = found[name].unflatten(0, (-1, 16)).unflatten(2, (-1, 16))
        scales = blocks.abs().amax((1, 3)) / 448
        packed = (blocks / scales[:, None, :, None]).to(torch.float8_e4m3fn)
        found[name] = packed.flatten(2).flatten(0, 1)
        found[f"{name}_scale_inv"] = scales
        state[name].copy_((packed.float() * scales[:, None, :, None]).flatten(2).flatten(0, 1))
    save_file(found, folder / "model.safetensors", {"format": "pt"})

    base = load_base(parse_spec(str(folder)), EngineOptions(offline=True, device="cpu"))

    ids = torch.tensor([[5, 9, 200, 31, 7]])
    with torch.inference_mode():
        assert torch.allclose(base.model(ids).logits, plain(ids).logits, atol=1e-4)
    assert base.dtype == torch.float32


def test_8_bits_of_bitsandbytes_are_computed_as_transformers_does(tiny, tmp_path):
    folder = shutil.copytree(tiny, tmp_path / "model")
    AutoModelForCausalLM.from_pretrained(
        tiny,
        dtype=torch.float32,
        quantization_config=BitsAndBytesConfig(load_in_8bit=True),
        device_map="cpu",
    ).save_pretrained(folder)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map="cpu")

    base = load_base(parse_spec(str(folder)), EngineOptions(offline=True, device="cpu"))

    ids = torch.tensor([[5, 9, 200, 31, 7]])
    with torch.inference_mode():
        assert torch.equal(base.model(ids).logits, plain.eval()(ids).logits)
