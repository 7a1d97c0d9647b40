"""Calls of the command line inside this process, in an empty folder."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from qwen_bench.cli.main import main

SMALL = ("--suite", "quick", "--limit", "1", "--lengths", "1,8", "--lang", "en")


class Called(NamedTuple):
    """What one call left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """`call("run", "--model", ...)` in an empty current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)

    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Called(code, out, err)

    return call


@pytest.fixture
def ask(call):
    """`ask("oracle", ...)`: a small run of a solver; without `--suite` and the like."""

    def ask(solver, *words, run_id=None):
        name = ("--run-id", run_id) if run_id else ()
        return call("run", "--model", f"mock:{solver}", *SMALL, *name, *words)

    return ask
