"""Models load from folders and the Hub cache; what cannot be used says why."""

import json
import shutil

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.loading import choose_device, choose_dtype, load_base
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.errors import EngineError, InputError, ModelError, ModelNotFoundError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OFFLINE = EngineOptions(offline=True)


@pytest.fixture
def folder(checkpoints, tmp_path):
    """A copy of the tiny Qwen2 that may be damaged."""
    return shutil.copytree(checkpoints["qwen2"], tmp_path / "model")


@pytest.fixture
def hub_cache(checkpoints, tmp_path, monkeypatch):
    """A local Hub cache with one model."""
    repository = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(checkpoints["qwen2"], repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.usefixtures("hub_cache")
def test_a_hub_model_is_identified_by_its_commit():
    source = load_base(parse_spec("org/tiny"), OFFLINE).source

    assert (source.resolved, source.revision) == ("org/tiny", COMMIT)
    assert source.fingerprint == f"commit:{COMMIT}"


@pytest.mark.usefixtures("hub_cache")
def test_offline_a_hub_model_that_is_not_cached_is_not_found():
    with pytest.raises(ModelNotFoundError, match="org/other is not in the local Hub cache"):
        load_base(parse_spec("org/other"), OFFLINE)


def test_generation_settings_of_the_checkpoint_are_recorded_and_removed(folder):
    file = folder / "generation_config.json"
    shipped = {"eos_token_id": [0, 2], "repetition_penalty": 1.1, "temperature": 0.7}
    file.write_text(json.dumps(shipped | {"do_sample": True}))

    base = load_base(parse_spec(str(folder)), OFFLINE)

    assert base.checkpoint_defaults == shipped | {"do_sample": True}
    assert base.model.generation_config.repetition_penalty is None
    assert base.eos_ids == (0, 2)


def test_a_missing_weight_is_an_error_and_not_a_random_number(folder):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file, metadata={"format": "pt"})

    with pytest.raises(ModelError, match=r"1 weights are not in the files; first: .*up_proj"):
        load_base(parse_spec(str(folder)), OFFLINE)


def test_pickled_weights_are_refused_unless_allowed(folder):
    file = folder / "model.safetensors"
    torch.save(load_file(file), folder / "pytorch_model.bin")
    file.unlink()

    with pytest.raises(ModelError, match="are pickled"):
        load_base(parse_spec(str(folder)), OFFLINE)
    loaded = load_base(parse_spec(str(folder)), EngineOptions(offline=True, allow_pickle=True))
    assert loaded.parameters == 35104


def test_a_folder_without_weights_says_so(folder):
    (folder / "model.safetensors").unlink()

    with pytest.raises(ModelError, match="holds no weights"):
        load_base(parse_spec(str(folder)), OFFLINE)


def test_an_unknown_architecture_is_a_model_error(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "no-such-model"}))

    with pytest.raises(ModelError, match="model cannot be loaded"):
        load_base(parse_spec(str(folder)), OFFLINE)


def test_damaged_weights_are_a_model_error(folder):
    (folder / "model.safetensors").write_bytes(b"not a tensor file")

    with pytest.raises(ModelError, match="model cannot be loaded"):
        load_base(parse_spec(str(folder)), OFFLINE)


def test_an_unknown_device_is_an_input_error():
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        choose_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_without_a_gpu_says_what_torch_sees():
    with pytest.raises(EngineError, match="torch sees no CUDA device"):
        choose_device("cuda")


def test_a_cpu_computes_in_float32_unless_told_otherwise():
    cpu = torch.device("cpu")

    assert choose_dtype("auto", cpu) is torch.float32
    assert choose_dtype("bfloat16", cpu) is torch.bfloat16
    with pytest.raises(InputError, match="unknown dtype 'int8'"):
        choose_dtype("int8", cpu)
