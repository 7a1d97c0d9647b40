"""Accuracy over the tokens of the prompt: bins that double, of one run and of two."""

import pytest

from qwen_bench.stats.bootstrap import Resampler
from qwen_bench.stats.compare_document import compare_document
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.summary import accuracy, summarise, summary_as_dict
from qwen_bench.stats.token_bins import token_bin, token_bin_name

TOKENS = {8: 4_400, 16: 8_300, 128: 64_000, 256: 128_400}


def rows(outcome, forgets, *, tokens=TOKENS.get, clusters=36):
    """One question a family, length and skeleton; wrong from `forgets` turns on for most."""
    return [
        outcome(
            int(length < forgets or number % 4 == 0),
            cluster=f"mixed-{number:03d}",
            family=family,
            length=length,
            prompt_tokens=tokens(length),
        )
        for number in range(clusters)
        for family in ("fact_recall", "pronoun")
        for length in TOKENS
    ]


@pytest.fixture
def compared(outcome, run):
    """A baseline that keeps all and a candidate, of another tokenizer, that forgets from 128."""
    base = run(rows(outcome, 999))
    candidate = rows(outcome, 128, tokens=lambda length: 3 * TOKENS[length])
    return compare(pair(base, run(candidate, "candidate")), primary="generate")


@pytest.mark.parametrize(
    ("tokens", "most", "name"),
    [
        (1, 256, "up to 256"),
        (256, 256, "up to 256"),
        (257, 512, "256 to 512"),
        (1024, 1024, "512 to 1k"),
        (1025, 2048, "1k to 2k"),
        (32_768, 32_768, "16k to 32k"),
        (128_400, 131_072, "64k to 128k"),
        (1_000_000, 1_048_576, "512k to 1024k"),
    ],
)
def test_a_bin_ends_at_the_size_of_a_context_window_and_says_where_it_begins(tokens, most, name):
    assert token_bin(tokens) == most
    assert token_bin_name(most) == name


def test_every_counted_prompt_is_in_one_bin_with_the_accuracy_and_interval_of_any_slice(outcome):
    found = rows(outcome, 128)

    bins = summarise(found)["generate"].by_tokens

    assert {most: cell.n for most, cell in bins.items()} == {
        8_192: 72,
        16_384: 72,
        65_536: 72,
        131_072: 72,
    }
    assert [cell.accuracy for cell in bins.values()] == [1, 1, 0.25, 0.25]
    longest = [row for row in found if row.length == 256]
    assert bins[131_072] == accuracy(longest, Resampler(0))
    assert bins[131_072].low < 0.25 < bins[131_072].high


def test_lengths_of_about_as_many_tokens_share_a_bin_and_one_length_may_lie_in_two(outcome):
    two = rows(outcome, 999, tokens=lambda length: 5_000 if length < 100 else 9_000)
    half = [
        outcome(1, cluster=f"mixed-{n}", length=16, prompt_tokens=(4_000, 4_200)[n % 2])
        for n in range(20)
    ]

    assert {k: c.n for k, c in summarise(two)["generate"].by_tokens.items()} == {
        8_192: 144,
        16_384: 144,
    }
    assert {k: c.n for k, c in summarise(half)["generate"].by_tokens.items()} == {
        4_096: 10,
        8_192: 10,
    }


def test_controls_and_prompts_nobody_counted_are_in_no_bin(outcome):
    found = [
        outcome(1, prompt_tokens=300),
        outcome(None, question="other"),
        outcome(1, condition="adjacent", prompt_tokens=300),
    ]

    assert {k: c.n for k, c in summarise(found)["generate"].by_tokens.items()} == {512: 1}
    assert summarise(found[1:])["generate"].by_tokens == {}


def test_summary_json_has_the_bins_by_their_most_tokens_and_leaves_out_none(outcome):
    data = summary_as_dict(summarise(rows(outcome, 128)))["generate"]
    without = summary_as_dict(summarise([outcome(1)]))["generate"]

    assert list(data["by_tokens"]) == ["8192", "16384", "65536", "131072"]
    assert data["by_tokens"]["131072"]["accuracy"] == 0.25
    assert "by_tokens" not in without


def test_pairs_are_binned_by_the_prompt_of_the_baseline_and_carry_no_word(compared):
    bins = compared.modes["generate"].by_tokens

    assert list(bins) == [8_192, 16_384, 65_536, 131_072]
    assert [cell.difference for cell in bins.values()] == [0, 0, -0.75, -0.75]
    assert {cell.word for cell in bins.values()} == {None}
    longest = compared.modes["generate"].by_length[256]
    assert (bins[131_072].low, bins[131_072].high) == (longest.low, longest.high)


def test_the_candidates_count_stands_in_where_the_baseline_has_none(outcome, run):
    base = run(rows(outcome, 999, tokens=lambda length: TOKENS[length] if length < 256 else None))
    candidate = run(rows(outcome, 999), "candidate")

    bins = compare(pair(base, candidate), primary="generate").modes["generate"].by_tokens

    assert {most: cell.n for most, cell in bins.items()} == {
        8_192: 72,
        16_384: 72,
        65_536: 72,
        131_072: 72,
    }


def test_compare_json_has_a_cell_a_bin(compared):
    (candidate,) = compare_document([compared], 3)["candidates"]

    bins = candidate["modes"]["generate"]["by_tokens"]
    assert list(bins) == ["8192", "16384", "65536", "131072"]
    assert bins["131072"]["difference"] == -0.75
    assert bins["131072"]["low"] < -0.75 < bins["131072"]["high"]
