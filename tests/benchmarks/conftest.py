"""The benchmarks on disk: small models made once, and made-up measurements."""

import pytest


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """Folder with the tiny Qwen3 of the benchmarks, weights only."""
    import torch

    from benchmarks import models

    folder = tmp_path_factory.mktemp("models")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    models.random_model("qwen3-tiny").save_pretrained(folder / "qwen3-tiny")
    yield folder
    torch.set_num_threads(threads)


@pytest.fixture
def line():
    """Maker of a measurement that answered some ids."""

    def make(answers=(), scores=(), cpu=1.0, **counters):
        return {
            "command": "python -m benchmarks.ours",
            "model": "qwen3-tiny",
            "cpu_seconds": cpu,
            "wall_seconds": cpu,
            "load_seconds": 0.0,
            "process_bytes": 0,
            "counters": counters,
            "answers": [list(ids) for ids in answers],
            "scores": [list(row) for row in scores],
            "versions": {"torch": "2"},
        }

    return make
