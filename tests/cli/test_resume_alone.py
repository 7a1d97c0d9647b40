"""`--resume` with nothing named continues what was interrupted last, as it was typed then."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import qwen_bench
from qwen_bench.errors import InputError
from qwen_bench.runs.manifest_file import read_manifest
from qwen_bench.runs.recorder import locked
from qwen_bench.solvers.solver_engine import SolverEngine

SMALL = ("--suite", "quick", "--limit", "1", "--lengths", "1,2", "--lang", "en")
ROWS = 182


@pytest.fixture
def stop(monkeypatch, call):
    """`stop(5, "run", ...)`: a command that Ctrl-C ends after so many answers; `of` one solver."""
    plain = SolverEngine._reply

    def stop(after, *words, of=None):
        answered = []

        def reply(self, request):
            if of in {None, self._name}:
                if len(answered) == after:
                    raise KeyboardInterrupt
                answered.append(request)
            return plain(self, request)

        with monkeypatch.context() as patched:
            patched.setattr(SolverEngine, "_reply", reply)
            called = call(*words)
        assert called.code == 130, called.err
        return called

    return stop


def runs():
    """Status and number of rows of each run folder by label of its model."""
    found = {}
    for folder in sorted(Path("runs").iterdir()):
        manifest = read_manifest(folder)
        rows = len((folder / "results.jsonl").read_text().splitlines())
        found[manifest.model.label] = (manifest.status, rows)
    assert len(found) == len(list(Path("runs").iterdir()))
    return found


def test_the_newest_unfinished_run_is_finished_with_what_was_typed_then(call, stop):
    stop(57, "run", "--model", "mock:oracle", *SMALL, "--max-new-tokens", "9", "--json", "out.json")

    called = call("run", "--resume")

    assert called.code == 0, called.err
    assert runs() == {"oracle": ("finished", ROWS)}
    assert re.search(
        r"^continuing: qwen-bench run --model mock:oracle .* --json out.json --resume runs/",
        called.err,
        re.MULTILINE,
    )
    assert json.loads(Path("out.json").read_text())["label"] == "oracle"


def test_its_dry_run_counts_the_same_and_asks_nothing(call, stop):
    stop(57, "run", "--model", "mock:oracle", *SMALL)

    called = call("run", "--resume", "--dry-run")

    assert f"oracle: 57 answers are there, {ROWS - 57} to ask\n" in called.out
    assert runs() == {"oracle": ("interrupted", 57)}


def test_what_is_typed_now_counts_before_what_was_typed_then(call, stop):
    stop(5, "run", "--model", "mock:oracle", *SMALL)

    called = call("run", "--resume", "--limit", "2", "--html", "page.html", "-q")

    assert called.code == 0
    assert runs() == {"oracle": ("finished", 2 * ROWS)}
    assert Path("page.html").is_file()


def test_a_comparison_is_continued_as_a_comparison(call, stop):
    words = ("--model", "mock:blind", "--baseline", "mock:oracle", *SMALL, "--gate", "diff>=0")
    stop(5, "run", *words, of="blind")

    called = call("run", "--resume")

    assert called.code == 3, called.err
    assert runs() == {"oracle": ("finished", ROWS), "blind": ("finished", ROWS)}
    assert "1 gate not met (diff>=0)" in called.err


def test_a_comparison_that_stopped_at_its_baseline_goes_on_to_the_candidate(call, stop):
    stop(5, "run", "--model", "mock:window-4", "--baseline", "mock:oracle", *SMALL)

    called = call("run", "--resume")

    assert called.code == 0, called.err
    assert runs() == {"oracle": ("finished", ROWS), "window-4": ("finished", ROWS)}


def test_a_run_that_was_stopped_again_is_continued_the_same_way(call, stop):
    stop(5, "run", "--model", "mock:window-4", "--baseline", "mock:oracle", *SMALL)
    again = stop(5, "run", "--resume", of="window-4")

    called = call("run", "--resume")

    assert called.code == 0, called.err
    assert runs() == {"oracle": ("finished", ROWS), "window-4": ("finished", ROWS)}
    assert re.search("continue: qwen-bench run --model mock:window-4 --baseline", again.err)


def test_the_line_that_is_printed_continues_it_as_well(call, stop):
    stopped = stop(5, "run", "--model", "mock:window-4", "--baseline", "mock:oracle", *SMALL)
    line = re.search("continue: qwen-bench (.*)", stopped.err)[1]

    called = call(*shlex.split(line))

    assert called.code == 0, called.err
    assert len(runs()) == 2


def test_of_several_unfinished_runs_the_one_worked_on_last_goes_on_and_the_others_are_named(
    call, stop
):
    stop(5, "run", "--model", "mock:oracle", *SMALL, "--run-id", "first")
    stop(5, "run", "--model", "mock:blind", *SMALL, "--run-id", "second")
    for name, started in (("first", "2026-11-30T10:00:00Z"), ("second", "2026-11-30T09:00:00Z")):
        path = Path("runs", name, "manifest.json")
        text = path.read_text()
        path.write_text(re.sub(r'"started": "[^"]*"', f'"started": "{started}"', text))

    called = call("run", "--resume")

    assert "also unfinished: second; --resume RUN continues another one" in called.err
    assert runs() == {"oracle": ("finished", ROWS), "blind": ("interrupted", 5)}


def test_a_run_that_another_process_writes_to_is_left_to_it(call, stop):
    stop(5, "run", "--model", "mock:oracle", *SMALL, "--run-id", "busy")

    with locked(Path("runs/busy"), started="2026-11-30T10:00:00Z"):
        called = call("run", "--resume")

    assert called.code == 2
    assert "error: runs holds no unfinished run to resume" in called.err
    assert "why: runs/busy is being written by another process" in called.err


def test_without_an_unfinished_run_nothing_is_begun(call, ask):
    empty = call("run", "--resume")
    ask("oracle", run_id="one")
    finished = call("run", "--resume")
    dry = call("run", "--resume", "--dry-run")

    assert [item.code for item in (empty, finished, dry)] == [2, 2, 2]
    assert "why: it holds no run at all" in empty.err
    assert "why: the newest is runs/one, which is finished" in finished.err
    assert "qwen-bench run --resume runs/one --limit N" in finished.err
    assert list(runs()) == ["oracle"]


def test_a_check_is_continued_by_check_and_run_names_that_command(call, stop):
    words = ("--model", "mock:window-4", "--baseline", "mock:oracle", *SMALL)
    stop(5, "check", *words, "--fail-on", "never")

    refused = call("run", "--resume")
    called = call("check", "--resume")

    assert refused.code == 2
    assert "was begun by qwen-bench check" in refused.err
    assert "fix: qwen-bench check --resume" in refused.err
    assert called.code == 0, called.err
    assert "the verdict decides nothing with --fail-on never" in called.err
    assert Path("qwen-bench-report/compare.json").is_file()


def test_a_run_begun_with_a_secret_is_continued_by_typing_it_again(call, stop):
    stop(5, "run", "--model", "mock:oracle", *SMALL, "--run-id", "one")
    path = Path("runs/one/manifest.json")
    text = json.loads(path.read_text())
    text["invocations"][0]["args_passed"]["base_url"] = "http://***@host/v1"
    path.write_text(json.dumps(text))

    called = call("run", "--resume")

    assert called.code == 2
    assert "runs/one was given a secret, which is not kept" in called.err
    assert "qwen-bench run --model mock:oracle" in called.err


def test_with_a_model_or_a_suite_named_it_means_the_newest_run_with_these_settings(call, stop):
    stop(5, "run", "--model", "mock:oracle", *SMALL)

    called = call("run", "--model", "mock:blind", *SMALL, "--resume")

    assert "nothing to resume for blind, starting a new run" in called.err
    assert runs() == {"oracle": ("interrupted", 5), "blind": ("finished", ROWS)}


def test_a_dry_run_looks_for_the_settings_that_the_run_will_look_for(call, stop):
    stop(57, "run", "--model", "mock:oracle", *SMALL, "--max-new-tokens", "9")
    words = ("run", "--model", "mock:oracle", *SMALL, "--resume", "--dry-run")

    other = call(*words)
    same = call(*words, "--max-new-tokens", "9")

    assert f"oracle: 0 answers are there, {ROWS} to ask\n" in other.out
    assert f"oracle: 57 answers are there, {ROWS - 57} to ask · continues runs/" in same.out


def test_a_dry_run_refuses_what_the_run_would_refuse(call, stop):
    stop(5, "run", "--model", "mock:oracle", *SMALL, "--run-id", "one")
    words = ("run", "--resume", "one", "--seed", "3")

    dry = call(*words, "--dry-run")
    real = call(*words)

    assert (dry.code, real.code) == (5, 5)
    assert real.err.endswith(dry.err)


def test_a_dry_run_counts_what_the_run_had_beside_what_is_asked_now(call, stop):
    stop(57, "run", "--model", "mock:oracle", *SMALL, "--run-id", "one")
    words = ("run", "--resume", "one", "--lengths", "1")

    dry = call(*words, "--dry-run")
    call(*words)

    assert f"57 answers are there, {ROWS - 57} to ask" in dry.out
    assert runs() == {"oracle": ("finished", ROWS)}


def test_a_run_folder_named_with_several_models_belongs_to_the_one_that_made_it(call, stop):
    stop(5, "run", "--model", "mock:window-4", *SMALL, "--run-id", "one")
    words = ("--model", "mock:window-4", "--baseline", "mock:oracle", *SMALL, "--resume", "one")

    called = call("run", *words)

    assert called.code == 0, called.err
    assert runs() == {"oracle": ("finished", ROWS), "window-4": ("finished", ROWS)}


def test_a_run_folder_that_none_of_several_models_made_is_refused(call, ask):
    ask("blind", run_id="one")

    called = call("run", "--model", "mock:window-4", "--model", "mock:oracle", "--resume", "one")

    assert called.code == 2
    assert "--resume one" not in called.out
    assert "none of the models given made that run" in called.err
    assert "why: it was made by mock:blind" in called.err


def test_python_continues_what_the_command_line_began(stop):
    stop(5, "run", "--model", "mock:oracle", *SMALL)

    done = qwen_bench.run(resume="latest")

    assert len(done.run.outcomes) == ROWS
    assert runs() == {"oracle": ("finished", ROWS)}


def test_a_run_with_an_engine_of_pythons_own_is_continued_there(call):
    from qwen_bench.testing import ScriptedEngine

    def answer(_):
        raise KeyboardInterrupt

    call("probes", "list")
    with pytest.raises(Exception, match="0 of"):
        qwen_bench.run(ScriptedEngine(answer), suite="quick", limit=1, lengths=(1,), lang="en")

    called = call("run", "--resume")

    assert called.code == 2
    assert "was begun from Python with an engine of its own" in called.err
    with pytest.raises(InputError, match="engine of its own"):
        qwen_bench.run(resume="latest")


def test_a_local_models_run_is_found_by_dry_run_and_run_alike(call, tmp_path):
    from qwen_bench.testing import tiny_checkpoint

    folder = tiny_checkpoint(tmp_path / "tiny")
    words = ("--model", folder, *SMALL, "--family", "fact_recall", "--max-new-tokens", "2")
    assert call("run", *words, "-q").code == 0

    more = ((), ("--system", "none"), ("--chat-template", "chatml"), ("--dtype", "bfloat16"))
    told = {extra: call("run", *words, *extra, "--resume", "--dry-run").out for extra in more}

    # The template of the tiny model is the built-in one.
    found = [bool(re.search(r"[1-9]\d* answers are there, 0 to ask", out)) for out in told.values()]
    assert found == [True, False, True, False]


def test_nothing_named_begins_nothing_and_shows_what_can_be_named(call):
    called = call("run")

    assert called.code == 2
    assert "error: nothing is named; suite core has 20,720 probes" in called.err
    assert "hours on a CPU" in called.err
    assert re.search(r"qwen-bench run --suite demo +# 180 probes", called.err)
    assert re.search(r"qwen-bench run --suite core +# 20,720 probes", called.err)
    assert not Path("runs").exists()


def test_an_output_alone_names_nothing(call):
    assert call("run", "--html", "page.html", "-q").code == 2
    assert not list(Path().iterdir())


def test_python_is_told_the_same(call):
    call("probes", "list")

    with pytest.raises(InputError, match="nothing is named"):
        qwen_bench.run()


def test_the_time_of_the_embedded_model_is_said_before_a_long_run(call, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("qwen_bench.app.recording.open_engines", stop)

    long = call("run", "--suite", "core", "--lang", "en")
    short = call("run", "--suite", "quick")

    assert "10,360 answers of the embedded model take hours on a CPU; shorter: --suite quick" in (
        long.err
    )
    assert "answers of the embedded model" not in short.err


def test_a_killed_run_is_unfinished_too(tmp_path):
    code = (
        "import os, sys\n"
        "from qwen_bench.solvers.solver_engine import SolverEngine\n"
        "from qwen_bench.cli.main import main\n"
        "plain, seen = SolverEngine._reply, []\n"
        "def reply(self, request):\n"
        "    seen.append(request)\n"
        "    return os._exit(9) if len(seen) == 50 else plain(self, request)\n"
        "if sys.argv[1] != '--resume': SolverEngine._reply = reply\n"
        "sys.exit(main(['run', '-q', *sys.argv[1:]]))"
    )

    def started(*words):
        command = [sys.executable, "-c", code, *words]
        return subprocess.run(command, cwd=tmp_path, env=os.environ, check=False).returncode

    assert started("--model", "mock:oracle", *SMALL) == 9
    assert started("--resume") == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert read_manifest(folder).status == "finished"
