"""A small suite, a job on it, and a watcher that remembers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.protocol import Generation
from qwen_bench.record.manifest import Invocation
from qwen_bench.record.outcome import Outcome
from qwen_bench.runs.job import Job
from qwen_bench.runs.runner import plan
from qwen_bench.testing import ScriptedEngine


class Remembering:
    """A watcher that keeps what it was told."""

    def __init__(self):
        self.folder = None
        self.kept = 0
        self.answers = []
        self.notices = []
        self.read = []

    def started(self, folder, _, kept):
        self.folder, self.kept = folder, len(kept)

    def answered(self, outcome):
        self.answers.append(outcome)

    def reading(self, read, total):
        self.read.append((read, total))

    def notice(self, text):
        self.notices.append(text)


@pytest.fixture
def watcher():
    return Remembering()


@pytest.fixture
def make_suite():
    def make(lengths=(1,), langs=("en",), families=("fact_recall",), limit=1, seed=0):
        selection = Selection(lengths=lengths, families=families, langs=langs, limit=limit)
        return build_suite("quick", selection, seed)

    return make


@pytest.fixture
def make_job(tmp_path, make_suite):
    """Jobs in one store; settings of the suite and fields of the job by name."""

    def make(suite=None, modes=("generate", "rank"), **changes):
        suite = suite or make_suite()
        job = Job(
            suite=suite,
            modes=modes,
            generation=Generation(16),
            plan=plan(suite.dialogues(), modes),
            spec="mock:scripted",
            label="scripted",
            runs_dir=tmp_path / "runs",
            run_id=None,
            resume=None,
            retry_errors=False,
            invocation=Invocation(started="2026-11-22T10:15:03Z"),
            continue_command=lambda folder: f"qwen-bench run --resume {folder}",
            check=lambda _: None,
            now=lambda: datetime(2026, 11, 22, 10, 16, tzinfo=UTC),
        )
        return replace(job, **changes)

    return make


@pytest.fixture
def make_engine():
    """An engine that says "Kwame" to everything, or what `answers` says."""

    def make(answers=lambda _: "Kwame", name="scripted"):
        return ScriptedEngine(answers, name=name)

    return make


@pytest.fixture
def outcome():
    return Outcome(
        probe_id="mixed-0/A/en/fact_recall.value/T1/main",
        mode="generate",
        family="fact_recall",
        lang="en",
        length=1,
        distance=0,
        position=1.0,
        condition="main",
        policy="full",
        cluster="mixed-0",
        twin_group="g",
        variant="A",
        evidence_visible=True,
        status="ok",
        output="Kwame",
        score=1,
        reason="correct",
        matched=(0, 5),
        messages_sha256="0" * 64,
    )
