"""Checkpoints and logs that more than one folder of tests needs."""

import importlib.util
import json
from itertools import pairwise
from pathlib import Path

import pytest
from _pytest.assertion import util as assertions

from qwen_bench.engines.quiet_library import quiet_transformers
from qwen_bench.lm_eval.documents import document, probes_at, read_choice
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


@pytest.fixture
def write_log(tmp_path):
    """`write_log("base", answer)`: samples and results as the harness writes them, without it.

    `answer` gets a probe and gives a text, or a list of log-probabilities for a rank task.
    """

    def write(name, answer, *, cells=(("fact_recall", 1),), kind="generate", **changes):
        place = tmp_path / name
        place.mkdir()
        settings = {"suite": "quick", "lang": ["en"], **changes.pop("settings", {})}
        stamp = "2026-11-22T10-15-03.000001"
        for family, length in cells:
            task = f"qwen_bench_{family}_h{length}"
            choice = read_choice(settings, family, length, task)
            asked = [p for p in probes_at(choice, length).values() if p.probe.family == family]
            rows = [_row(item, choice, answer(item.probe), kind) for item in asked]
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (place / f"samples_{task}_{stamp}.jsonl").write_text(lines, "utf-8")
        results = {
            "configs": {"qwen_bench_fact_recall_h1": {"generation_kwargs": KWARGS}},
            "config": {"model": "hf", "model_args": {"pretrained": f"org/{name}"}, "device": "cpu"},
            "lm_eval_version": "0.4.13",
            "chat_template": "{{ messages }}",
            **changes,
        }
        (place / f"results_{stamp}.json").write_text(json.dumps(results), "utf-8")
        return place

    return write


KWARGS = {
    "do_sample": False,
    "temperature": 0.0,
    "repetition_penalty": 1.0,
    "max_gen_toks": 64,
    "until": ["<|im_end|>"],
}


def _row(item, choice, answer, kind):
    doc = document(item, choice)
    if kind == "generate":
        arguments = {"gen_args_0": {"arg_0": "<|im_start|>...", "arg_1": KWARGS}}
        resps = [] if answer is None else [[answer]]
    else:
        doc["candidate_tokens"] = [1] * len(doc["candidates"])
        arguments = {
            f"gen_args_{i}": {"arg_0": "<|im_start|>...", "arg_1": text}
            for i, text in enumerate(doc["candidates"])
        }
        resps = [[[str(number), "False"]] for number in answer]
    return {"doc_id": 0, "doc": doc, "arguments": arguments, "resps": resps, "retained": 0}
