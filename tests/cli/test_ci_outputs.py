import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

WIDE = (
    *("--suite", "quick", "--limit", "2", "--lengths", "8", "--lang", "en"),
    *("--mode", "generate", "--condition", "main", "-q"),
)


@pytest.fixture
def two(call):
    """Run folders base (oracle) and cand (window-4)."""
    for name, solver in (("base", "oracle"), ("cand", "window-4")):
        assert call("run", "--model", f"mock:{solver}", *WIDE, "--run-id", name).code == 0


@pytest.mark.usefixtures("two")
def test_compare_writes_markdown_and_junit(call):
    called = call("compare", "base", "cand", "--markdown", "s.md", "--junit", "j.xml")

    assert called.code == 3
    assert "Made by: `qwen-bench compare base cand" in Path("s.md").read_text()
    assert ET.parse("j.xml").getroot().get("failures") == "1"  # noqa: S314 - our own file
    assert "window-4 against oracle" in called.out


@pytest.mark.usefixtures("two")
def test_one_output_can_use_stdout_and_has_it_for_itself(call):
    markdown = call("compare", "base", "cand", "--markdown", "-")
    junit = call("compare", "base", "cand", "--junit", "-", "-q")

    assert markdown.out.startswith("## `window-4` against `oracle`")
    assert "paired probes" in markdown.err
    assert ET.fromstring(junit.out.encode()).tag == "testsuites"  # noqa: S314 - our own file


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    "words",
    [
        ("compare", "base", "cand", "--json", "-", "--markdown", "-"),
        ("compare", "base", "cand", "--junit", "-", "--html", "-"),
        ("report", "base", "cand", "-o", "-", "--markdown", "-"),
    ],
)
def test_two_outputs_on_stdout_are_refused(call, words):
    called = call(*words)

    assert called.code == 2
    assert "only one output can use stdout" in called.err
    assert called.out == ""


@pytest.mark.usefixtures("two")
def test_the_step_summary_is_appended_to(call, monkeypatch):
    Path("summary").write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary")

    call("compare", "base", "cand")
    call("compare", "base", "cand", "--summary", "off")
    call("report", "base", "cand", "-o", "x.html", "--markdown", "x.md")

    text = Path("summary").read_text()
    assert text.startswith("before\n## `window-4`")
    assert text.count("## `window-4` against") == 1


@pytest.mark.usefixtures("two")
def test_a_step_summary_that_cannot_be_written_changes_no_exit_code(call, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "nope/summary")

    called = call("compare", "base", "cand", "--fail-on", "never")

    assert called.code == 0
    assert "warning: cannot write the step summary nope/summary" in called.err


def test_run_with_a_baseline_writes_all_of_them_and_gates_only_when_told(call):
    models = ("--baseline", "mock:oracle", "--model", "mock:window-4")
    outputs = ("--markdown", "s.md", "--junit", "j.xml", "--json", "c.json", "--html", "r.html")

    free = call("run", *models, *WIDE, *outputs)
    gated = call("run", *models, *WIDE, "--gate", "overall>=99")
    failing = call("run", *models, *WIDE, "--fail-on", "regression")

    assert (free.code, gated.code, failing.code) == (0, 3, 3)
    assert free.err == ""
    assert "regressed" in Path("s.md").read_text()
    assert ET.parse("j.xml").getroot().get("failures") == "0"  # noqa: S314 - our own file
    assert json.loads(Path("c.json").read_text())["candidates"][0]["verdict"] == "regressed"
    assert Path("r.html").exists()
    assert gated.err.splitlines()[-1] == "exit 3: 1 gate not met (overall>=99)"


def test_run_alone_writes_a_profile_and_refuses_what_needs_a_comparison(call):
    called = call("run", "--model", "mock:window-4", *WIDE, "--markdown", "-")

    assert called.code == 0
    assert called.out.startswith("## `window-4`\n\nSuite `quick 2.0`")
    for flag, value in (("--gate", "overall>=1"), ("--junit", "j.xml")):
        refused = call("run", "--model", "mock:window-4", *WIDE, flag, value)
        assert refused.code == 2
        assert f"{flag} needs a --baseline" in refused.err


@pytest.mark.usefixtures("two")
def test_report_writes_markdown_of_one_run_and_of_two(call):
    one = call("report", "cand", "-o", "one.html", "--markdown", "-")
    pair = call("report", "base", "cand", "-o", "two.html", "--markdown", "two.md")

    assert (one.code, pair.code) == (0, 0)
    assert one.out.startswith("## `window-4`\n\nSuite")
    assert "Report: `two.html`" in Path("two.md").read_text()


@pytest.mark.usefixtures("two")
def test_a_hostile_answer_reaches_no_output_alive(call):
    journal = Path("runs/cand/results.jsonl")
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    for row in rows:
        row["output"] = "</code>\n::error::boom ##[error]x @team <script>1</script> \x1b[31m\x00"
    journal.write_text("".join(json.dumps(row) + "\n" for row in rows))

    called = call("compare", "base", "cand", "--markdown", "-", "--junit", "j.xml")

    lines = called.out.splitlines()
    quoted = [line for line in lines if "boom" in line]
    assert quoted
    assert all(line.startswith("  - candidate: `") for line in quoted)
    assert "##[" not in called.out
    assert "\x1b" not in called.out
    ET.parse("j.xml")  # noqa: S314 - our own file


def test_the_folder_of_a_single_output_must_exist(call):
    for flag in ("--markdown", "--junit"):
        called = call(
            "run", "--model", "mock:oracle", "--baseline", "mock:blind", flag, "nope/x", *WIDE
        )
        assert called.code == 2
        assert f"{flag} nope/x: there is no folder nope" in called.err
