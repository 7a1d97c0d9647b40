"""A model that is sent the last 8 turns only has lost exactly what was cut."""

import re
from pathlib import Path

import pytest

from qwen_bench.cli.main import main
from tools.calibration.__main__ import main as calibration

ADAPTER = Path(__file__).resolve().parents[2] / "finetune" / "demo"
ASKED = ("--suite", "demo", "--mode", "generate", "--condition", "main", "--lengths", "2,4,16")
FOLDERS = ("runs/full", "runs/cut")


def ask(model, *words):
    """Run a model with every turn, then with the last 8."""
    for name, policy in (("full", "full"), ("cut", "last-turns:8")):
        called = ("run", "--model", str(model), *words, "--policy", policy, "--run-id", name, "-q")
        assert main(called) == 0


@pytest.mark.parametrize("base", ["oracle", "window-8"])
def test_cut_evidence_is_named_and_found_where_it_was_cut(tmp_path, monkeypatch, capsys, base):
    monkeypatch.chdir(tmp_path)
    ask(f"mock:{base}", *ASKED, "--limit", "6")
    capsys.readouterr()

    code = calibration(["--runs", *FOLDERS, "--out", str(tmp_path)])

    text = Path("calibration-model.md").read_text()
    assert capsys.readouterr().out == text
    # A model that never saw more than 8 turns loses nothing when the rest is cut.
    assert code == (0 if base == "oracle" else 1)
    assert bool(re.search(r"\| 16 \| \d+ \| 100\.0 % \|", text)) == (base == "oracle")
    assert ("**As it must be:** regressed from 16 turns on" in text) == (base == "oracle")
    assert ("T = 16: cannot tell, the evidence was cut" in text) == (base == "window-8")


def test_runs_of_other_models_or_without_a_cut_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ask("mock:oracle", *ASKED)

    assert calibration(["--runs", "runs/cut", "runs/full"]) == 2
    assert calibration(["--runs", "runs/full", "runs/nope"]) == 2

    assert "needs two runs of one model" in capsys.readouterr().err


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_the_demo_adapter_regresses_against_itself_where_evidence_is_cut(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    ask(ADAPTER, *ASKED, "--limit", "6")

    assert calibration(["--runs", *FOLDERS]) == 0
    capsys.readouterr()
    code = main(
        ["compare", *FOLDERS, "--allow-mismatch", "suite.policy", "--html", "page.html", "-q"]
    )

    assert code == 3
    page = " ".join(Path("page.html").read_text(encoding="utf-8").split())
    assert "history policy" in page.lower()
    assert "had cut the evidence" in page or "after the cut" in page
