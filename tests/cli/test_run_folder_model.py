"""`run` on a real, tiny checkpoint in a folder."""

import json
import os
from pathlib import Path

import pytest

from qwen_bench.runs.manifest_file import read_manifest
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


def test_prompts_beyond_the_context_are_shown_in_their_cell_and_counted_as_not_right(call):
    tiny_checkpoint(Path("model"), seed=1)
    config = Path("model/config.json")
    settings = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**settings, "max_position_embeddings": 1500}), encoding="utf-8")

    called = call("run", "--model", "./model", *ONE, "--lengths", "1,16")

    assert called.code == 0
    lines = [line for line in called.out.splitlines() if line.strip()]
    # The first table is that of the accuracies.
    rows = {line.split()[0]: line for line in reversed(lines)}
    assert "too long" not in rows["1"]
    assert rows["16"].endswith("10   [10 too long]")
    assert rows["all"].endswith("12   [10 too long]")
    assert "recorded as too_long, lengths 16" in called.err


def test_a_model_whose_context_fits_no_prompt_is_refused_with_shorter_lengths(call):
    tiny_checkpoint(Path("model"), seed=1)
    config = Path("model/config.json")
    settings = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**settings, "max_position_embeddings": 100}), encoding="utf-8")

    called = call("run", "--model", "./model", *ONE)

    assert called.code == 1
    assert "need more than 100 tokens; shortest" in called.err
