"""A log of the harness becomes a run folder that compares like a run of our own."""

import json
from pathlib import Path

import pytest

from qwen_bench.cli.main import main
from qwen_bench.lm_eval.documents import ProbeChoice, probes_at
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.runs.store import read_run
from qwen_bench.stats.compare_document import compare_document
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair

CELLS = (
    ("fact_recall", 1),
    ("fact_recall", 2),
    ("temporal_order", 2),
    ("instruction_retention", 2),
)


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """A command line in an empty folder: exit code, stdout, stderr."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return (code, *capsys.readouterr())

    return call


def solved(share):
    """Right for a fixed share of the probes, by a rule that needs no random numbers."""

    def answer(probe):
        number = sum(map(ord, probe.id)) % 10
        if probe.rule is not None:
            return "x" if number < 10 * share else ""
        return probe.gold if number < 10 * share else "nobody"

    return answer


@pytest.fixture
def run_of_ours(tmp_path):
    """`run_of_ours(answer, name)`: the same probes, answered by an engine."""
    from datetime import UTC, datetime

    from qwen_bench.protocol import Generation
    from qwen_bench.record.manifest import Invocation
    from qwen_bench.runs.job import Job
    from qwen_bench.runs.recorder import record
    from qwen_bench.runs.runner import plan
    from qwen_bench.testing import ScriptedEngine

    class Silent:
        def started(self, folder, total, kept): ...
        def answered(self, outcome): ...
        def reading(self, read, total): ...
        def notice(self, text): ...

    def run(answer, name):
        families = tuple(dict.fromkeys(family for family, _ in CELLS))
        suite = build_suite(
            "quick",
            Selection(
                lengths=(1, 2), families=families, conditions=("main",), langs=("en",), limit=1
            ),
        )
        asked = [asked.probe for dialogue in suite.dialogues() for asked in dialogue.probes]
        probes = {probe.id: probe for probe in asked}
        job = Job(
            suite=suite,
            modes=("generate",),
            generation=Generation(64),
            plan=plan(suite.dialogues(), ("generate",)),
            spec=f"mock:{name}",
            label=name,
            runs_dir=tmp_path / "ours",
            run_id=name,
            resume=None,
            retry_errors=False,
            invocation=Invocation(started="2026-11-22T10:15:03Z"),
            continue_command=str,
            check=lambda _: None,
            now=lambda: datetime(2026, 11, 22, tzinfo=UTC),
        )
        engine = ScriptedEngine(lambda request: answer(probes[request.id]), name=name)
        return record(job, engine, Silent(), lambda: False)

    return run


def document_of(base, candidate):
    comparison = compare(pair(base.view(), candidate.view()), primary="generate")
    return compare_document([comparison], 0)["candidates"][0]


def cells():
    """Cells of the suite at lengths 1 and 2 of these families."""
    return (*CELLS, ("instruction_retention", 1))


def test_two_logs_compare_as_two_runs_of_the_same_probes(write_log, call, run_of_ours):
    for name, share in (("base", 0.9), ("tuned", 0.4)):
        log = write_log(name, solved(share), cells=cells(), settings={"limit": 1})
        assert call("import-lm-eval", log, "--run-id", name)[0] == 0
    imported = document_of(read_run(Path("runs/base")), read_run(Path("runs/tuned")))
    own = document_of(run_of_ours(solved(0.9), "base"), run_of_ours(solved(0.4), "tuned"))

    for name in ("modes", "accounting", "verdict", "note", "more_probes"):
        assert imported[name] == own[name], name
    assert imported["modes"]["generate"]["overall"]["difference"] < 0
    assert imported["modes"]["generate"]["retention"]["base"]["ehl"] is None


def test_the_manifest_says_where_the_answers_come_from(write_log, call):
    log = write_log(
        "base",
        solved(1),
        system_instruction="Be brief.",
        config={
            "model": "hf",
            "model_args": {"pretrained": "org/base", "enable_thinking": False, "token": "hf_x"},
            "model_dtype": "torch.bfloat16",
            "device": "cuda:0",
        },
    )
    code, out, err = call("import-lm-eval", *log.glob("samples_*"), "--run-id", "r")

    manifest = json.loads(Path("runs/r/manifest.json").read_text("utf-8"))
    assert (code, manifest["status"]) == (0, "finished")
    assert manifest["model"]["kind"] == "imported"
    assert manifest["model"]["spec"] == "org/base"
    assert manifest["model"]["fingerprint"].startswith("unverified:base-")
    assert manifest["model"]["dtype"] == "bfloat16"
    assert manifest["engine"]["name"] == "lm-eval"
    assert manifest["engine"]["version"] == "0.4.13"
    assert manifest["template"]["thinking"]["requested"] == "off"
    assert len(manifest["template"]["chat_template_sha256"]) == 64
    assert len(manifest["generation"]["system_sha256"]) == 64
    assert manifest["generation"]["stop"] == ["<|im_end|>"]
    assert manifest["generation"]["max_new_tokens"] == 64
    assert manifest["suite"]["conditions"] == ["main"]
    assert manifest["suite"]["langs"] == ["en"]
    assert "not verified" in err
    assert "hf_x" not in json.dumps(manifest)
    assert "100.0 %" in out


def test_a_model_named_beside_the_log_is_hashed(write_log, call, tmp_path):
    from qwen_bench.engines.fingerprint import model_fingerprint
    from qwen_bench.testing import tiny_checkpoint

    folder = tiny_checkpoint(tmp_path / "tiny")
    log = write_log("base", solved(1))
    call("import-lm-eval", log, "--model", f"mine={folder}", "--run-id", "r")

    model = read_run(Path("runs/r")).manifest.model
    assert (model.label, model.fingerprint) == ("mine", model_fingerprint(folder))


def test_a_part_of_a_cell_is_imported_as_that_part(write_log, call):
    log = write_log("base", solved(1), cells=(("fact_recall", 2),))
    (file,) = log.glob("samples_*")
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text(lines[0], "utf-8")
    code, _, err = call("import-lm-eval", log, "--run-id", "r")

    run = read_run(Path("runs/r"))
    assert code == 0
    assert len(run.outcomes) == run.manifest.expected.rows == 1
    assert "--limit left" in err


def test_cells_of_core_and_of_full_are_recorded_as_full(write_log, call):
    cells = (("fact_recall", 1), ("system_rule", 1))
    log = write_log("base", solved(1), cells=cells, settings={"suite": None, "limit": 1})
    call("import-lm-eval", log, "--run-id", "r")

    suite = read_run(Path("runs/r")).manifest.suite
    assert (suite.name, suite.limit) == ("full", 1)
    assert suite.families == ("fact_recall", "system_rule")


def test_samples_of_different_choices_are_refused(write_log, call):
    one = write_log("one", solved(1))
    two = write_log("two", solved(1), cells=(("fact_recall", 2),), settings={"seed": 1})
    (results,) = one.glob("results_*")
    code, _, err = call("import-lm-eval", one, two, "--results", results)

    assert (code, "chosen with different settings: seed is 0 and 1" in err) == (2, True)


def test_an_imported_run_has_a_report(write_log, call):
    call("import-lm-eval", write_log("base", solved(1)), "--run-id", "r")

    assert call("report", "r", "-o", "page.html")[0] == 0
    assert "org/base" in Path("page.html").read_text("utf-8")


def test_rankings_are_scored_by_our_rule(write_log, call):
    def likely(probe):
        return [-1.0 if text == probe.gold else -3.0 for text in probe.rank_candidates]

    log = write_log("base", likely, kind="rank")
    call("import-lm-eval", log, "--run-id", "r")

    run = read_run(Path("runs/r"))
    assert {row.mode for row in run.outcomes} == {"rank"}
    assert {row.reason for row in run.outcomes} == {"correct"}
    assert run.outcomes[0].logprobs[0][1:] == (None, 1)
    assert run.manifest.suite.primary == "rank"


def test_a_missing_reply_is_an_error_and_scores_in_the_log_are_not_read(write_log, call):
    first = next(iter(probes_at(ProbeChoice("quick", ("en",), None, 0), 1)))
    log = write_log("base", lambda probe: None if probe.id == first else probe.gold)
    call("import-lm-eval", log, "--run-id", "r")

    rows = {row.probe_id: row for row in read_run(Path("runs/r")).outcomes}
    answered = [row for row in rows.values() if row.status == "ok"]
    assert len(rows) == len(answered) + (first in rows)
    assert all(row.score == 1 for row in answered)
    if first in rows:
        assert (rows[first].status, rows[first].error_type) == ("error", "NoReply")


def edited(log, change, line=1):
    (file,) = log.glob("samples_*")
    rows = file.read_text("utf-8").splitlines()
    row = json.loads(rows[line - 1])
    change(row)
    rows[line - 1] = json.dumps(row, ensure_ascii=False)
    file.write_text("\n".join(rows) + "\n", "utf-8")
    return file


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda row: row["doc"].update(gold="nobody"),
            "gold in the log is not what the suite asks",
        ),
        (
            lambda row: row["doc"]["messages"][0].update(content="x"),
            "messages in the log is not what the suite asks",
        ),
        (lambda row: row["doc"]["suite"].update(sha256="0" * 64), "made with other definitions"),
        (lambda row: row["doc"].update(id="mixed-0/A/en/none.x/T1/main"), "no probe 'mixed-0/A"),
        (lambda row: row["doc"]["suite"].update(name="none"), "no suite 'none'"),
        (lambda row: row.pop("doc"), "not a sample of a qwen_bench task"),
        (lambda row: row.update(arguments={}), "cannot be read"),
    ],
)
def test_an_edited_line_is_refused_with_its_place(write_log, call, change, words):
    file = edited(write_log("base", solved(1)), change, line=2)
    code, _, err = call("import-lm-eval", file)

    assert code == 1
    assert f"{file.name}:2" in err
    assert words in err
    assert not Path("runs").exists()


def test_another_answer_to_the_same_probe_is_refused(write_log, call):
    log = write_log("base", solved(1))
    (file,) = log.glob("samples_*")
    row = json.loads(file.read_text("utf-8").splitlines()[0])
    row["resps"] = [["another"]]
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row, ensure_ascii=False) + "\n")

    code, _, err = call("import-lm-eval", log)
    assert (code, "answered before, and differently" in err) == (1, True)


def test_samples_without_their_results_or_of_two_runs_are_refused(write_log, call, tmp_path):
    log = write_log("base", solved(1))
    (results,) = log.glob("results_*")
    moved = results.rename(tmp_path / "elsewhere.json")
    code, _, err = call("import-lm-eval", log)
    assert (code, "no results file beside" in err, "--results FILE" in err) == (2, True, True)
    assert call("import-lm-eval", log, "--results", moved)[0] == 0

    both = call("import-lm-eval", write_log("one", solved(1)), write_log("two", solved(1)))
    assert (both[0], "of 2 runs of the harness" in both[2]) == (2, True)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("missing.jsonl",), "cannot read missing.jsonl: no such file"),
        ((".",), "holds no samples_*.jsonl"),
        ((), "missing argument SAMPLES..."),
    ],
)
def test_what_is_no_log_is_refused(call, words, text):
    code, _, err = call("import-lm-eval", *words)

    assert code == 2
    assert text in err


def test_a_solver_has_no_weights_to_hash(write_log, call):
    code, _, err = call("import-lm-eval", write_log("base", solved(1)), "--model", "mock:oracle")

    assert code == 2
    assert "has no weights" in err


def test_the_folder_of_the_tasks_is_printed(call):
    code, out, err = call("lm-eval-path")

    assert code == 0
    assert (Path(out.strip()) / "qwen_bench.yaml").is_file()
    assert err == ""


def test_an_old_harness_is_named_beside_the_folder(call, monkeypatch):
    monkeypatch.setattr("qwen_bench.lm_eval.log_errors.version", lambda _: "0.4.9")
    code, out, err = call("lm-eval-path")

    assert (code, Path(out.strip()).is_dir()) == (0, True)
    assert "lm_eval 0.4.9 is installed; these tasks need 0.4.13" in err
