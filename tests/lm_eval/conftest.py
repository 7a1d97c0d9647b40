"""The harness inside this process, and a tokenizer for it."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
