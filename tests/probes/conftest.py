"""The real tokenizer of Qwen2, 2.5 and 3, made from the ranks that Qwen publishes."""

from importlib.util import find_spec
from pathlib import Path

import pytest

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


@pytest.fixture(scope="session")
def qwen_tokenizer():
    """A `tokenizers.Tokenizer`; about 3 seconds. Skips without the package that has the ranks."""
    found = find_spec("dashscope")
    if found is None or not found.submodule_search_locations:
        pytest.skip("dashscope, which ships the ranks of Qwen's tokenizer, is not installed")
    from transformers.convert_slow_tokenizer import TikTokenConverter

    ranks = Path(found.submodule_search_locations[0]) / "resources" / "qwen.tiktoken"
    return TikTokenConverter(
        vocab_file=str(ranks), pattern=PATTERN, extra_special_tokens=SPECIAL
    ).converted()
