import html
import json
import shlex
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from qwen_bench.errors import RunError
from qwen_bench.record.formats import true_minus

WIDE = (
    *("--suite", "quick", "--limit", "2", "--lengths", "8", "--lang", "en"),
    *("--mode", "generate", "--condition", "main", "-q"),
)
FOUR = ["compare.json", "junit.xml", "report.html", "summary.md"]


@pytest.fixture
def check(call):
    """`check("oracle", "window-4", ...)`: a check of solvers."""

    def check(base, *candidates, words=()):
        models = [word for name in candidates for word in ("--model", name)]
        return call("check", "--baseline", base, *models, *WIDE, *words)

    return check


def summary():
    return Path("qwen-bench-report/summary.md").read_text()


def compared():
    return json.loads(Path("qwen-bench-report/compare.json").read_text())


def last(called):
    return called.err.splitlines()[-1]


def test_a_check_runs_both_sides_compares_reports_and_gates(check):
    called = check("mock:oracle", "mock:window-4")

    assert called.code == 3
    assert last(called) == "exit 3: regression, see qwen-bench-report/report.html#flips"
    assert "window-4 against oracle · suite quick" in called.out
    assert sorted(path.name for path in Path("qwen-bench-report").iterdir()) == FOUR
    document = json.loads(Path("qwen-bench-report/compare.json").read_text())
    assert document["exit_code"] == 3
    assert document["candidates"][0]["gates"] == []
    root = ET.parse("qwen-bench-report/junit.xml").getroot()  # noqa: S314 - our own file
    assert root.get("failures") == "1"
    assert "> [!CAUTION]" in Path("qwen-bench-report/summary.md").read_text()
    assert Path("qwen-bench-report/report.html").stat().st_size > 10_000
    assert len(list(Path("runs").iterdir())) == 2


def test_a_check_that_finds_nothing_ends_with_0_and_says_what_that_means(check):
    called = check("mock:window-4", "mock:oracle", words=("--gate", "overall>=99"))

    assert called.code == 0
    assert last(called) == "exit 0: no regression found (improved), the gate is met"


def test_a_run_folder_is_reused_as_the_baseline(call, check):
    call("run", "--model", "mock:oracle", *WIDE, "--run-id", "base")

    called = check("runs/base", "mock:window-4")

    assert called.code == 3
    assert len(list(Path("runs").iterdir())) == 2


def test_both_sides_must_be_named(call):
    for words, missing in (
        (("--model", "mock:oracle"), "missing option --baseline"),
        (("--baseline", "mock:oracle"), "missing option --model"),
        ((), "missing option --baseline and --model"),
        (("--baseline", "mock:oracle", "--resume"), "missing option --model"),
    ):
        called = call("check", *words)
        assert called.code == 2
        assert missing in called.err
        assert "has a default for neither" in called.err
    assert not Path("qwen-bench-report").exists()


def test_fail_on_inconclusive_is_exit_4_and_names_what_would_settle_it(call):
    few = ("--suite", "quick", "--limit", "1", "--lengths", "1,8", "--lang", "en", "-q")
    models = ("--baseline", "mock:oracle", "--model", "mock:window-4", "--family", "fact_recall")

    strict = call("check", *models, *few, "--fail-on", "inconclusive")
    lenient = call("check", *models, *few)

    known = "inconclusive: -50.0 points observed, too few clusters to tell; about "
    assert strict.code == 4
    assert last(strict).startswith(f"exit 4: {known}")
    assert last(strict).endswith(" more probes would settle it")
    assert lenient.code == 0
    assert last(lenient) == f"exit 0: {last(strict).removeprefix('exit 4: ')}"
    assert "no regression found" not in lenient.err


def test_sides_with_identical_answers_cannot_be_told_apart_and_fail(check):
    called = check("mock:oracle", "mock:window-64", words=("--gate", "overall>=99"))

    assert called.code == 5
    known = "outputs are identical, as when an adapter is not applied or one model answers twice"
    assert last(called).startswith("exit 5: cannot tell: all ")
    assert last(called).endswith(known)
    assert "CANNOT TELL (margin 5, all outputs are identical)" in called.out
    assert known in called.out
    root = ET.parse("qwen-bench-report/junit.xml").getroot()  # noqa: S314 - our own file
    assert known in root.find(".//failure[@type='cannot tell']").get("message")
    assert "> **Cannot tell.** It cannot be told whether `window-64`" in summary()
    assert known in summary()
    page = Path("qwen-bench-report/report.html").read_text()
    assert known in page
    candidate = compared()["candidates"][0]
    assert (compared()["exit_code"], candidate["verdict"]) == (5, "cannot tell")
    assert candidate["sentences"][0] in called.out
    assert candidate["sameness"]["identical"] == candidate["sameness"]["answers"]
    everything = (called.out, called.err, summary(), page, json.dumps(candidate))
    assert not any("within noise" in text.replace("are within noise", "") for text in everything)


def test_a_model_checked_against_itself_is_named_and_gets_no_verdict(check):
    twice = check("mock:oracle", "again=mock:oracle")
    free = check("mock:oracle", "again=mock:oracle", words=("--fail-on", "never"))

    known = "both sides are the same model, asked in the same way; all "
    assert (twice.code, free.code) == (5, 0)
    assert last(twice).startswith(f"exit 5: cannot tell: {known}")
    assert known in twice.out
    assert last(free) == "exit 0: the verdict decides nothing with --fail-on never (cannot tell)"


def test_of_several_candidates_the_last_line_names_all_that_fail(check):
    called = check("mock:oracle", "mock:window-4", "mock:window-64", words=("--gate", "diff>=-9"))

    assert called.code == 5
    parts = last(called).removeprefix("exit 5: ").split("; window-64: cannot tell: all ")
    assert parts[0].startswith("window-4: regression: -")
    assert parts[1].endswith(" and 1 gate not met (diff>=-9 (window-4))")


def test_every_output_says_the_same_sentences(check):
    called = check("mock:oracle", "mock:window-4")

    said = compared()["candidates"][0]["sentences"]
    assert len(said) == 3
    junit = ET.parse("qwen-bench-report/junit.xml").findtext(".//system-out")  # noqa: S314 - ours
    page = html.unescape(Path("qwen-bench-report/report.html").read_text())
    for sentence in said:
        written = true_minus(sentence)
        assert sentence in called.out
        assert written in junit
        assert written in page
        assert written in summary().replace("`", "")


def test_fail_on_never_leaves_the_verdict_out_but_not_the_gates(check):
    never = ("--fail-on", "never")

    free = check("mock:oracle", "mock:window-4", words=never)
    gated = check("mock:oracle", "mock:window-4", words=(*never, "--gate", "overall>=99"))

    assert free.code == 0
    expected = "exit 0: the verdict decides nothing with --fail-on never (regressed)"
    assert last(free) == expected
    assert gated.code == 3
    assert last(gated) == "exit 3: 1 gate not met (overall>=99)"


def test_gates_are_printed_stored_and_end_the_command(check):
    gates = ("overall>=99", "base:overall@8>=99", "diff>=-100", "truncated_rate<=0")
    words = [word for gate in gates for word in ("--gate", gate)]

    called = check("mock:oracle", "mock:window-4", words=words)

    assert called.code == 3
    assert "regression and 1 gate not met (overall>=99), see " in last(called)
    lines = called.out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(" gate "))
    assert [line.split()[0] for line in lines[at + 1 : at + 5]] == list(gates)
    assert lines[at + 1].endswith("NOT MET")
    assert lines[at + 2].endswith(" met")
    stored = json.loads(Path("qwen-bench-report/compare.json").read_text())["candidates"][0]
    assert [item["expr"] for item in stored["gates"]] == list(gates)
    assert [item["passed"] for item in stored["gates"]] == [False, True, True, True]
    overall = stored["modes"]["generate"]["overall"]
    assert stored["gates"][0]["value"] == overall["candidate"]
    assert stored["gates"][2]["value"] == overall["difference"]
    assert {"value", "low", "high", "n", "note"} <= set(stored["gates"][0])
    page = Path("qwen-bench-report/report.html").read_text()
    assert all(f"<code>{html.escape(gate)}</code>" in page for gate in gates)
    assert page.count("<strong>not met</strong>") == 1


def test_a_gate_on_a_cell_without_data_fails_and_says_so(call):
    words = ("--suite", "quick", "--limit", "1", "--mode", "generate", "--lang", "en", "-q")
    call("run", "--model", "mock:oracle", *words, "--lengths", "1,8", "--run-id", "base")
    call("run", "--model", "mock:window-8", *words, "--lengths", "1", "--run-id", "cand")

    called = call("compare", "base", "cand", "--fail-on", "never", "--gate", "overall@8>=0")

    assert called.code == 3
    assert "NOT MET (no data: no paired probe at 8 turns)" in called.out
    assert called.err.splitlines()[-1] == "exit 3: 1 gate not met (overall@8>=0)"


def test_a_gate_on_what_is_not_asked_is_refused_before_anything_runs(check):
    for gate, fragment in (
        ("recal@8>=80", "unknown name 'recal'; near: fact_recall"),
        ("overall@7>=1", "no probes at length 7; lengths are 8"),
    ):
        called = check("mock:oracle", "mock:window-4", words=("--gate", gate))
        assert called.code == 2
        assert fragment in called.err
    assert not Path("runs").exists()
    assert not Path("qwen-bench-report").exists()


def test_several_candidates_share_one_baseline(check):
    called = check("mock:oracle", "mock:window-4", "mock:blind", words=("--gate", "overall>=99"))

    assert called.code == 3
    assert "overall>=99 (window-4), overall>=99 (blind)" in last(called)
    document = json.loads(Path("qwen-bench-report/compare.json").read_text())
    assert [item["label"] for item in document["candidates"]] == ["window-4", "blind"]
    assert len(list(Path("runs").iterdir())) == 3


def test_a_broken_candidate_never_hides_behind_a_good_one(check, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))

    called = check(
        "mock:window-6", "mock:blind", "gone=Qwen/Qwen9-1B", "fine=mock:oracle",
        words=("--offline",),
    )  # fmt: skip

    assert called.code == 1
    assert last(called) == "exit 1: it broke, see the error above"
    assert "not in the local Hub cache" in called.err
    root = ET.parse("qwen-bench-report/junit.xml").getroot()  # noqa: S314 - our own file
    assert (root.get("failures"), root.get("errors")) == ("1", "1")
    assert [suite.get("name") for suite in root][-1] == "gone"
    assert "`gone` has no verdict" in Path("qwen-bench-report/summary.md").read_text()
    document = json.loads(Path("qwen-bench-report/compare.json").read_text())
    assert (document["exit_code"], len(document["candidates"])) == (1, 2)


def test_a_candidate_that_cannot_be_had_is_refused_before_the_baseline_is_asked(
    check, monkeypatch, tmp_path
):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))

    called = check("mock:oracle", "gone=Qwen/Qwen9-1B", words=("--offline",))

    assert called.code == 1
    assert "Qwen/Qwen9-1B is not in the local Hub cache" in called.err
    assert not Path("runs").exists()


def test_a_check_that_cannot_compare_leaves_the_reason_and_no_old_verdict(call, check):
    call("run", "--model", "mock:oracle", *WIDE, "--seed", "1", "--run-id", "other")
    check("mock:oracle", "mock:window-4")

    called = check("runs/other", "mock:window-4")

    assert called.code == 5
    assert last(called) == "exit 5: not comparable"
    assert sorted(path.name for path in Path("qwen-bench-report").iterdir()) == [
        "junit.xml",
        "summary.md",
    ]
    error = ET.parse("qwen-bench-report/junit.xml").find(".//error")  # noqa: S314 - our own file
    assert error.get("type") == "not comparable"
    assert "could not be compared" in Path("qwen-bench-report/summary.md").read_text()


def test_other_files_in_the_folder_are_left_alone(check):
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("keep")

    check("mock:oracle", "mock:window-4", words=("--out", "mine"))

    assert Path("mine/notes.txt").read_text() == "keep"
    assert sorted(path.name for path in Path("mine").iterdir()) == sorted([*FOUR, "notes.txt"])


def test_out_that_is_a_file_is_refused(check):
    Path("taken").write_text("")

    called = check("mock:oracle", "mock:window-4", words=("--out", "taken"))

    assert called.code == 2
    assert "--out taken is a file, give a folder" in called.err


def test_a_dry_run_says_what_would_be_asked_and_leaves_nothing(check):
    called = check("mock:oracle", "mock:window-4", words=("--dry-run",))

    assert called.code == 0
    assert "window-4: 0 answers are there" in called.out
    assert not list(Path().iterdir())


def test_json_on_stdout_parses_although_a_gate_fails(check):
    called = check("mock:oracle", "mock:window-4", words=("--json", "-", "--gate", "overall>=99"))

    assert json.loads(called.out) == json.loads(Path("qwen-bench-report/compare.json").read_text())
    assert called.code == 3


def test_a_second_check_with_resume_asks_nothing_again(check):
    first = check("mock:oracle", "mock:window-4", words=("--json", "-"))

    second = check("mock:oracle", "mock:window-4", words=("--json", "-", "--resume"))

    assert (first.code, second.code) == (3, 3)
    assert first.out == second.out
    assert len(list(Path("runs").iterdir())) == 2


def test_the_summary_repeats_the_command(check):
    check("mock:oracle", "mock:window-4", words=("--gate", "diff>=-100"))

    line = Path("qwen-bench-report/summary.md").read_text().splitlines()[-1]
    command = line.removeprefix("Made by: `").removesuffix("`")
    assert shlex.split(command)[:4] == ["qwen-bench", "check", "--baseline", "mock:oracle"]
    assert shlex.split(command)[-2:] == ["--gate", "diff>=-100"]


def test_an_output_folder_that_cannot_be_made_is_named(check):
    Path("file").write_text("")

    called = check("mock:oracle", "mock:window-4", words=("--out", "file/report"))

    assert called.code == RunError.exit_code
    assert "cannot write to file/report" in called.err
    assert "--out" in called.err
