"""Models with running states or windows need copied caches, and nothing less will do."""

import copy

import pytest
import torch
from transformers import DynamicCache

from qwen_bench.engines.hf.cache_forks import _bytes
from qwen_bench.testing import tiny_model

FORKS = (0, 3, 17, 18, 40, 90)
FAMILIES = ["qwen3_5", "gemma3", "qwen2"]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_answers_are_those_of_generate(family, compute, forked, plain_ids):
    model, prompts = tiny_model(family), forked(FORKS, 2)

    results = compute(model, prompts, strategy="copying").results

    expected = {n: plain_ids(model).tokens(prompt) for n, prompt in enumerate(prompts)}
    assert {number: result.tokens for number, result in results.items()} == expected
    assert len(set(expected.values())) > len(prompts) // 2


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_a_full_log_softmax(family, compute, forked, plain_ids):
    model, prompts = tiny_model(family), forked(FORKS, 2)
    candidates = [[(7, 8), (7, 9, 10), (11,)] for _ in prompts]

    outcome = compute(model, prompts, strategy="copying", candidates=candidates)

    for number, result in outcome.results.items():
        expected = plain_ids(model).scores(prompts[number], candidates[number])
        for own, plain in zip(result.scores, expected, strict=True):
            assert own == pytest.approx(plain, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "limits", [{"rows": 1}, {"memory_bytes": 1}, {"chunk": 1}, {"chunk": 37}, {"logits_bytes": 1}]
)
def test_any_budget_and_chunk_gives_the_same(family, limits, compute, forked):
    model, prompts = tiny_model(family), forked((0, 20, 60), 2)

    narrow, wide = (
        {
            n: found.tokens
            for n, found in compute(model, prompts, strategy="copying", **o).results.items()
        }
        for o in (limits, {})
    )

    assert narrow == wide


def test_less_memory_means_fewer_copies(compute, forked):
    model, prompts = tiny_model("qwen2"), forked((64,), 30, longest=1)

    wide = compute(model, prompts, strategy="copying").counters
    narrow = compute(
        model, prompts, strategy="copying", memory_bytes=400_000, logits_bytes=100_000, chunk=64
    ).counters

    assert wide.rows_max > 20
    assert 1 < narrow.rows_max < 20
    assert 0 < narrow.peak_kv_bytes < wide.peak_kv_bytes


def test_the_state_of_a_hybrid_counts_as_memory():
    model = tiny_model("qwen3_5")
    sizes = []
    for length in (8, 16):
        cache = DynamicCache(config=model.config)
        with torch.inference_mode():
            model(torch.arange(3, 3 + length)[None], past_key_values=cache)
        sizes.append(_bytes(cache))

    keys_and_values = 2 * 2 * 16 * 4  # one full-attention layer, two heads of 16, float32
    assert sizes[1] - sizes[0] == 8 * keys_and_values
    assert sizes[0] > 8 * keys_and_values


class TestNegativeControls:
    """What the copying path avoids is really wrong, so its tests can fail."""

    IDS = torch.randint(3, 500, (1, 30), generator=torch.Generator().manual_seed(0))

    def difference(self, cache_at_20):
        """Of the last logits, from a cache said to hold the first 20 tokens, to plain ones."""
        model = tiny_model("qwen3_5")
        with torch.inference_mode():
            expected = model(self.IDS).logits[0, -1]
            cache = cache_at_20(model)
            found = model(self.IDS[:, 20:], past_key_values=cache).logits[0, -1]
        return float((found - expected).abs().max())

    @pytest.mark.parametrize(("deep", "right"), [(True, True), (False, False)])
    def test_only_a_deep_copy_forks_the_cache_of_a_hybrid(self, deep, right):
        def forked_once(model):
            cache = DynamicCache(config=model.config)
            model(self.IDS[:, :20], past_key_values=cache)
            branch = copy.deepcopy(cache)
            if not deep:
                branch = copy.copy(cache)
                branch.layers = [copy.copy(layer) for layer in cache.layers]
            model(self.IDS[:, :7], past_key_values=branch)
            return cache

        assert (self.difference(forked_once) < 1e-4) is right

    def test_a_hybrid_cannot_be_cut_back_even_after_recording(self):
        def cut(model):
            cache = DynamicCache(config=model.config)
            model(self.IDS[:, :20], past_key_values=cache)
            cache.activate_past_recording()
            model(self.IDS[:, :7], past_key_values=cache)
            cache.crop(-7)
            return cache

        assert self.difference(cut) > 1e-3

    def test_padding_between_prefix_and_suffix_breaks_a_hybrid(self):
        model = tiny_model("qwen3_5")
        pads = torch.zeros(1, 4, dtype=torch.long)
        with torch.inference_mode():
            expected = model(self.IDS).logits[0, -1]
            cache = DynamicCache(config=model.config)
            model(self.IDS[:, :20], past_key_values=cache)
            mask = torch.ones(1, 34, dtype=torch.long)
            mask[:, 20:24] = 0
            found = model(
                torch.cat([pads, self.IDS[:, 20:]], 1),
                past_key_values=cache,
                attention_mask=mask,
                position_ids=torch.tensor([[0] * 4 + list(range(20, 30))]),
            ).logits[0, -1]

        assert float((found - expected).abs().max()) > 1e-3
