"""Lengths in tokens of the real Qwen tokenizer: budgets, twins, and Chinese beside English."""

import statistics
from collections import defaultdict

import pytest
from qwen_bench.probes.filler import load_filler

from qwen_bench.probes.probe import LANGS
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.resources import data_folder


def chatml(messages):
    """Qwen2.5's form of a conversation, generation prompt included, without a system message."""
    text = "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in messages)
    return text + "<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def count(qwen_tokenizer):
    return lambda text: len(qwen_tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.fixture(scope="module")
def prompts(count):
    """Probe and tokens of its prompt by id, for the first rotation of core."""
    return {
        asked.probe.id: (asked.probe, count(chatml(asked.messages)))
        for dialogue in build_suite("core", Selection(limit=1)).dialogues()
        for asked in dialogue.probes
        if asked.probe.condition == "main"
    }


def test_the_tokenizer_is_that_of_qwen(qwen_tokenizer):
    ids = qwen_tokenizer.encode("<|im_start|>user\nMy locker is 11.<|im_end|>").ids

    assert ids == [151644, 872, 198, 5050, 34679, 374, 220, 16, 16, 13, 151645]


@pytest.mark.parametrize("lang", LANGS)
def test_an_exchange_of_filler_has_the_specified_number_of_tokens(lang, count):
    exchanges = [
        count(chatml(turn.messages)) - count("<|im_start|>assistant\n")
        for thread in load_filler(data_folder("tasks"), lang, "eval").threads
        for turn in thread
    ]

    assert min(exchanges) >= 35
    assert max(exchanges) <= 90
    assert 45 <= statistics.mean(exchanges) <= 65


def test_every_english_prompt_has_a_chinese_one_of_the_same_skeleton_and_turns(prompts):
    ratios = defaultdict(list)
    for name, (en, tokens) in prompts.items():
        if en.lang != "en":
            continue
        zh, other = prompts[name.replace("/en/", "/zh/")]
        assert (zh.cluster, zh.length, zh.needs) == (en.cluster, en.length, en.needs)
        ratios[en.length].append(other / tokens)

    for length, found in ratios.items():
        assert 0.7 <= statistics.mean(found) <= 1.1, length


def test_the_prompts_of_twins_are_equally_long_within_the_allowance(prompts):
    for name, (a, tokens) in prompts.items():
        if a.variant != "A":
            continue
        other = prompts[name.replace("/A/", "/B/")][1]
        # A rule marks every reply of one variant; unstated facts shorten one evidence turn.
        most = 0.2 if a.programme == "rule" or a.family == "abstention" else 0.05
        assert abs(tokens - other) <= max(3, most * max(tokens, other)), name


def test_token_counts_grow_with_the_history_and_stay_far_below_8192(prompts):
    by_length = defaultdict(list)
    for probe, tokens in prompts.values():
        by_length[probe.length].append(tokens)

    means = [statistics.mean(by_length[length]) for length in sorted(by_length)]
    assert means == sorted(means)
    assert max(tokens for _, tokens in prompts.values()) < 4096


def test_candidates_of_a_probe_have_equal_token_counts_within_one(prompts, count):
    for probe, _ in prompts.values():
        if probe.length < 32 or probe.answer_kind in {"set", "yesno", "rule"}:
            continue
        lead = " " if probe.lang == "en" else ""
        sizes = [count(lead + candidate) for candidate in probe.candidates]
        assert max(sizes) - min(sizes) <= 1, (probe.id, probe.candidates, sizes)


def test_a_candidate_after_the_prompt_has_the_tokens_it_has_alone(prompts, count, qwen_tokenizer):
    opening = "<|im_start|>assistant\n"
    seen = {c for probe, _ in prompts.values() for c in probe.rank_candidates}
    for candidate in seen:
        alone = qwen_tokenizer.encode(candidate, add_special_tokens=False).ids
        whole = qwen_tokenizer.encode(opening + candidate, add_special_tokens=False).ids
        assert whole[len(whole) - len(alone) :] == alone
        assert len(whole) == len(alone) + count(opening)
