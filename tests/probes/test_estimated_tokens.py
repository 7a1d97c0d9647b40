"""Tokens estimated from characters, against Qwen's real tokenizer."""

import pytest

from qwen_bench.engines.cost_estimate import estimate_tokens
from qwen_bench.engines.prefix_tree import PrefixTree
from qwen_bench.probes.probe import LANGS
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.protocol import Generation
from qwen_bench.runs.runner import units


@pytest.mark.parametrize("lang", LANGS)
def test_prompts_of_core_are_estimated_within_five_percent(lang, qwen_tokenizer):
    suite = build_suite("core", Selection(limit=1, langs=(lang,), lengths=(1, 16), levels=(1, 5)))
    naive = shared = 0
    for dialogue in suite.dialogues():
        tree = PrefixTree()
        for asked in dialogue.probes:
            text = "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in asked.messages)
            text += "<|im_start|>assistant\n"
            ids = qwen_tokenizer.encode(text, add_special_tokens=False).ids
            naive += len(ids)
            tree.insert(ids)
        shared += len(tree)

    found = estimate_tokens(units(suite.dialogues(), ("generate",), Generation(64)))

    assert found.naive == pytest.approx(naive, rel=0.05)
    assert found.shared == pytest.approx(shared, rel=0.05)
