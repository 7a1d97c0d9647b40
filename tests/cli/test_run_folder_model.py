"""`run` on a real, tiny checkpoint in a folder."""

import os
from pathlib import Path

import pytest

from qwen_bench.runs.manifest import read_manifest
from qwen_bench.testing import tiny_checkpoint

ONE = ("--suite", "quick", "--limit", "1", "--lengths", "1", "--lang", "en")
ONE = (
    *ONE,
    "--family",
    "fact_recall",
    "--condition",
    "main",
    "--device",
    "cpu",
    "--max-new-tokens",
    "2",
)


@pytest.fixture
def asked(call):
    """A finished run of a tiny checkpoint in the folder `model`."""
    tiny_checkpoint(Path("model"), seed=1)
    called = call("run", "--model", "./model", *ONE, "--run-id", "one", "--display", "plain")
    assert called.code == 0, called.err
    return called


def retrain_into_the_same_folder():
    """Other weights under the same names, sizes and times."""
    tiny_checkpoint(Path("other"), seed=2)
    old, new = Path("model/model.safetensors"), Path("other/model.safetensors")
    times, size = old.stat(), old.stat().st_size
    old.write_bytes(new.read_bytes())
    os.utime(old, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert old.stat().st_size == size


def test_weights_retrained_into_the_same_folder_are_noticed_by_a_resume(asked, call):
    manifest = read_manifest(Path("runs/one"))
    assert manifest.engine.device == "cpu"
    assert manifest.model.kind == "local"
    assert "tokens" in asked.err
    assert "naive" in asked.err
    retrain_into_the_same_folder()

    called = call("run", "--resume", "one", "--limit", "2")

    assert called.code == 5
    assert "model.fingerprint" in called.err
    assert "1 setting differs" in called.err


def test_a_finished_run_of_the_same_weights_is_used_as_it_is(asked, call):
    called = call("run", "--model", "./model", *ONE, "--resume")

    assert called.code == 0
    assert [path.name for path in Path("runs").iterdir()] == ["one"]
    assert asked.out == called.out
