"""The real harness on the embedded model: the prompts, answers and scores are our own.

Two runs of the harness (the embedded model and an adapter on it), one through a real server, and
the same probes asked by our own engine; about four minutes on two cores.
"""

import hashlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from qwen_bench.chat.messages import as_dicts
from qwen_bench.engines.embedded import embedded_folder
from qwen_bench.lm_eval.documents import probe_of
from qwen_bench.lm_eval.generate import folder
from qwen_bench.runs.store import read_run

pytestmark = [
    pytest.mark.lm_eval,
    pytest.mark.model,
    pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="needs lm-eval"),
]
BIN = Path(sys.executable).parent
CHOICE = {"suite": "quick", "lang": ["en"], "limit": 4}
BUDGET = 8
BOTH = ("fact_recall", "pronoun")
# Threads that spin while they wait take the cores from whatever else runs.
QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("harness")


@pytest.fixture(scope="module")
def model():
    return embedded_folder()


@pytest.fixture(scope="module")
def adapter(place, model):
    """A random LoRA adapter: another model, that answers differently."""
    import numpy as np
    from safetensors.numpy import save_file

    target = place / "adapter"
    target.mkdir()
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8}
    config |= {"target_modules": ["q_proj", "v_proj"], "base_model_name_or_path": str(model)}
    (target / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    shape = json.loads((model / "config.json").read_text("utf-8"))
    width = shape["hidden_size"]
    head = width // shape["num_attention_heads"]
    stream = np.random.default_rng(1)
    tensors = {}
    for layer in range(shape["num_hidden_layers"]):
        for name, heads in (("q", "num_attention_heads"), ("v", "num_key_value_heads")):
            key = f"base_model.model.model.layers.{layer}.self_attn.{name}_proj.lora_"
            for part, size in (("A", (4, width)), ("B", (head * shape[heads], 4))):
                noise = stream.normal(0, 0.03 if part == "A" else 0.3, size)
                tensors[f"{key}{part}.weight"] = noise.astype(np.float32)
    save_file(tensors, target / "adapter_model.safetensors")
    return target


@pytest.fixture(scope="module")
def ask(lm_eval, place):
    """`ask(name, tasks, "hf", arguments)`: a run of the harness; the folder of its log."""

    def ask(name, tasks, kind, arguments, **settings):
        lm_eval(
            *("run", "--model", kind, "--model_args", arguments, "--tasks", tasks),
            *("--include_path", folder(), "--apply_chat_template", "--batch_size", "1"),
            *("--metadata", json.dumps({"qwen_bench": CHOICE | settings})),
            *("--gen_kwargs", f"max_gen_toks={BUDGET}", "--device", "cpu"),
            *("--output_path", place / name, "--log_samples"),
            cwd=place,
        )
        (found,) = (place / name).iterdir()
        return found

    return ask


def tasks_of(*kinds):
    return [f"qwen_bench_{kind}{name}_h1" for kind in kinds for name in BOTH]


@pytest.fixture(scope="module")
def base_log(ask, model):
    arguments = f"pretrained={model},dtype=float32,max_length=8192"
    return ask("base", ",".join(["qwen_bench_quick_h1", *tasks_of("rank_")]), "hf", arguments)


@pytest.fixture(scope="module")
def tuned_log(ask, model, adapter):
    arguments = f"pretrained={model},peft={adapter},dtype=float32,max_length=8192"
    return ask("tuned", ",".join(tasks_of("", "rank_")), "hf", arguments)


@pytest.fixture(scope="module")
def server(place, model):
    """`transformers serve` on a free port of this machine: address of its chat endpoint."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [BIN / "transformers", "serve", model, "--host", "127.0.0.1", "--port", str(port)]
    words += ["--device", "cpu", "--dtype", "float32"]
    with (place / "server.log").open("w") as log:
        process = subprocess.Popen(
            [str(word) for word in words], stdout=log, stderr=log, env={**os.environ, **QUIET}
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}/v1/chat/completions"
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(process, address):
    for _ in range(240):
        assert process.poll() is None, "the server ended early"
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - loopback
                assert answer.status == 200
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    pytest.fail("the server did not start")


@pytest.fixture(scope="module")
def server_log(ask, server, model):
    arguments = f"model={model},base_url={server},num_concurrent=1"
    return ask(
        "served", "qwen_bench_quick_h1", "local-chat-completions", arguments, openai_only=True
    )


def run_ours(place, *words):
    """A run of our own with the selection of the logs."""
    command = [BIN / "qwen-bench", "run", "--suite", "quick", "--lang", "en", "--limit", "4"]
    command += ["--lengths", "1", "--condition", "main", "--max-new-tokens", str(BUDGET)]
    done = subprocess.run(
        [str(word) for word in (*command, *words)],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **QUIET},
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def own(place):
    """Our own run of the 56 probes, rows by id."""
    run_ours(place, "--model", "embedded", "--mode", "generate", "--run-id", "own")
    return {row.probe_id: row for row in read_run(place / "runs/own").outcomes}


def samples(log):
    """Samples of the generating tasks by probe id."""
    lines = [
        json.loads(line)
        for path in log.glob("samples_*")
        if "_rank_" not in path.name
        for line in path.read_text("utf-8").splitlines()
    ]
    return {line["doc"]["id"]: line for line in lines}


def check_answers(found, own):
    """Answers are equal; scores too, but where a rule judges a reply that was cut."""
    assert found.keys() == own.keys()
    assert len(found) == 56
    for key, sample in found.items():
        assert sample["resps"][0][0] == own[key].output
        if not (own[key].family == "instruction_retention" and own[key].status == "truncated"):
            assert sample["retained"] == own[key].score


def test_prompts_answers_and_scores_of_56_probes_are_our_own(base_log, own):
    found = samples(base_log)

    check_answers(found, own)
    for key, sample in found.items():
        prompt = sample["arguments"]["gen_args_0"]["arg_0"]
        assert hashlib.sha256(prompt.encode()).hexdigest() == own[key].prompt_sha256


def test_a_server_gets_the_same_messages_and_gives_the_same_answers(server_log, own):
    found = samples(server_log)

    check_answers(found, own)
    for sample in found.values():
        (sent,) = sample["arguments"]["gen_args_0"]["arg_0"]
        messages = [{key: m[key] for key in ("role", "content")} for m in json.loads(sent)]
        assert messages == as_dicts(probe_of(sample["doc"]).messages)


def test_two_imported_logs_compare_as_our_own_two_runs(base_log, tuned_log, adapter, place):
    families = [word for name in BOTH for word in ("--family", name)]
    run_ours(
        place,
        *("--baseline", "base=embedded", "--model", f"tuned=embedded+{adapter}"),
        *("--mode", "both", "--json", "own.json", *families),
    )
    for name, log in (("base", base_log), ("tuned", tuned_log)):
        names = tuple(f"samples_{task}_2" for task in tasks_of("", "rank_"))
        files = [path for path in log.glob("samples_*") if path.name.startswith(names)]
        command(place, "import-lm-eval", *files, "--run-id", name)
    command(place, "compare", "base", "tuned", "--json", "imported.json")
    own = json.loads((place / "own.json").read_text("utf-8"))["candidates"][0]
    imported = json.loads((place / "imported.json").read_text("utf-8"))["candidates"][0]

    # A log of the harness does not count the tokens of prompts.
    for document in (own, imported):
        for mode in document["modes"].values():
            mode.pop("by_tokens", None)
    # Log-probabilities are sums in another order, so their last digits differ; the choices do not.
    for name in ("modes", "verdict", "note", "more_probes", "primary"):
        assert imported[name] == own[name], name
    flips = [key for mode in imported["modes"].values() for key in mode["lost_ids"]]
    assert flips


def command(place, *words):
    done = subprocess.run(
        [str(BIN / "qwen-bench"), *map(str, words)],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **QUIET},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_commands_of_the_harness_know_the_tasks(lm_eval):
    listed = lm_eval("ls", "tasks", "--include_path", folder())
    assert "qwen_bench_fact_recall_h8" in listed
    assert "qwen_bench_full" in listed

    tasks = "qwen_bench,qwen_bench_rank_pronoun_h2"
    valid = lm_eval("validate", "--tasks", tasks, "--include_path", folder())
    assert "All tasks found and valid" in valid


def test_a_limit_of_ten_works(lm_eval, place):
    said = lm_eval(
        *("run", "--model", "hf", "--include_path", folder(), "--apply_chat_template"),
        *("--model_args", f"pretrained={_tiny(place)},max_length=1024", "--device", "cpu"),
        *("--tasks", "qwen_bench_rank_fact_recall_h1", "--limit", "10"),
        *("--metadata", json.dumps({"qwen_bench": CHOICE})),
    )

    assert "retained" in said
    assert "cuts through a skeleton" not in said


def _tiny(place):
    from qwen_bench.testing import tiny_checkpoint

    return tiny_checkpoint(place / "tiny")
