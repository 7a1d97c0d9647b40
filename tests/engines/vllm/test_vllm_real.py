"""The real vLLM against the hf engine on the embedded model; see docs/vllm.md for how to run it.

One process opens vLLM once, with the demo adapter and once without; all tests read its replies.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_engines
from qwen_bench.probes.suites import build_suite
from qwen_bench.protocol import Generation, Unit
from qwen_bench.runs.runner import units

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore"),  # those of vLLM and its libraries
]

DEMO = str(Path(__file__).resolve().parents[3] / "finetune" / "demo")
REQUESTS = 24


def first_unit():
    """The beginning of the first dialogue of suite demo, generated and ranked."""
    dialogues = build_suite("demo").dialogues()
    unit = next(units(dialogues, ("generate", "rank"), Generation(max_new_tokens=16)))
    return Unit(unit.dialogue, unit.requests[:REQUESTS])


def answered(engine, texts):
    """Replies and counters for each SPEC in turn."""
    options = EngineOptions(engine=engine, device="cpu", offline=True)
    unit = first_unit()
    with open_engines([parse_spec(text) for text in texts], options) as engines:
        return [
            ({(reply.id, reply.mode): reply for reply in each.answer(unit)}, each.counters())
            for each in engines
        ]


@pytest.fixture(scope="module")
def alone():
    """The base in a vLLM without adapters: candidates are scored in one pass."""
    pytest.importorskip("vllm")
    return answered("vllm", ["embedded"])[0]


@pytest.fixture(scope="module")
def interleaved():
    """Base, adapter and base again in one vLLM: candidates are scored token by token."""
    pytest.importorskip("vllm")
    return answered("vllm", ["embedded", DEMO, "again=embedded"])


@pytest.fixture(scope="module")
def expected():
    """Base and adapter in the hf engine."""
    return [replies for replies, _ in answered("hf", ["embedded", DEMO])]


def check(mine, theirs):
    """Texts and counts equal, log-probabilities to 1e-4; what differs most."""
    assert mine.keys() == theirs.keys()
    largest = 0.0
    for key, reply in mine.items():
        other = theirs[key]
        assert (reply.status, reply.reason, reply.text) == (other.status, other.reason, other.text)
        assert (reply.prompt_sha256, reply.prompt_tokens) == (
            other.prompt_sha256,
            other.prompt_tokens,
        )
        assert (reply.output_tokens, reply.stop_token) == (other.output_tokens, other.stop_token)
        for score, reference in zip(reply.scores, other.scores, strict=True):
            largest = max(
                largest,
                abs(score.logprob - reference.logprob),
                abs(score.end_logprob - reference.end_logprob),
            )
    assert largest <= 1e-4
    return largest


def test_the_base_answers_as_in_the_hf_engine(alone, expected):
    assert check(alone[0], expected[0]) > 0


def test_base_and_adapter_in_one_vllm_answer_as_in_the_hf_engine(interleaved, expected):
    check(interleaved[0][0], expected[0])
    check(interleaved[1][0], expected[1])


def test_the_base_is_the_same_before_and_after_the_adapter(interleaved):
    before, adapter, after = (
        {key: (reply.text, reply.scores) for key, reply in replies.items()}
        for replies, _ in interleaved
    )

    assert before == after
    assert before != adapter


def test_the_history_comes_from_the_prefix_cache(alone, interleaved):
    for _, counted in (alone, *interleaved):
        assert counted.forward_tokens == (
            counted.tree_tokens + counted.decoded_tokens + counted.recomputed_tokens
        )
        assert counted.sharing_ratio > 4


def test_a_run_of_the_command_line(tmp_path):
    pytest.importorskip("vllm")
    start = "from qwen_bench.cli.main import entry_point; entry_point()"
    words = "run --engine vllm --model embedded --suite quick --lang en --lengths 1 --limit 1"

    done = subprocess.run(
        [sys.executable, "-c", start, *words.split(), "--mode", "both", "--max-new-tokens", "8"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["status"], manifest["engine"]["name"]) == ("finished", "vllm")
    assert set(manifest["counts"]) <= {"ok", "truncated"}
    assert "INFO" not in done.stdout
