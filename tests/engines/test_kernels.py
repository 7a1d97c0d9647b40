"""Every kernel gives the portable one's outputs and log-sum-exps; two parts merge to the whole."""

import logging

import pytest
import torch

from qwen_bench.engines.hf import kernels
from qwen_bench.engines.hf.kernels import (
    Attended,
    choose_kernel,
    compare,
    flash_cpu,
    merge_into,
    portable,
)

CPU = torch.device("cpu")


def drawn(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def whole(query, key, value, mask, scale):
    """Softmax written out, in float64."""
    group = query.shape[1] // key.shape[1]
    key, value = (part.double().repeat_interleave(group, 1) for part in (key, value))
    scores = query.double() @ key.transpose(-1, -2) * scale
    scores = scores if mask is None else scores + mask.double()
    return Attended(scores.softmax(-1) @ value, scores.logsumexp(-1))


def merge(one, other):
    """What both are together; neither is changed."""
    merged = Attended(one.out.clone(), one.lse.clone())
    merge_into(merged, other)
    return merged


@pytest.fixture
def forget():
    """Choices are made anew, before and after."""
    choose_kernel.cache_clear()
    yield
    choose_kernel.cache_clear()


class TestPortable:
    @pytest.mark.parametrize("group", [1, 3, 4, 8])
    @pytest.mark.parametrize("limit", [1, 2000, 64 << 20])
    def test_it_is_softmax_attention_whatever_fits_at_one_time(self, group, limit, monkeypatch):
        monkeypatch.setattr(kernels, "SCORES_BYTES", limit)
        query, key, value = drawn(3, 2 * group, 5, 8), drawn(3, 2, 7, 8), drawn(3, 2, 7, 8, seed=1)
        mask = torch.zeros(3, 1, 5, 7).masked_fill_(drawn(3, 1, 5, 7) > 1, float("-inf"))

        found = portable(query, key, value, mask=mask, scale=0.3)

        expected = whole(query, key, value, mask, 0.3)
        assert torch.allclose(found.out.double(), expected.out, atol=1e-6)
        assert torch.allclose(found.lse.double(), expected.lse, atol=1e-6)

    @pytest.mark.parametrize("limit", [1, 64 << 20])
    def test_causal_means_that_later_keys_are_not_seen(self, limit, monkeypatch):
        monkeypatch.setattr(kernels, "SCORES_BYTES", limit)
        query, key, value = drawn(1, 4, 6, 8), drawn(1, 2, 6, 8), drawn(1, 2, 6, 8, seed=1)
        later = torch.full((1, 1, 6, 6), float("-inf")).triu(1)

        found = portable(query, key, value, causal=True, scale=1.0)

        assert torch.allclose(found.out, portable(query, key, value, mask=later, scale=1.0).out)

    def test_scores_take_64_mib_at_most(self):
        query, key = drawn(1, 8, 3000, 4), drawn(1, 8, 3000, 4)
        largest = []
        product = torch.Tensor.__matmul__

        def watch(one, other):
            found = product(one, other)
            largest.append(found.nbytes)
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.Tensor, "__matmul__", watch)
            portable(query, key, key, scale=1.0)

        assert max(largest) <= 64 << 20 < 8 * 3000 * 3000 * 4


class TestChoice:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    @pytest.mark.parametrize("size", [8, 16, 64, 80, 128, 256])
    def test_the_cpu_kernel_agrees_with_the_portable_one(self, size, dtype):
        assert compare(flash_cpu, CPU, dtype, size) <= kernels.BOUNDS[dtype]
        assert choose_kernel(CPU, dtype, size) == "flash_cpu"

    def test_bounds_are_those_of_the_tests(self):
        assert kernels.BOUNDS[torch.float32] == 5e-6
        assert kernels.BOUNDS[torch.bfloat16] == 2e-2

    def test_devices_without_a_kernel_take_the_portable_one(self):
        assert choose_kernel(torch.device("mps"), torch.float32) == "portable"

    @pytest.mark.parametrize(
        ("kernel", "line"),
        [
            (lambda *a, **k: Attended(portable(*a, **k).out * 1.001, portable(*a, **k).lse), "by"),
            (lambda *a, **k: Attended(portable(*a, **k).out, portable(*a, **k).lse + 1e-3), "by"),
            (lambda *_, **__: torch.ops.aten._gone(), "AttributeError"),
        ],
        ids=["output", "log-sum-exp", "missing"],
    )
    @pytest.mark.usefixtures("forget")
    def test_a_kernel_that_differs_or_is_missing_is_replaced_with_a_log_line(
        self, kernel, line, monkeypatch, caplog
    ):
        monkeypatch.setitem(kernels.KERNELS, "flash_cpu", kernel)

        with caplog.at_level(logging.WARNING):
            assert choose_kernel(CPU, torch.float32) == "portable"

        assert "flash_cpu is not used" in caplog.text
        assert line in caplog.text

    @pytest.mark.usefixtures("forget")
    def test_the_engine_runs_on_the_portable_kernel_too(
        self, monkeypatch, compute, forked, plain_ids
    ):
        from qwen_bench.testing import tiny_model

        model, prompts = tiny_model("qwen3"), forked((0, 9, 40), 3)
        monkeypatch.setitem(kernels.KERNELS, "flash_cpu", lambda *_, **__: torch.ops.aten._gone())

        results = compute(model, prompts).results

        for number, prompt in enumerate(prompts):
            assert results[number].tokens == plain_ids(model).tokens(prompt)

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
    def test_cuda_kernels_agree_with_the_portable_one(self, dtype):
        name = "efficient_cuda" if dtype == torch.float32 else "flash_cuda"

        difference = compare(kernels.KERNELS[name], torch.device("cuda"), dtype)

        assert difference <= kernels.BOUNDS[dtype]


class TestMerge:
    @pytest.mark.parametrize("cut", [1, 7, 19])
    @pytest.mark.parametrize("kernel", [portable, flash_cpu])
    def test_two_parts_are_the_whole(self, kernel, cut):
        query, key, value = drawn(1, 4, 5, 8), drawn(1, 2, 20, 8), drawn(1, 2, 20, 8, seed=1)

        one, other = (
            kernel(query, key[:, :, part], value[:, :, part], scale=0.3)
            for part in (slice(cut), slice(cut, None))
        )
        merged = merge(one, other)

        expected = whole(query, key, value, None, 0.3)
        assert torch.allclose(merged.out.double(), expected.out, atol=1e-6)
        assert torch.allclose(merged.lse.double(), expected.lse, atol=1e-6)

    def test_parts_merge_in_any_order(self):
        query, key, value = drawn(1, 4, 5, 8), drawn(1, 2, 20, 8), drawn(1, 2, 20, 8, seed=1)
        a, b, c = (
            portable(query, key[:, :, part], value[:, :, part], scale=0.3)
            for part in (slice(3), slice(3, 11), slice(11, None))
        )

        left, right = merge(merge(a, b), c), merge(a, merge(c, b))

        assert torch.allclose(left.out, right.out, atol=1e-6)
        assert torch.allclose(left.lse, right.lse, atol=1e-6)

    def test_scores_of_any_size_merge(self):
        query, key, value = drawn(1, 1, 2, 4), drawn(1, 1, 6, 4), drawn(1, 1, 6, 4, seed=1)
        one = portable(query, key[:, :, :3], value[:, :, :3], scale=400.0)
        other = portable(query, key[:, :, 3:], value[:, :, 3:], scale=400.0)

        merged = merge(one, other)

        expected = whole(query, key, value, None, 400.0)
        assert torch.allclose(merged.out.double(), expected.out, atol=1e-3)

    def test_negative_control_a_plain_average_is_not_the_whole(self):
        query, key, value = drawn(1, 4, 5, 8), drawn(1, 2, 20, 8), drawn(1, 2, 20, 8, seed=1)
        one = portable(query, key[:, :, :7], value[:, :, :7], scale=0.3)
        other = portable(query, key[:, :, 7:], value[:, :, 7:], scale=0.3)

        average = (one.out + other.out) / 2

        assert not torch.allclose(
            average.double(), whole(query, key, value, None, 0.3).out, atol=1e-3
        )
