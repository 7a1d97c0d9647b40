"""Whole runs on real Ray workers, through the command line, with faults planted in the workers."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from qwen_bench.cli.main import main
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.protocol import Generation
from qwen_bench.runs.journal import JOURNAL_NAME, read_journal
from qwen_bench.runs.manifest_file import read_manifest
from qwen_bench.runs.runner import units
from qwen_bench.testing import tiny_checkpoint, tiny_model

pytestmark = pytest.mark.ray

LENGTHS = (1, 2)
ASKED = ("--suite", "quick", "--limit", "1", "--lengths", "1,2", "--lang", "en")
ASKED = (*ASKED, "--max-new-tokens", "4", "--device", "cpu", "--display", "plain")
REPLICAS = ("--replicas", "2")

IN_WORKERS = """
import os, signal, sys, time
if any("default_worker.py" in word for word in sys.orig_argv):
    from pathlib import Path
    from qwen_bench.engines.ray import worker
    place = Path(os.environ["FAULTS"])
    plain = worker.Worker.answer
    def answer(self, unit):
        {fault}
        return plain(self, unit)
    worker.Worker.answer = answer
    {engine}
"""
# The first worker to reach its second unit says who it is and waits to be killed.
WAITS_TO_BE_KILLED = """
        self.units = getattr(self, "units", 0) + 1
        if self.units == 2:
            try:
                file = (place / "pid").open("x")
            except FileExistsError:
                return plain(self, unit)
            file.write(f"{os.getpid()} ")
            file.close()
            time.sleep(600)
"""
DEADLY = """
        if unit.dialogue == os.environ["DEADLY"]:
            with (place / "deaths").open("a") as file:
                file.write("x")
            time.sleep(0.3)  # a reply just given would be lost with the process
            os.kill(os.getpid(), signal.SIGKILL)
"""
SLOW = """
        with (place / "units").open("a") as file:
            file.write("x")
        time.sleep(0.5)
"""
NO_MODEL = """
    from contextlib import contextmanager
    from qwen_bench.engines import registry
    from qwen_bench.testing import ScriptedEngine
    @contextmanager
    def open_engines(specs, options):
        yield iter([ScriptedEngine(lambda request: "Kwame") for _ in specs])
    registry.open_engines = open_engines
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Folder with a tiny model, an adapter on it, and a run of both by one process."""
    folder = tmp_path_factory.mktemp("ray")
    tiny_checkpoint(folder / "base", seed=1)
    write_adapter(folder / "lora")
    kept = Path.cwd()
    os.chdir(folder)
    try:
        for name, spec in (("base", "./base"), ("lora", "./base+./lora")):
            words = ["run", "--model", spec, *ASKED, "--run-id", f"local-{name}"]
            assert main(words) == 0
    finally:
        os.chdir(kept)
    return folder


def write_adapter(folder):
    """A LoRA that changes answers."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    settings = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        # peft 0.21 asks transformers 5.23 for an attribute that is being renamed.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        wrapped = get_peft_model(tiny_model(seed=1), settings)
    with torch.no_grad():
        for key, parameter in wrapped.named_parameters():
            if "lora_B" in key:
                parameter.normal_(0.0, 0.5)
    wrapped.save_pretrained(folder)


@pytest.fixture
def start(tmp_path):
    """Starts the command as a process group of its own; none outlives its test."""
    begun = []

    def start(*words, cwd, fault="", engine="", **settings):
        faults = tmp_path / "faults"
        faults.mkdir(exist_ok=True)
        code = IN_WORKERS.format(fault=fault.strip() or "pass", engine=engine.strip() or "pass")
        (faults / "sitecustomize.py").write_text(code)
        environment = os.environ | settings
        paths = os.pathsep.join([str(faults), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        environment |= {"PYTHONPATH": paths, "FAULTS": str(faults), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-c", "from qwen_bench.cli.main import entry_point; entry_point()"]
            + [str(word) for word in words],
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finish(process):
    """Code, standard output and error of a process, once it ends."""
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def wait_for(condition):
    while not condition():
        time.sleep(0.05)


def journal(folder):
    """Rows by key, without the time they took; log-probabilities apart."""
    outcomes = read_journal(folder / JOURNAL_NAME).outcomes
    found = {(row.probe_id, row.mode): row for row in outcomes}
    assert len(found) == len(outcomes), "a row twice"
    return found


def assert_same_rows(folder, reference):
    """All columns equal; log-probabilities within 1e-6."""
    mine, theirs = journal(folder), journal(reference)
    assert mine.keys() == theirs.keys()
    for key, row in mine.items():
        other = theirs[key]
        assert plain(row) == plain(other)
        assert numbers(row) == pytest.approx(numbers(other), abs=1e-6)


def plain(row):
    return replace(row, seconds=0.0, logprobs=None)


def numbers(row):
    return [value for score in row.logprobs or () for value in score if value is not None]


def quick_suite():
    return build_suite("quick", Selection(lengths=LENGTHS, langs=("en",), limit=1), 0)


def test_base_and_adapter_on_two_workers_give_the_rows_of_one_process(home, start):
    words = ("--baseline", "./base", "--model", "lora=./base+./lora", "--json", "-")

    code, out, err = finish(start("run", *words, *ASKED, *REPLICAS, cwd=home))

    assert code in {0, 3}, err
    json.loads(out)
    assert "ray" not in err.lower().replace("--replicas", ""), err
    folders = {
        read_manifest(file.parent).model.label: file.parent
        for file in home.glob("runs/2*/manifest.json")
    }
    assert folders.keys() == {"base", "lora"}
    assert_same_rows(folders["base"], home / "runs" / "local-base")
    assert_same_rows(folders["lora"], home / "runs" / "local-lora")
    with pytest.raises(AssertionError):
        assert_same_rows(folders["lora"], home / "runs" / "local-base")
    pooled, alone = (read_manifest(found) for found in (folders["base"], home / "runs/local-base"))
    assert (pooled.engine.replicas, alone.engine.replicas) == (2, 1)
    assert pooled.identity == alone.identity
    work, reference = (found.invocations[-1].efficiency for found in (pooled, alone))
    for name in ("requests", "naive_tokens", "tree_tokens", "decoded_tokens", "forward_tokens"):
        assert work[name] == reference[name]
    assert work["retries"] == 0


def test_a_worker_killed_in_the_middle_changes_no_row(home, start, tmp_path):
    words = ("run", "--model", "./base", *ASKED, *REPLICAS, "--run-id", "killed")
    process = start(*words, cwd=home, fault=WAITS_TO_BE_KILLED)
    named = tmp_path / "faults" / "pid"
    wait_for(lambda: process.poll() is not None or (named.exists() and " " in named.read_text()))
    assert process.poll() is None, finish(process)[2]
    rows_before = len(journal(home / "runs" / "killed"))

    os.kill(int(named.read_text()), signal.SIGKILL)
    code, _, err = finish(process)

    assert code == 0, err
    assert_same_rows(home / "runs" / "killed", home / "runs" / "local-base")
    assert rows_before < len(journal(home / "runs" / "killed"))
    assert 1 <= read_manifest(home / "runs" / "killed").invocations[-1].efficiency["retries"] <= 2
    assert "worker died" not in err


def test_a_dialogue_that_kills_its_worker_ends_as_errors_and_can_be_asked_again(start, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    asked = list(units(quick_suite().dialogues(), ("generate", "rank"), Generation()))
    deadly = asked[len(asked) // 2]
    keys = {(request.id, request.mode) for request in deadly.requests}
    words = ("run", "--model", "./model", *ASKED, *REPLICAS, "--run-id", "one")

    first = start(*words, cwd=tmp_path, fault=DEADLY, engine=NO_MODEL, DEADLY=deadly.dialogue)
    code, _, err = finish(first)

    assert code == 1
    assert f"{len(keys)} of " in err
    assert "WorkerDied: the worker process died 3 times at this dialogue" in err
    assert "--resume runs/one --retry-errors" in err
    assert (tmp_path / "faults" / "deaths").read_text() == "xxx"
    rows = journal(tmp_path / "runs" / "one")
    assert {key for key, row in rows.items() if row.status == "error"} == keys
    assert {rows[key].reason for key in keys} == {"worker"}
    assert len(rows) == sum(len(unit.requests) for unit in asked)
    assert read_manifest(tmp_path / "runs" / "one").status == "finished"

    words = ("run", "--resume", "runs/one", "--retry-errors", *REPLICAS, "--display", "plain")
    code, _, err = finish(start(*words, cwd=tmp_path, engine=NO_MODEL))

    assert code == 0, err
    outcomes = read_journal(tmp_path / "runs" / "one" / JOURNAL_NAME).outcomes
    again = [row for row in outcomes if (row.probe_id, row.mode) in keys and row.status == "ok"]
    assert len(again) == len(keys)
    assert {row.attempt for row in again} == {2}
    assert len(outcomes) == len(rows) + len(keys)


def test_ctrl_c_to_the_whole_process_group_finishes_what_is_under_way(start, tmp_path):
    """A terminal sends it to every process; Ray's own must not end by it."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    words = ("run", "--model", "./model", *ASKED, *REPLICAS, "--run-id", "one")
    process = start(*words, cwd=tmp_path, fault=SLOW, engine=NO_MODEL)
    file = tmp_path / "runs" / "one" / JOURNAL_NAME
    wait_for(lambda: process.poll() is not None or (file.exists() and file.stat().st_size))

    os.killpg(process.pid, signal.SIGINT)
    code, _, err = finish(process)

    assert code == 130, err
    assert "stopping after this batch" in err
    assert read_manifest(tmp_path / "runs" / "one").status == "interrupted"
    rows = journal(tmp_path / "runs" / "one")
    assert {row.status for row in rows.values()} == {"ok"}
    begun = len((tmp_path / "faults" / "units").read_text())
    asked = list(units(quick_suite().dialogues(), ("generate", "rank"), Generation()))
    answered = {
        unit.dialogue for unit in asked for item in unit.requests if (item.id, item.mode) in rows
    }
    assert len(answered) == begun < len(asked)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
