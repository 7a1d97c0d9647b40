"""Killing a writing process: at random times, and at every system call that matters."""

import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from qwen_bench.runs.journal import JOURNAL_NAME, read_journal
from qwen_bench.runs.manifest_file import read_manifest

RUN = ["run", "--model", "mock:window-8", "--suite", "quick", "--limit", "1", "--lengths", "1,2"]
RUN += ["--lang", "en", "-q"]

SLOW = """
import sys, time
from qwen_bench.cli.main import main
from qwen_bench.solvers.solver_engine import SolverEngine
plain = SolverEngine.answer
def answer(self, unit):
    for reply in plain(self, unit):
        time.sleep(0.01)
        yield reply
SolverEngine.answer = answer
sys.exit(main(sys.argv[1:]))
"""

CHOSEN = """
import os, signal, sys
from qwen_bench.cli.main import main
name, number, when = sys.argv[1], int(sys.argv[2]), sys.argv[3]
plain = getattr(os, name)
calls = 0
def wrapped(*arguments, **named):
    global calls
    calls += 1
    if calls == number and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = plain(*arguments, **named)
    if calls == number and when == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(os, name, wrapped)
sys.exit(main(sys.argv[4:]))
"""


def rows(folder):
    return {
        (row.probe_id, row.mode): replace(row, seconds=0.0)
        for row in read_journal(folder / JOURNAL_NAME).outcomes
    }


def call(code, *arguments, cwd):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def child(*arguments, cwd, delay):
    """A process at work that never outlives its test; `delay` seconds an answer."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW.replace("0.01", str(delay)), *arguments],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.stderr.close()
        process.wait()


def wait_for(condition):
    """Until something has happened; the test's own time limit ends it otherwise."""
    while not condition():
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    home = tmp_path_factory.mktemp("whole")
    assert call(SLOW.replace("0.01", "0"), *RUN, "--run-id", "whole", cwd=home).returncode == 0
    return rows(home / "runs" / "whole")


def check_resumed(home, undisturbed):
    """A resume ends with the rows of a run nobody disturbed."""
    folder = home / "runs" / "cut"
    content = read_journal(folder / JOURNAL_NAME)
    assert len({(row.probe_id, row.mode) for row in content.outcomes}) == len(content.outcomes)
    done = call(SLOW.replace("0.01", "0"), "run", "--resume", "runs/cut", "-q", cwd=home)
    assert done.returncode == 0, done.stderr
    assert rows(folder) == undisturbed
    assert read_manifest(folder).status == "finished"
    assert list(folder.glob("*.tmp")) == []


@pytest.mark.crash
@pytest.mark.parametrize("seed", range(6))
def test_a_run_killed_at_a_random_time_is_finished_by_a_resume(tmp_path, undisturbed, seed):
    journal = tmp_path / "runs" / "cut" / JOURNAL_NAME
    seconds = random.Random(seed).uniform(0.0, 1.0)  # noqa: S311 - not a secret

    with child(*RUN, "--run-id", "cut", cwd=tmp_path, delay=0.01):
        wait_for(journal.exists)
        time.sleep(seconds)

    check_resumed(tmp_path, undisturbed)


@pytest.mark.crash
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("name", "number"),
    [
        *(("write", number) for number in (1, 2, 40)),
        *(("fsync", number) for number in (1, 3, 5)),
        *(("replace", number) for number in (1, 2, 3)),
    ],
)
def test_a_run_killed_at_a_chosen_call_is_finished_by_a_resume(
    tmp_path, undisturbed, name, number, when
):
    done = call(CHOSEN, name, str(number), when, *RUN, "--run-id", "cut", cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL
    folder = tmp_path / "runs" / "cut"

    if (folder / "manifest.json").exists():
        check_resumed(tmp_path, undisturbed)
    else:  # killed before there was a run: nothing was promised, nothing is left
        assert not (folder / JOURNAL_NAME).exists()


@pytest.mark.crash
def test_two_processes_on_one_folder_and_the_lock_is_free_after_a_kill(tmp_path, undisturbed):
    journal = tmp_path / "runs" / "cut" / JOURNAL_NAME

    with child(*RUN, "--run-id", "cut", cwd=tmp_path, delay=0.5) as first:
        wait_for(journal.exists)
        second = call(SLOW, "run", "--resume", "runs/cut", "-q", cwd=tmp_path)

    assert second.returncode == 1
    assert f"is in use by process {first.pid} on host" in second.stderr
    check_resumed(tmp_path, undisturbed)


@pytest.mark.crash
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_ends_with_130_and_a_command_that_finishes_the_run(
    tmp_path, undisturbed, number, times
):
    journal = tmp_path / "runs" / "cut" / JOURNAL_NAME
    words = (*RUN[:-1], "--run-id", "cut")
    with child(*words, cwd=tmp_path, delay=0.05) as process:
        wait_for(lambda: journal.exists() and journal.stat().st_size)
        for _ in range(times):
            process.send_signal(number)
            time.sleep(0.05)
        errors = process.stderr.read()
        process.wait()

    assert process.returncode == 130
    lines = errors.strip().splitlines()
    assert "stopping after this batch; press Ctrl-C again to stop now" in lines
    assert lines[-1] == "exit 130: interrupted"
    assert "answers are saved" in lines[-3]
    command = lines[-2].removeprefix("  continue: qwen-bench ")
    assert "--resume runs/cut" in command
    assert read_manifest(tmp_path / "runs" / "cut").status == "interrupted"
    done = call(SLOW.replace("0.01", "0"), *command.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "runs" / "cut") == undisturbed


@pytest.mark.crash
def test_the_command_printed_with_several_models_finishes_them_all(tmp_path):
    store = tmp_path / "runs"
    words = ["run", "--baseline", "mock:oracle", "--model", "mock:window-8", *RUN[3:-1]]
    with child(*words, cwd=tmp_path, delay=0.02) as process:
        wait_for(lambda: list(store.glob("*window-8*/results.jsonl")))
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
        process.wait()
    assert process.returncode == 130
    command = errors.strip().splitlines()[-2].removeprefix("  continue: qwen-bench ")
    assert command.split()[-1] == "--resume"
    base = next(store.glob("*oracle*"))
    before = (base / JOURNAL_NAME).read_bytes()

    done = call(SLOW.replace("0.01", "0"), *command.split(), cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "window-8 against oracle" in done.stdout
    assert len(list(store.iterdir())) == 2
    assert (base / JOURNAL_NAME).read_bytes() == before
