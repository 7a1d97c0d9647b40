"""The real model, killed in the middle and resumed, ends like a run that was not killed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

SMALL = ["--suite", "quick", "--lang", "en", "--lengths", "1,2", "--condition", "main"]
SMALL += [
    "--family",
    "fact_recall",
    "--family",
    "instruction_retention",
    "--max-new-tokens",
    "8",
    "--limit",
    "1",
]
WHOLE = ["--suite", "quick"]


def start(runs, name, *more):
    code = "from qwen_bench.cli.main import entry_point; entry_point()"
    command = [sys.executable, "-c", code, "run", "--model", "embedded"]
    command += ["--runs-dir", str(runs), *more]
    if name:
        command += ["--run-id", name]
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CI": "1"},
    )


def rows_of(folder):
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def answers(rows):
    """What must agree by probe and mode, each asked once; times need not."""
    kept = {}
    for row in rows:
        key = (row["probe_id"], row["mode"])
        assert key not in kept, f"{key} was asked twice"
        kept[key] = (row["output"], row["score"], row["reason"], row["prompt_sha256"])
    return kept


def logprobs(rows):
    return {
        (row["probe_id"], place): total
        for row in rows
        for place, (total, _, _) in enumerate(row["logprobs"] or [])
    }


@pytest.mark.model
@pytest.mark.parametrize(
    "selection",
    [
        pytest.param(SMALL, id="small"),
        pytest.param(WHOLE, id="whole", marks=[pytest.mark.slow, pytest.mark.timeout(3000)]),
    ],
)
def test_a_run_killed_half_way_and_resumed_equals_one_that_was_not(tmp_path, selection):
    whole = start(tmp_path, "whole", *selection)
    _, errors = whole.communicate()
    assert whole.returncode == 0, errors
    expected = answers(rows_of(tmp_path / "whole"))

    killed = start(tmp_path, "killed", *selection)
    journal = tmp_path / "killed" / "results.jsonl"
    while killed.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") >= len(expected) // 2:
            killed.send_signal(signal.SIGKILL)
        time.sleep(0.05)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    left = len(rows_of(tmp_path / "killed"))
    assert 0 < left < len(expected)

    resumed = start(tmp_path, None, *selection, "--resume", str(tmp_path / "killed"))
    _, errors = resumed.communicate()

    assert resumed.returncode == 0, errors
    assert answers(rows_of(tmp_path / "killed")) == expected
    # The last bits depend on which prompts were batched together.
    assert logprobs(rows_of(tmp_path / "killed")) == pytest.approx(
        logprobs(rows_of(tmp_path / "whole")), abs=1e-3
    )
