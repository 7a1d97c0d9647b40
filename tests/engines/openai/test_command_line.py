"""Whole runs against a server, as they are typed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qwen_bench.cli.main import main
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.registry import open_config, open_prompter
from qwen_bench.errors import InputError
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite

SMALL = ("--suite", "quick", "--limit", "1", "--lengths", "1", "--lang", "en", "--family", "f*")
SECRET = "sk-very-secret-4711"  # noqa: S105 - that is the point


@pytest.fixture
def run(server, tmp_path, monkeypatch, capsys):
    """`run("--mode", "generate")`: (exit code, stderr) of a small run on the fake server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)

    def call(*words, url=server.url):
        where = ("--base-url", url) if url else ()
        code = main(["run", "--model", "openai:m", *SMALL, *where, *map(str, words)])
        return code, capsys.readouterr().err

    return call


def test_a_run_is_recorded_like_any_other_and_holds_no_secret(run, server, tmp_path, act, answer):
    server.chat = lambda _: act(answer("Biscuit.", cached=4))

    code, said = run("--mode", "generate", "--run-id", "one")

    folder = tmp_path / "runs/one"
    manifest = json.loads((folder / "manifest.json").read_text())
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert code == 0, said
    assert manifest["model"]["kind"] == "openai"
    assert manifest["model"]["fingerprint"].startswith("unverified:")
    assert manifest["engine"]["base_url"] == server.url
    assert {(row["status"], row["output"]) for row in rows} == {("ok", "Biscuit.")}
    written = "".join(path.read_text() for path in folder.iterdir()) + said
    assert SECRET not in written
    assert "penalty not pinned" in said


def test_a_run_that_failed_in_part_can_be_mended(run, server, act, answer):
    usual = server.usual
    server.chat = lambda _: act(answer("Yes."))
    count = iter(range(1000))
    server.act = lambda heard: (
        act({"error": "x"}, 500, {"retry-after-ms": "1"})
        if len(heard.body.get("messages", ())) > 2 and next(count) < 1
        else usual(heard)
    )

    code, said = run("--mode", "generate", "--run-id", "one", "-M", "max_retries=0")
    assert code == 1
    assert "--retry-errors" in said

    code, said = run("--mode", "generate", "--resume", "runs/one", "--retry-errors")
    assert code == 0, said


def test_ranking_without_log_probabilities_is_refused_before_anything_is_asked(
    run, server, tmp_path
):
    code, said = run("--mode", "both")

    assert code == 1
    assert "cannot rank candidates; nothing was asked" in said
    assert "--mode generate" in said
    assert not (tmp_path / "runs").exists()
    assert all(len(body["messages"]) < 3 for body in server.asked())


def test_no_address_is_a_mistake_of_usage(run, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    code, said = run("--mode", "generate", url=None)

    assert code == 2
    assert "no server address; pass --base-url or set OPENAI_BASE_URL" in said


def test_the_address_may_come_from_the_environment(run, server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)

    assert run("--mode", "generate", url=None)[0] == 0


def test_prompts_can_be_shown_with_the_tokenizer_of_the_model(checkpoints):
    spec = parse_spec("openai:m")
    options = EngineOptions(model_args={"tokenizer": str(checkpoints["qwen2"])})

    assert open_prompter(spec, options).text_tokens("red") > 0
    with pytest.raises(InputError, match="the tokenizer is on the server"):
        open_prompter(spec, EngineOptions())
    with pytest.raises(InputError, match="a server has no configuration here"):
        open_config(spec, options)


@pytest.mark.parametrize("name", ["mock:oracle", "openai:other"])
def test_a_tokenizer_is_that_of_a_model_here(name):
    options = EngineOptions(model_args={"tokenizer": name})

    with pytest.raises(InputError, match="not a model with a tokenizer"):
        open_prompter(parse_spec("openai:m"), options)


class TestSpec:
    @pytest.mark.parametrize(
        "name", ["m", "Qwen/Qwen3-8B", "lora+v3", "org/m:free", "m@2024", "./x"]
    )
    def test_everything_after_the_colon_is_one_name(self, name):
        spec = parse_spec(f"openai:{name}")

        assert (spec.kind, spec.name, spec.label) == ("openai", name, None)

    def test_a_label_may_stand_before_it(self):
        spec = parse_spec("big=openai:Qwen/Qwen3-8B")

        assert (spec.kind, spec.name, spec.default_label) == ("openai", "Qwen/Qwen3-8B", "big")

    def test_a_name_is_needed(self):
        with pytest.raises(InputError, match="openai: names no model; write openai:NAME"):
            parse_spec("openai:")

    def test_an_adapter_cannot_be_put_on_a_server(self):
        assert parse_spec("openai:m+./adapter").kind == "openai"


def test_without_the_sdk_the_extra_is_named(server):
    code = (
        "import sys\n"
        "sys.modules['openai'] = None\n"
        "import importlib.util as u\n"
        "found = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'openai' else found(name, *rest)\n"
        "from qwen_bench.cli.main import main\n"
        f"sys.exit(main(['run', '--model', 'openai:m', '--base-url', '{server.url}']))\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "this needs the package openai, which is not installed" in done.stderr
    assert "pip install 'qwen-bench[api]'" in done.stderr
    assert server.heard == []


def test_the_sdk_is_loaded_only_for_a_server():
    code = (
        "import sys, qwen_bench.engines.registry, qwen_bench.engines.openai.address; "
        "print(sorted({'openai', 'httpx', 'httpx2', 'torch'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


class TestAnswersInAnyForm:
    """Runs on a server whose model knows every answer, and that sends it in some form."""

    @pytest.fixture
    def knowing(self, server, act, answer):
        """`knowing(form)`: the message of an answer has the fields of `form(right answer)`."""
        chosen = Selection(
            lengths=(1,), families=("f*",), conditions=("main",), langs=("en",), limit=1
        )
        golds = {
            tuple(message.content for message in asked.messages): asked.probe.gold
            for dialogue in build_suite("quick", chosen).dialogues()
            for asked in dialogue.probes
        }

        def answer_with(form):
            def chat(body):
                gold = golds.get(tuple(item["content"] for item in body["messages"]), "Hello.")
                return act(answer(**{"text": None, **form(gold)}))

            server.chat = chat

        return answer_with

    @pytest.fixture
    def ask(self, run):
        """A small run under the name `one`; what it is called with, and its rows."""

        def ask(*words):
            called = run("--condition", "main", "--mode", "generate", *words)
            lines = Path("runs/one/results.jsonl").read_text().splitlines()
            return *called, [json.loads(line) for line in lines]

        return ask

    def test_answers_in_parts_are_scored_as_the_same_text_is(self, knowing, ask):
        knowing(
            lambda gold: {
                "text": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "Nobody."}]},
                    {"type": "text", "text": f"It is {gold}"},
                    {"type": "output_text", "text": "."},
                ]
            }
        )

        code, said, rows = ask("--run-id", "one")

        assert code == 0, said
        assert {row["status"] for row in rows} == {"ok"}
        assert {row["score"] for row in rows} == {1}

    def test_answers_that_stand_in_the_reasoning_alone_end_the_run(self, knowing, ask):
        knowing(lambda gold: {"reasoning_content": gold})

        code, said, rows = ask("--run-id", "one")

        assert code == 1
        assert re.search(
            r"error: m: (\d+) of \1 answers could not be read \(100.0 %, limit 5 %\)", said
        )
        assert "ReasoningOnly, the first: the server sent reasoning_content alone: " in said
        assert said.count("warning: m: an answer could not be read: the server sent ") == 1
        assert said.index("could not be read") < said.index("100 %")
        assert "--reasoning-parser" in said
        assert "qwen-bench run --resume runs/one --retry-errors" in said
        assert {(row["status"], row["reason"], row["score"]) for row in rows} == {
            ("empty", "no_answer", 0)
        }
        assert {row["error"]["type"] for row in rows} == {"ReasoningOnly"}

    def test_unread_answers_are_asked_again_once_the_server_is_mended(self, knowing, ask):
        knowing(lambda _: {"tool_calls": [{"type": "function", "function": {"name": "f"}}]})
        code, said, rows = ask("--run-id", "one")
        assert code == 1
        assert "ToolCallOnly" in said
        assert "--enable-auto-tool-choice" in said
        knowing(lambda gold: {"text": gold})

        code, said, both = ask("--resume", "runs/one", "--retry-errors")

        assert code == 0, said
        assert both[: len(rows)] == rows
        assert {(row["score"], row["attempt"]) for row in both[len(rows) :]} == {(1, 2)}
        summary = json.loads(Path("runs/one/summary.json").read_text())
        assert summary["modes"]["generate"]["overall"]["accuracy"] == 1
        assert summary["modes"]["generate"]["overall"]["empty"] == 0

    def test_a_run_of_answers_taken_for_thoughts_is_not_continued_without_thoughts(
        self, knowing, ask
    ):
        knowing(lambda gold: {"reasoning_content": gold})
        _, said, rows = ask("--run-id", "one")
        assert "without --resume, as a new run" in said
        knowing(lambda gold: {"text": gold})

        code, said, left = ask("--resume", "runs/one", "--retry-errors")

        assert (code, left) == (5, rows)
        assert "template.thinking.effective" in said
        assert "or leave --resume out: that starts a new run" in said

    def test_they_can_be_accepted_and_are_then_counted_and_named(self, knowing, ask, capsys):
        knowing(lambda _: {"tool_calls": [{"type": "function", "function": {"name": "f"}}]})

        code, said, rows = ask("--run-id", "one", "--max-unread-rate", "100")

        number = len(rows)
        assert code == 0, said
        assert f"warning: {number} of {number} answers are empty and count as wrong" in said
        assert f"{number} could not be read, the first: the server sent tool_calls alone" in said
        summary = json.loads(Path("runs/one/summary.json").read_text())
        assert summary["modes"]["generate"]["overall"]["empty"] == number
        knowing(lambda gold: {"text": gold})
        ask("--run-id", "two")
        assert main(["compare", "runs/two", "runs/one"]) == 1
        assert "could not be read" in capsys.readouterr().err
        assert main(["compare", "runs/one", "runs/two", "--max-unread-rate", "100"]) == 0
        assert f"{number} empty" in capsys.readouterr().out

    def test_a_model_that_says_nothing_is_counted_and_does_not_end_the_run(self, knowing, ask):
        knowing(lambda _: {"text": ""})

        code, said, rows = ask("--run-id", "one")

        assert code == 0, said
        assert {(row["status"], row["reason"], row["error"]) for row in rows} == {
            ("empty", "empty", None)
        }
        assert "the model ended its turn without an answer" in said
