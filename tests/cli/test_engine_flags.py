"""Flags that say what computes: they reach the engine, bad ones are refused, none is identity."""

import json
from pathlib import Path

import pytest

from qwen_bench.app.asking import engine_options
from qwen_bench.app.config import RunConfig
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.runs.manifest_file import read_manifest

ASKED = (
    "--suite", "quick", "--limit", "1", "--lengths", "1", "--lang", "en", "--condition", "main",
    "--family", "fact_recall", "--mode", "generate", "--max-new-tokens", "4",
)  # fmt: skip


@pytest.fixture
def checkpoint(tmp_path):
    from qwen_bench.testing import tiny_checkpoint

    return tiny_checkpoint(tmp_path / "tiny")


def test_without_flags_engines_get_their_defaults():
    assert engine_options(RunConfig()) == EngineOptions()


def test_every_flag_reaches_the_engine():
    given = RunConfig(
        engine="vllm",
        replicas=3,
        ray_address="auto",
        base_url="http://localhost:1/v1",
        concurrency=2,
        batch_size=5,
        max_context=9000,
        model_arg=("max_model_len=4096", "enforce_eager=true"),
    )

    found = engine_options(given)

    assert found == EngineOptions(
        engine="vllm",
        replicas=3,
        ray_address="auto",
        base_url="http://localhost:1/v1",
        concurrency=2,
        batch_size=5,
        max_context=9000,
        model_args={"max_model_len": 4096, "enforce_eager": True},
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-M", "attn_impl=sdpa"), "unknown model argument 'attn_impl'; near: attn_implementation"),
        (("-M", "sdpa"), "expected KEY=VALUE"),
        (("-M", "memory=lots"), "'lots' is not bytes"),
        (("-M", "memory=1GB", "--model-arg", "memory=2GB"), "-M memory is given twice"),
        (("-M", "max_model_len=9"), "max_model_len is an argument of the vllm engine"),
        (("--engine", "tgi"), "'tgi' is not one of"),
        (("--batch-size", "0"), "0 is too small"),
        (("--batch-size", "big"), "'big' is not a number"),
        (("--max-context", "0"), "0 is too small"),
        (("--replicas", "0"), "0 is too small"),
        (("--concurrency", "x"), "'x' is not a number"),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_flags_that_cannot_be_are_refused(call, command, words, message):
    called = call(command, "--model", "mock:oracle", "--baseline", "mock:blind", *words)

    assert called.code == 2
    assert message in called.err
    assert not Path("runs").exists()


@pytest.mark.parametrize("command", ["plan", "show"])
def test_other_commands_read_model_arguments_the_same_way(call, command):
    listed = call("probes", "list", "--suite", "demo", "--json", "-")
    probe = json.loads(listed.out)["probes"][0]["id"]
    words = {"plan": ("plan",), "show": ("probes", "show", probe, "--raw")}[command]

    mistyped = call(*words, "-M", "tokenizr=x", "--model", "embedded")
    foreign = call(*words, "-M", "tokenizer=x", "--model", "embedded")

    assert (mistyped.code, foreign.code) == (2, 2)
    assert "near: tokenizer" in mistyped.err
    assert "tokenizer is an argument of the openai engine" in foreign.err


def test_the_address_of_a_server_may_come_from_the_environment(call, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:pass@127.0.0.1:9/v1")

    called = call("run", "--model", "mock:oracle", *ASKED, "--run-id", "one")

    given = read_manifest(Path("runs/one")).invocations[0].args_effective["base_url"]
    assert called.code == 0
    assert given["source"] == "environment"
    assert "pass@" not in Path("runs/one/manifest.json").read_text()


def test_a_resumed_run_keeps_its_engine_flags_and_may_change_them(call, checkpoint):
    words = ("-M", "chunk_tokens=64", "-M", "memory=1GiB", "--batch-size", "4")
    first = call("run", "--model", checkpoint, *ASKED, *words, "--run-id", "one")

    more = call("run", "--resume", "runs/one", "--limit", "2")
    other = call("run", "--resume", "runs/one", "--limit", "3", "--batch-size", "2")

    assert (first.code, more.code, other.code) == (0, 0, 0), first.err + more.err + other.err
    one, two, three = (item.args_effective for item in read_manifest(Path("runs/one")).invocations)
    assert two["model_arg"] == {"value": one["model_arg"]["value"], "source": "run"}
    assert two["batch_size"] == {"value": 4, "source": "run"}
    assert three["batch_size"] == {"value": 2, "source": "command line"}


def test_how_much_is_computed_at_once_changes_no_row(call, checkpoint):
    rows = []
    for name, words in (
        ("whole", ()),
        ("small", ("--batch-size", "1", "-M", "chunk_tokens=16")),
    ):
        call("run", "--model", checkpoint, *ASKED, *words, "--run-id", name)
        lines = Path("runs", name, "results.jsonl").read_text().splitlines()
        rows.append({(row["probe_id"], row["output"]) for row in map(json.loads, lines)})

    assert rows[0] == rows[1]
    identities = {read_manifest(Path("runs", name)).identity for name in ("whole", "small")}
    assert len(identities) == 1


def test_an_address_without_a_model_on_a_server_is_refused(call):
    called = call("run", "--model", "mock:oracle", *ASKED, "--base-url", "http://127.0.0.1:9/v1")

    assert called.code == 2
    assert "--base-url is for models on a server, and none is given" in called.err


def test_a_model_on_a_server_without_an_address_is_refused(call, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    called = call("run", "--model", "openai:m", *ASKED)

    assert called.code == 2
    assert "--base-url" in called.err
    assert "OPENAI_BASE_URL" in called.err
    assert not Path("runs").exists()


def test_a_url_with_hidden_credentials_is_not_taken_over(call, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:pass@127.0.0.1:9/v1")
    call("run", "--model", "mock:oracle", *ASKED, "--run-id", "one")
    monkeypatch.delenv("OPENAI_BASE_URL")

    called = call("run", "--resume", "runs/one", "--limit", "2")

    second = read_manifest(Path("runs/one")).invocations[1].args_effective
    assert called.code == 0, called.err
    assert second["base_url"]["value"] is None


def test_the_help_shows_servers_thoughts_and_several_gpus(call):
    out = call("run", "--help").out

    for part in ("--base-url http", "--thinking on --temperature 0.6", "--replicas 4"):
        assert part in out
