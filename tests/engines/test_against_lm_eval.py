"""Candidates get the log-probabilities that lm-eval's hf model gives on the same ids."""

import pytest

from qwen_bench.testing import tiny_model, tiny_tokenizer


@pytest.mark.lm_eval
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama"])
def test_scores_are_those_of_lm_eval(family, compute, forked):
    from lm_eval.models.huggingface import HFLM

    model, prompts = tiny_model(family), forked((5, 40, 200), 4)
    candidates = [[(7, 8), (9, 10, 11), (12,)] for _ in prompts]
    harness = HFLM(pretrained=model, tokenizer=tiny_tokenizer(), batch_size=1, max_length=1024)
    asked = [
        (("", ""), prompt, list(ids))
        for prompt, own in zip(prompts, candidates, strict=True)
        for ids in own
    ]
    expected = iter(harness._loglikelihood_tokens(asked, disable_tqdm=True))

    results = compute(model, prompts, candidates=candidates).results

    for number in range(len(prompts)):
        for total, _ in results[number].scores:
            assert total == pytest.approx(next(expected)[0], abs=1e-4)
