"""The harness inside this process, a tokenizer for it, and logs as it writes them."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qwen_bench.lm_eval.documents import document, probes_at, read_choice
from qwen_bench.lm_eval.generate import folder

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Threads that spin while they wait take the cores from whatever else runs.
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "PASSIVE",
}


@pytest.fixture(scope="session")
def build():
    """`build("qwen_bench_fact_recall_h1", limit=1, ...)`: a task object of the real harness."""
    from lm_eval.tasks import TaskManager

    def build(name, metadata=None, **settings):
        own = {"qwen_bench": {"suite": "core", "limit": 1, **settings}}
        manager = TaskManager(
            include_path=str(folder()), include_defaults=False, metadata=own | (metadata or {})
        )
        return manager.load([name])["tasks"][name]

    return build


@pytest.fixture(scope="session")
def qwen_tokenizer():
    """The real Qwen tokenizer, ranks read from the dashscope wheel."""
    import base64

    from tokenizers.normalizers import NFC
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    def ranks_of(path):
        lines = (line.split() for line in Path(path).read_bytes().splitlines() if line)
        return {base64.b64decode(token): int(rank) for token, rank in lines}

    class Converter(TikTokenConverter):
        load_tiktoken_bpe = staticmethod(ranks_of)

    found = importlib.util.find_spec("dashscope")
    if found is None or not found.submodule_search_locations:
        pytest.fail("the dashscope wheel holds the Qwen ranks: pip install --no-deps dashscope")
    file = Path(found.submodule_search_locations[0]) / "resources" / "qwen.tiktoken"
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Converter(str(file), PATTERN, extra_special_tokens=special).converted()
    tokenizer.normalizer = NFC()
    ends = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **ends)


@pytest.fixture(scope="session")
def qwen_template():
    """Template of a Qwen generation, from the trl wheel."""

    def template(key):
        found = importlib.util.find_spec("trl")
        if found is None or not found.submodule_search_locations:
            pytest.fail("the trl wheel holds the Qwen templates: pip install --no-deps trl==1.16.0")
        file = Path(found.submodule_search_locations[0]) / "chat_templates" / f"{key}.jinja"
        return file.read_text("utf-8")

    return template


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


@pytest.fixture(scope="session")
def lm_eval():
    """`lm_eval("ls", "tasks", ...)`: the command of the harness in a child process."""

    def call(*words, cwd=None, fails=False):
        done = subprocess.run(
            [str(Path(sys.executable).with_name("lm-eval")), *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env={**os.environ, **QUIET},
        )
        assert (done.returncode != 0) == fails, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout + done.stderr

    return call
