"""Two real servers on this machine, with the embedded model: llama.cpp and `transformers serve`.

llama.cpp computes twice: from the file as it is shipped, whose 4-bit weights it multiplies with
8-bit activations, and from the same weights written out in float32, which can be compared closely.
"""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.chat.policy import FULL, Policy
from qwen_bench.engines.embedded import embedded_folder, find_embedded
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.openai.openai_engine import OpenAIEngine
from qwen_bench.engines.registry import open_engines
from qwen_bench.errors import EngineError
from qwen_bench.probes.suites import Selection, build_suite
from qwen_bench.protocol import Generation, Request, Unit
from qwen_bench.runs.runner import units
from qwen_bench.runs.store import read_run

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="needs xllamacpp"),
]
BIN = Path(sys.executable).parent
QUIET = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
CONTEXT = 2048
LLAMA = f"""
import sys, xllamacpp as llama
settings = llama.CommonParams()
settings.model.path, slots, exact = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "exact"
settings.n_parallel, settings.n_ctx = slots, slots * {CONTEXT}
settings.hostnames, settings.port, settings.warmup = ["127.0.0.1"], 0, False
settings.cache_ram_mib = 0
settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
if exact:
    settings.cache_type_k = settings.cache_type_v = llama.ggml_type.GGML_TYPE_F32
    settings.flash_attn_type = llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
server = llama.Server(settings)
print(server.listening_address, flush=True)
sys.stdin.read()
"""  # fmt: skip
"""Ends when its standard input does, so it cannot outlive the tests."""


class Place(NamedTuple):
    """A server and what it calls the model."""

    url: str
    model: str


def start_llama(gguf, slots=1, *, exact=False):
    return subprocess.Popen(
        [sys.executable, "-c", LLAMA, str(gguf), str(slots), "exact" if exact else "as shipped"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **QUIET},
    )


@pytest.fixture(scope="module")
def llama_of():
    """Starts llama.cpp; all are stopped at the end."""
    processes = []

    def start(gguf, slots=1, *, exact=False):
        process = start_llama(gguf, slots, exact=exact)
        processes.append(process)
        return Place(f"{process.stdout.readline().strip()}/v1", "smol")

    yield start
    for process in processes:
        process.stdin.close()
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


@pytest.fixture(scope="module")
def llama(llama_of):
    """llama.cpp with the file as it is shipped."""
    return llama_of(find_embedded().gguf)


@pytest.fixture(scope="module")
def exact_llama(llama_of, tmp_path_factory):
    """llama.cpp with the same weights in float32."""
    return llama_of(
        written_out(find_embedded().gguf, tmp_path_factory.mktemp("gguf") / "exact.gguf"),
        exact=True,
    )


def written_out(shipped, target):
    """The GGUF file with every tensor in float32."""
    import gguf
    import numpy as np

    reader = gguf.GGUFReader(shipped)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    left_out = ("GGUF.", "general.architecture", "general.file_type")
    for item in reader.fields.values():
        if not item.name.startswith(left_out):
            inner = item.types[1] if len(item.types) > 1 else None
            writer.add_key_value(item.name, item.contents(), item.types[0], sub_type=inner)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for tensor in reader.tensors:
        numbers = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, numbers.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """`transformers serve` with the embedded model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = str(embedded_folder())
    words = [str(BIN / "transformers"), "serve", folder, "--host", "127.0.0.1"]
    words += ["--port", str(port), "--device", "cpu", "--dtype", "float32"]
    with (tmp_path_factory.mktemp("serve") / "log").open("w") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, **QUIET})
        try:
            wait_for(process, f"http://127.0.0.1:{port}/health")
            yield Place(f"http://127.0.0.1:{port}/v1", folder)
        finally:
            process.terminate()
            process.wait(timeout=30)


def wait_for(process, address):
    for _ in range(240):
        assert process.poll() is None, "the server ended early"
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310 - loopback
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.25)
    pytest.fail("the server did not start")


@pytest.fixture(scope="module")
def open_at():
    """Maker of engines on a server, one for each way of opening it; closed at the end."""
    opened = {}

    def open_one(place, *, tokenizer=True, policy=FULL, concurrency=8):
        key = (place, tokenizer, policy, concurrency)
        if key not in opened:
            arguments = {"tokenizer": "embedded"} if tokenizer else {}
            options = EngineOptions(
                base_url=place.url, model_args=arguments, policy=policy, concurrency=concurrency
            )
            opened[key] = OpenAIEngine(parse_spec(f"openai:{place.model}"), options)
        return opened[key]

    yield open_one
    for engine in opened.values():
        engine.close()


@pytest.fixture(scope="module")
def unit():
    """Both modes of five probes of one dialogue, histories of 1 and 4 turns."""
    suite = build_suite("quick", Selection(lengths=(1, 4), langs=("en",), limit=1))
    modes = ("generate", "rank")
    whole = next(units(suite.dialogues(), modes, Generation(max_new_tokens=16)))
    return replace(whole, requests=whole.requests[:10])


def by_key(replies):
    return {(reply.id, reply.mode): reply for reply in replies}


@pytest.fixture(scope="module")
def plain(unit):
    """What the hf engine says to the unit."""
    with open_engines([parse_spec("embedded")], EngineOptions()) as engines:
        return by_key(next(engines).answer(unit))


def only(unit, mode):
    return replace(unit, requests=tuple(r for r in unit.requests if r.mode == mode))


def most_probable(reply):
    return max(reply.scores, key=lambda score: score.logprob / score.tokens).candidate


def differences(mine, theirs):
    """Absolute differences of all sums and closers."""
    return [
        abs(a - b)
        for key, reply in theirs.items()
        for own, other in zip(mine[key].scores, reply.scores, strict=True)
        for a, b in ((own.logprob, other.logprob), (own.end_logprob, other.end_logprob))
    ]


def test_llama_cpp_on_the_same_weights_gives_the_answers_and_scores_of_the_hf_engine(
    exact_llama, open_at, unit, plain
):
    mine = by_key(open_at(exact_llama).answer(unit))

    assert mine.keys() == plain.keys()
    for key, reply in plain.items():
        own = mine[key]
        assert (own.status, own.text, own.prompt_tokens) == (
            reply.status,
            reply.text,
            reply.prompt_tokens,
        )
        if key[1] == "generate":
            assert own.margin == pytest.approx(reply.margin, abs=1e-3)
    found = differences(mine, {key: reply for key, reply in plain.items() if key[1] == "rank"})
    assert len(found) > 20
    assert max(found) < 5e-3


def test_llama_cpp_on_the_shipped_file_agrees_as_far_as_its_arithmetic_does(
    llama, open_at, unit, plain
):
    engine = open_at(llama)

    mine = by_key(engine.answer(unit))

    ranked = [key for key in plain if key[1] == "rank"]
    assert all(reply.status in {"ok", "truncated"} for reply in mine.values())
    assert all(mine[key].prompt_tokens == plain[key].prompt_tokens for key in plain)
    assert max(differences(mine, {key: plain[key] for key in ranked})) < 2
    agreeing = sum(most_probable(mine[key]) == most_probable(plain[key]) for key in ranked)
    assert agreeing >= len(ranked) - 1
    identity = engine.identity()
    assert identity.engine.ranking == "forcing"
    assert "repeat_penalty" in identity.engine.pinned
    assert identity.model.context_window == CONTEXT
    assert identity.model.dtype == "Q4_1"


QUESTIONS = ("Which locker is mine?", "What is the name of my cat?", "Which day is it?")


@pytest.fixture(scope="module")
def forked():
    """Three questions at three lengths of one history, in an order that is bad for a cache."""
    turns = [
        message
        for turn in range(8)
        for message in (Message("user", f"Number {turn} is red."), Message("assistant", "Yes."))
    ]
    requests = (
        Request(
            f"{question} {length}",
            (*turns[: 2 * length], Message("user", question)),
            "generate",
            max_new_tokens=2,
        )
        for question in QUESTIONS
        for length in (2, 8, 4)
    )
    return Unit("forked", tuple(requests))


def computed(replies):
    return sum(reply.prompt_tokens - reply.cached_tokens for reply in replies)


STRANGER = Unit("other", (Request("o", (Message("user", "What is a tree?"),), "generate"),))


def test_in_tree_order_one_slot_computes_every_distinct_token_once(llama, open_at, forked):
    engine = open_at(llama)
    list(engine.answer(STRANGER))
    before = engine.counters()

    replies = list(engine.answer(forked))

    after = engine.counters()
    tree = after.tree_tokens - before.tree_tokens
    # The beginning of every prompt, up to the first words, is still there from the stranger.
    assert tree - 30 < computed(replies) <= tree
    assert after.naive_tokens - before.naive_tokens > 3 * computed(replies)


def test_in_the_order_of_the_unit_it_computes_more(llama, open_at, forked):
    engine = open_at(llama)
    list(engine.answer(STRANGER))
    best = computed(engine.answer(forked))
    list(engine.answer(STRANGER))

    replies = [reply for one in forked.requests for reply in engine.answer(Unit("forked", (one,)))]

    assert computed(replies) > 1.5 * best


def test_several_slots_answer_side_by_side_and_share_nothing(llama_of, open_at, forked):
    engine = open_at(llama_of(find_embedded().gguf, slots=2))

    replies = list(engine.answer(forked))

    assert {reply.status for reply in replies} <= {"ok", "truncated"}
    assert len(replies) == len(forked.requests)
    assert any("has 2 slots" in line for line in engine.identity().warnings)
    assert computed(replies) > 1.3 * engine.counters().tree_tokens


LONG = (Message("user", "Remember this number: 44. " * 400),)


def test_llama_cpp_itself_finds_a_prompt_too_long(llama, open_at):
    (reply,) = open_at(llama, tokenizer=False).answer(Unit("d", (Request("q", LONG, "generate"),)))

    assert (reply.status, reply.reason, reply.text) == ("too_long", "server", None)
    assert "exceeds the available context size" in reply.error_message


def test_a_policy_is_applied_before_anything_is_sent(llama, open_at):
    turns = (*LONG, Message("assistant", "Noted."), Message("user", "Hello."))
    unit = Unit("d", (Request("q", turns, "generate", max_new_tokens=4),))

    full, cut = (
        next(open_at(llama, policy=policy).answer(unit))
        for policy in (FULL, Policy("last-tokens", 500))
    )

    assert (full.status, full.reason) == ("too_long", "local")
    assert cut.dropped_turns == 1
    assert cut.prompt_tokens < 100
    assert cut.status in {"ok", "truncated"}


def test_transformers_serve_gives_the_answers_of_the_hf_engine(serve, open_at, unit, plain):
    engine = open_at(serve)
    few = Unit("d", only(unit, "generate").requests[:3])

    mine = by_key(engine.answer(few))

    for key, own in mine.items():
        reply = plain[key]
        assert (own.status, own.text, own.prompt_tokens) == (
            reply.status,
            reply.text,
            reply.prompt_tokens,
        )
    assert engine.counters().forward_tokens is None
    assert "repetition_penalty" in engine.identity().engine.refused_fields
    assert any("penalty not pinned" in line for line in engine.identity().warnings)


def test_transformers_serve_cannot_rank_and_says_why(serve, open_at, unit):
    engine = open_at(serve)

    assert "gives no log-probabilities" in engine.abilities().rank_refusal
    with pytest.raises(EngineError, match="cannot rank candidates"):
        list(engine.answer(unit))


def test_a_prompt_too_long_for_transformers_serve_is_found_here(serve, open_at):
    prompt = (Message("user", "Remember this number: 44. " * 1500),)

    (reply,) = open_at(serve).answer(Unit("d", (Request("q", prompt, "generate"),)))

    assert (reply.status, reply.reason) == ("too_long", "local")
    assert "the context window has 8192" in reply.error_message


def test_both_servers_count_the_same_tokens_and_give_the_same_answer(serve, exact_llama, open_at):
    messages = (
        Message("user", "My cat is called Biscuit."),
        Message("assistant", "What a lovely name."),
        Message("user", "What is the name of my cat?"),
    )
    unit = Unit("d", (Request("q", messages, "generate", max_new_tokens=16),))

    one, other = (
        next(open_at(place, tokenizer=False).answer(unit)) for place in (serve, exact_llama)
    )

    assert one.prompt_tokens == other.prompt_tokens
    assert one.text == other.text
    assert "Biscuit" in one.text


@pytest.mark.parametrize(("name", "mode"), [("llama", "both"), ("serve", "generate")])
def test_a_run_is_typed_as_any_other(name, mode, request, tmp_path):
    place = request.getfixturevalue(name)
    words = ["run", "--model", f"smol=openai:{place.model}", "--base-url", place.url]
    words += ["--suite", "quick", "--limit", "1", "--lengths", "1", "--lang", "en"]
    words += ["--family", "fact_recall", "--max-new-tokens", "12", "--mode", mode]
    words += ["-M", "tokenizer=embedded", "--run-id", "one", "--condition", "main"]

    done = subprocess.run(
        [str(BIN / "qwen-bench"), *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **QUIET, "OPENAI_API_KEY": "sk-secret-4711"},
    )

    assert done.returncode == 0, done.stderr
    rows = read_run(tmp_path / "runs/one").outcomes
    assert rows
    assert {row.status for row in rows} <= {"ok", "truncated"}
    assert {row.mode for row in rows} == ({"generate", "rank"} if mode == "both" else {"generate"})
    manifest = json.loads((tmp_path / "runs/one/manifest.json").read_text())
    assert manifest["engine"]["name"] == "openai"
    written = "".join(path.read_text() for path in (tmp_path / "runs/one").iterdir())
    assert "sk-secret-4711" not in written + done.stdout + done.stderr
