"""Checkpoints that more than one folder of tests needs."""

import importlib.util
from itertools import pairwise
from pathlib import Path

import pytest
from _pytest.assertion import util as assertions

from qwen_bench.engines.embedded import quiet_transformers
from qwen_bench.testing import tiny_model, tiny_tokenizer

RAISES = pytest.raises


def pytest_addoption(parser):
    parser.addoption(
        "--rewrite-goldens", action="store_true", help="write golden files anew, then compare"
    )


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """Fails a test that passes without an assertion, as one does whose loop runs over nothing."""
    asserted = []

    def note(*_):
        asserted.append(True)
        # The first one is enough: pytest describes every assertion that it reports.
        assertions._assertion_pass = None

    def raises(*args, **kwargs):
        asserted.append(True)
        return RAISES(*args, **kwargs)

    assertions._assertion_pass, pytest.raises = note, raises
    try:
        result = yield
    finally:
        assertions._assertion_pass, pytest.raises = None, RAISES
    if not asserted:
        pytest.fail(
            f"{pyfuncitem.name} asserted nothing (or its bytecode is older than this check: "
            "then remove the folders __pycache__ in tests/)",
            pytrace=False,
        )
    return result


def _template(key):
    """Chat template of a Qwen generation out of the trl wheel, read as a file."""
    found = importlib.util.find_spec("trl")
    if found is None or not found.submodule_search_locations:
        pytest.fail("the trl wheel holds the Qwen templates: pip install --no-deps trl==1.16.0")
    folder = Path(found.submodule_search_locations[0])
    return (folder / "chat_templates" / f"{key}.jinja").read_text("utf-8")


def _without_chatml(tokenizer):
    """The tokenizer with other markers, so that those of ChatML are text, two tokens at the end."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    text = tokenizer.backend_tokenizer.to_str()
    text = text.replace("<|im_start|>", "<|turn|>").replace("<|im_end|>", "<|over|>")
    special = {"eos_token": "<|over|>", "pad_token": "<|endoftext|>"}
    made = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text), **special)
    made.add_tokens(["<|im", "_end|>"])
    return made


@pytest.fixture
def unmarked_tokenizer():
    """See `_without_chatml`."""
    return _without_chatml(tiny_tokenizer())


@pytest.fixture
def saying(tmp_path):
    """`saying("<think>hm</think>red", template)`: folder of a model that answers every prompt so.

    A Qwen3 whose next token depends on the last one alone. So no token may occur twice in what it
    says, and prompts have to end with a line break, as those of Qwen do. Without `chatml` its
    tokenizer has no ChatML tokens, and it goes on after what it says.
    """
    import torch

    def make(text, template="qwen3", *, tags=("<think>", "</think>"), chatml=True):
        tokenizer = tiny_tokenizer() if chatml else _without_chatml(tiny_tokenizer())
        tokenizer.add_tokens(list(tags))
        tokenizer.chat_template = _template(template)
        said = tokenizer.encode(f"\n{text}<|im_end|>" if chatml else f"\n{text}")
        assert len(set(said)) == len(said) <= 31, tokenizer.convert_ids_to_tokens(said)
        model = tiny_model("qwen3")
        model.resize_token_embeddings(len(tokenizer))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith(("o_proj.weight", "down_proj.weight")) or "embed" in name:
                    parameter.zero_()
            model.lm_head.weight.zero_()
            model.get_input_embeddings().weight[:, 31] = 1.0
            for place, (token, following) in enumerate(pairwise(said)):
                model.get_input_embeddings().weight[token] = torch.eye(32)[place]
                model.lm_head.weight[following, place] = 2.0
        folder = tmp_path / f"saying-{len(list(tmp_path.glob('saying-*')))}"
        with quiet_transformers():
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        return folder

    return make
