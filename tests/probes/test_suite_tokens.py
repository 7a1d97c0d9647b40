"""Tokens of the suites in docs/probes.md, counted again with Qwen's tokenizer."""

import re
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import pytest

from qwen_bench.probes.suites import build_suite

PAGE = Path(__file__).parents[2] / "docs" / "probes.md"
SUITES = ("demo", "quick", "core", "full", "long")


def counted(name, tokenizer):
    """Prompt tokens in ChatML: all prompts alone, each history once, the longest prompt."""

    @lru_cache(maxsize=4096)
    def size(message):
        text = f"<|im_start|>{message.role}\n{message.content}<|im_end|>\n"
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    opening = len(tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False).ids)
    naive = shared = longest = 0
    for dialogue in build_suite(name).dialogues():
        nodes = {}
        for asked in dialogue.probes:
            keys = accumulate(asked.messages, lambda key, message: hash((key, message)), initial=0)
            nodes |= dict(zip([*keys][1:], asked.messages, strict=True))
            prompt = opening + sum(map(size, asked.messages))
            naive, shared, longest = naive + prompt, shared + opening, max(longest, prompt)
        shared += sum(map(size, nodes.values()))
    return naive, shared, longest


def figures(row):
    """Numbers of a row of the table of suites by suite: `1.2 M` is 1,200,000, `16 k` is 16,000."""
    line = next(line for line in PAGE.read_text("utf-8").splitlines() if row in line)
    cells = [cell.strip().replace(",", "") for cell in line.strip("|").split("|")[1:]]
    units = {"": 1, "k": 1e3, "M": 1e6}
    found = (re.fullmatch(r"([0-9.]+) ?([kM]?)", cell) for cell in cells)
    return dict(zip(SUITES, (float(m[1]) * units[m[2]] for m in found), strict=True))


@pytest.mark.parametrize(
    "name",
    [
        *("demo", "quick", "core"),
        pytest.param("full", marks=pytest.mark.slow),
        pytest.param("long", marks=pytest.mark.slow),
    ],
)
def test_a_suite_has_the_tokens_that_the_page_says(name, qwen_tokenizer):
    naive, shared, longest = counted(name, qwen_tokenizer)

    assert naive == pytest.approx(figures("prompt tokens, every prompt alone")[name], rel=0.05)
    assert shared == pytest.approx(figures("prompt tokens, every history once")[name], rel=0.05)
    assert longest == pytest.approx(figures("tokens of the longest prompt")[name], rel=0.05)
