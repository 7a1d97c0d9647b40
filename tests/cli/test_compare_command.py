import json
import shutil
from pathlib import Path

import pytest

from qwen_bench.cli.main import main

WIDE = ("--suite", "quick", "--limit", "3", "--lengths", "8", "--mode", "generate")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Run folders base (oracle) and cand (window-4), recorded once."""
    folder = tmp_path_factory.mktemp("recorded")
    for name, solver in (("base", "oracle"), ("cand", "window-4")):
        where = ("--run-id", name, "--runs-dir", str(folder))
        assert main(["run", "--model", f"mock:{solver}", *WIDE, *where, "-q"]) == 0
    return folder


@pytest.fixture
def two(call, recorded):
    """The recorded run folders in the store of the current folder."""
    shutil.copytree(recorded, "runs")
    return call


@pytest.mark.usefixtures("two")
def test_compare_gates_by_default(call):
    called = call("compare", "base", "cand")

    assert called.code == 3
    assert called.err.splitlines()[-1] == "exit 3: regression"
    assert "window-4 against oracle · suite quick" in called.out


@pytest.mark.usefixtures("two")
def test_compare_says_what_a_good_end_means(call):
    called = call("compare", "base", "cand", "--fail-on", "never")
    better = call("compare", "cand", "base")

    assert (called.code, better.code) == (0, 0)
    assert better.err.splitlines()[-1] == "exit 0: no regression found (improved)"


def test_the_same_solver_twice_differs_by_nothing_and_is_named(call):
    for name in ("one", "two"):
        call("run", "--model", "mock:window-4", *WIDE, "--run-id", name, "-q")

    called = call("compare", "one", "two", "--json", "-")

    cell = json.loads(called.out)["candidates"][0]["modes"]["generate"]["overall"]
    assert cell["difference"] == 0
    assert "window-4 (two) against window-4 (one)" in called.err
    assert called.code == 5
    assert "the same model, asked in the same way; all " in called.err
    assert "warning: both sides are the same model" in called.err


@pytest.mark.usefixtures("two")
def test_the_order_of_rows_changes_no_byte(call):
    first = call("compare", "base", "cand", "--json", "-", "--html", "one.html").out
    for name in ("base", "cand"):
        path = Path("runs", name, "results.jsonl")
        lines = path.read_text().splitlines(keepends=True)
        lines.reverse()
        path.write_text("".join(lines))

    second = call("compare", "base", "cand", "--json", "-", "--html", "two.html").out

    assert first == second
    assert Path("one.html").read_bytes() == Path("two.html").read_bytes()


@pytest.mark.usefixtures("two")
def test_runs_are_found_by_path_too(call):
    assert call("compare", "runs/base", "./runs/cand").code == 3


@pytest.mark.usefixtures("two")
def test_one_incomparable_candidate_does_not_hide_the_others(call):
    call("run", "--model", "mock:blind", *WIDE, "--seed", "1", "--run-id", "other", "-q")

    called = call("compare", "base", "other", "cand")

    assert called.code == 5
    assert "these runs cannot be compared" in called.err
    assert "window-4 against oracle" in called.out


@pytest.mark.usefixtures("two")
def test_several_candidates_are_one_document(call):
    call("run", "--model", "mock:blind", *WIDE, "--run-id", "other", "-q")

    document = json.loads(call("compare", "base", "cand", "other", "--json", "-").out)

    assert [item["run_id"] for item in document["candidates"]] == ["cand", "other"]
    assert document["base"]["run_id"] == "base"
    assert document["exit_code"] == 3


@pytest.mark.usefixtures("two")
def test_a_report_of_one_run_and_of_two(call):
    profile = call("report", "cand", "-o", "one.html")
    pair = call("report", "base", "cand", "-o", "two.html", "--title", "Release <4>")

    assert (profile.code, pair.code) == (0, 0)
    assert pair.out == ""
    assert "report  two.html" in pair.err
    assert "Release &lt;4&gt;" in Path("two.html").read_text()
    assert "window-4" in Path("one.html").read_text()


@pytest.mark.usefixtures("two")
def test_a_report_of_runs_that_cannot_be_compared_is_refused(call):
    call("run", "--model", "mock:blind", *WIDE, "--seed", "1", "--run-id", "other", "-q")

    called = call("report", "base", "other", "-o", "x.html")

    assert called.code == 5
    assert not Path("x.html").exists()


@pytest.mark.usefixtures("two")
def test_reading_needs_no_right_to_write(call):
    for name in ("base", "cand"):
        Path("runs", name, ".lock").unlink()
        Path("runs", name, "summary.json").unlink()

    call("compare", "base", "cand")
    call("report", "base", "cand", "-o", "x.html")

    assert sorted(path.name for path in Path("runs/base").iterdir()) == [
        "manifest.json",
        "results.jsonl",
    ]
