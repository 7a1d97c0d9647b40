"""The check for GPU owners, run where it can be: on a CPU with a tiny model."""

import pytest

from benchmarks import gpu_check
from qwen_bench.engines.hf import kernels
from qwen_bench.testing import tiny_checkpoint


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "qwen3", "qwen3"))


def test_a_sound_model_passes_in_both_number_formats(tiny, capsys):
    status = gpu_check.main(["--model", tiny, "--device", "cpu", "--quick"])

    shown = capsys.readouterr().out
    assert status == 0, shown
    assert "FAIL" not in shown
    for word in (
        "greedy answers",
        "adapter: log-probability",
        "kernel flash_cpu, chosen",
        "same bits",
    ):
        assert shown.count(word) >= 2, word


def test_a_kernel_that_attends_wrongly_fails_it(monkeypatch):
    def shifted(query, key, value, **options):
        found = kernels.portable(query, key, value, **options)
        return found._replace(lse=found.lse + 0.2)

    monkeypatch.setitem(kernels.KERNELS, "flash_cpu", shifted)

    lines = list(gpu_check._kernels("cpu", "float32"))

    kernels.choose_kernel.cache_clear()
    assert [line.passed for line in lines if "flash_cpu" in line.what] != [True]


def test_without_a_gpu_it_says_so(capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")

    assert gpu_check.main([]) == 1
    assert "no CUDA device" in capsys.readouterr().err
