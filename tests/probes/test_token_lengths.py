"""Lengths in tokens of the real Qwen tokenizer: budgets, twins, and Chinese beside English."""

import statistics
from collections import defaultdict
from functools import lru_cache

import pytest

from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite

# Tokens of "<|im_start|>assistant\n".
OPENING = 3


def chatml(messages):
    """Qwen2.5's form of a conversation, generation prompt included, without a system message."""
    text = "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in messages)
    return text + "<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def count(qwen_tokenizer):
    return lambda text: len(qwen_tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.fixture(scope="module")
def prompts(count):
    """Probe and tokens of its prompt by id, for the lowest and the highest level of core."""
    selection = Selection(limit=1, conditions=("main",), lengths=(1, 4, 16, 32), levels=(1, 5))
    counted = lru_cache(maxsize=None)(lambda message: count(chatml([message])) - OPENING)
    return {
        asked.probe.id: (asked.probe, sum(map(counted, asked.messages)) + OPENING)
        for dialogue in build_suite("core", selection).dialogues()
        for asked in dialogue.probes
    }


def test_the_tokenizer_is_that_of_qwen(qwen_tokenizer):
    ids = qwen_tokenizer.encode("<|im_start|>user\nMy locker is 11.<|im_end|>").ids

    assert ids == [151644, 872, 198, 5050, 34679, 374, 220, 16, 16, 13, 151645]


def test_every_english_prompt_has_a_chinese_one_of_the_same_skeleton_and_turns(prompts):
    ratios = defaultdict(list)
    for name, (en, tokens) in prompts.items():
        if en.lang != "en":
            continue
        zh, other = prompts[name.replace("/en/", "/zh/")]
        assert (zh.cluster, zh.length, zh.needs) == (en.cluster, en.length, en.needs)
        ratios[en.length].append(other / tokens)

    for length, found in ratios.items():
        assert 0.7 <= statistics.mean(found) <= 1.15, length


def test_the_prompts_of_twins_are_equally_long_within_the_allowance(prompts):
    for name, (a, tokens) in prompts.items():
        if a.variant == "A":
            other = prompts[name.replace("/A/", "/B/")][1]
            assert abs(tokens - other) <= 0.05 * max(tokens, other), name


def test_token_counts_grow_with_the_history_and_stay_below_18000(prompts):
    by_length = defaultdict(list)
    for probe, tokens in prompts.values():
        by_length[probe.length].append(tokens)

    means = [statistics.mean(by_length[length]) for length in sorted(by_length)]
    assert means == sorted(means)
    assert max(tokens for _, tokens in prompts.values()) < 18000


def test_the_gold_is_no_more_often_the_longest_of_what_is_ranked_than_by_chance(prompts, count):
    """Ranking takes the mean over tokens; lengths may differ, and tell nothing."""
    longest, spread = [], []
    for probe, _ in prompts.values():
        if probe.answer_kind == "single" and len(probe.rank_candidates) == 4:
            lead = " " if probe.lang == "en" else ""
            sizes = {text: count(lead + text) for text in probe.rank_candidates}
            others = [size for text, size in sizes.items() if text != probe.gold]
            longest.append(sizes[probe.gold] > max(others))
            spread.append(max(sizes.values()) - min(sizes.values()))

    assert sum(longest) / len(longest) <= 0.25
    assert max(spread) <= 3
    assert sum(spread) / len(spread) <= 1


def test_a_candidate_after_the_prompt_has_the_tokens_it_has_alone(prompts, count, qwen_tokenizer):
    opening = "<|im_start|>assistant\n"
    seen = {c for probe, _ in prompts.values() for c in probe.rank_candidates}
    for candidate in seen:
        alone = qwen_tokenizer.encode(candidate, add_special_tokens=False).ids
        whole = qwen_tokenizer.encode(opening + candidate, add_special_tokens=False).ids
        assert whole[len(whole) - len(alone) :] == alone
        assert len(whole) == len(alone) + count(opening)
