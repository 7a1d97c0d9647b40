"""Fingerprints change with the weights and with nothing else."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwen_bench.engines import fingerprint
from qwen_bench.engines.fingerprint import (
    adapter_fingerprint,
    model_fingerprint,
    tokenizer_sha256,
)


@pytest.fixture
def folder(checkpoints, tmp_path):
    """A copy of the tiny Qwen2."""
    return shutil.copytree(checkpoints["qwen2"], tmp_path / "model")


def rewrite(folder, edit=None, **metadata):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    if edit is not None:
        edit(tensors)
    save_file(tensors, file, metadata=metadata or {"format": "pt"})


def test_one_changed_number_changes_the_fingerprint(folder):
    before = model_fingerprint(folder)

    rewrite(folder, lambda tensors: tensors["model.norm.weight"][:1].add_(1e-3))

    assert model_fingerprint(folder) != before


def test_metadata_readme_and_training_state_change_nothing(folder):
    before = model_fingerprint(folder)

    rewrite(folder, format="pt", note="other")
    (folder / "README.md").write_text("x")
    (folder / "trainer_state.json").write_text("{}")
    (folder / "training_args.bin").write_text("x")

    assert model_fingerprint(folder) == before


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_the_configuration_counts(folder, name):
    before = model_fingerprint(folder)

    (folder / name).write_text("{}")

    assert model_fingerprint(folder) != before


def test_a_copy_in_another_folder_is_the_same_model(folder, checkpoints):
    assert model_fingerprint(folder) == model_fingerprint(checkpoints["qwen2"])


def test_full_and_fast_never_compare_equal(folder):
    assert model_fingerprint(folder, "full") != model_fingerprint(folder, "fast")


def test_fast_notices_another_size_and_another_start(tmp_path):
    size = (fingerprint.SAMPLES + 2) * fingerprint.BLOCK // 4
    found = set()
    for index, tensor in enumerate((torch.zeros(size), torch.zeros(size + 1), torch.ones(size))):
        folder = tmp_path / str(index)
        folder.mkdir()
        save_file({"w": tensor}, folder / "model.safetensors")
        found.add(model_fingerprint(folder, "fast"))

    assert len(found) == 3


def test_an_unreadable_safetensors_file_still_has_a_fingerprint(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 40)
    first = model_fingerprint(tmp_path)

    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 39 + b"\xfe")

    assert model_fingerprint(tmp_path) != first


def test_an_adapter_counts_its_base_and_its_own_files(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    first = adapter_fingerprint(tmp_path, "base")

    assert adapter_fingerprint(tmp_path, "other") != first
    (tmp_path / "adapter_config.json").write_text("{ }")
    assert adapter_fingerprint(tmp_path, "base") != first


def test_the_tokenizer_is_hashed_by_what_decides_ids(folder):
    before = tokenizer_sha256(folder)

    (folder / "tokenizer_config.json").write_text("{}")
    assert tokenizer_sha256(folder) == before

    (folder / "tokenizer.json").write_text("{}")
    assert tokenizer_sha256(folder) != before
