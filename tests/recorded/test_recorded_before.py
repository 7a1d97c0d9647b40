"""Runs of suites 1.x are read and shown as ever, not continued, not compared with newer ones.

Everything goes through commands and the files they leave; see `tests/data/recorded/README.md`.
"""

import json
from itertools import zip_longest
from pathlib import Path

import pytest

from qwen_bench.runs.store import read_run, readable_runs

pytestmark = pytest.mark.usefixtures("home")
DATA = Path(__file__).resolve().parents[1] / "data" / "recorded"
COMMANDS = tuple(json.loads((DATA / "cases.json").read_text("utf-8")))
RUNS = tuple(sorted(path.name for path in (DATA / "runs").iterdir()))
DIFFERING = ("suite.version", "suite.sha256", "suite.filler_sha256", "scorer.version")


def manifest_of(name, store="runs"):
    return json.loads(Path(store, name, "manifest.json").read_text("utf-8"))


def summary_of(name):
    """`summary.json` without the name of the run and what it took."""
    summary = json.loads(Path("runs", name, "summary.json").read_text("utf-8"))
    return summary | {"run_id": None, "efficiency": None}


def rows_of(name):
    """The rows in the order of the file, without the seconds they took."""
    lines = Path("runs", name, "results.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) | {"seconds": None} for line in lines]


def settings_of(name):
    """The manifest without the name of the run and the processes that wrote it."""
    return manifest_of(name) | {"invocations": None, "run_id": None}


def files_of(name):
    """Bytes of a run folder by name of the file."""
    return {path.name: path.read_bytes() for path in Path("runs", name).iterdir()}


def changed(before, now, name="all"):
    """What differs between two values of JSON: (before, now) by dotted name."""
    if isinstance(before, dict) and isinstance(now, dict):
        found = {}
        for key in sorted(before.keys() | now.keys()):
            found |= changed(before.get(key, "absent"), now.get(key, "absent"), f"{name}.{key}")
        return found
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        found = {}
        for number, (old, new) in enumerate(zip(before, now, strict=True)):
            found |= changed(old, new, f"{name}.{number}")
        return found
    return {} if before == now else {name: (before, now)}


def made(recorded, like, name, *more):
    """Call the command that began a recorded run, as a run of today under another name."""
    words = manifest_of(like, DATA / "runs")["invocations"][0]["argv"][1:]
    said = recorded.call([*(name if word == like else word for word in words), *more])
    assert said.startswith("exit 0"), said


def cut(name, keep):
    """Leave the first rows of a run, as an interruption does."""
    folder = Path("runs", name)
    lines = (folder / "results.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "results.jsonl").write_bytes(b"".join(lines[:keep]))
    (folder / "summary.json").unlink()
    manifest = manifest_of(name) | {"status": "interrupted", "counts": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def first_difference(before, now):
    """The first line that differs, in a few words; None when all are equal."""
    if before == now:
        return None
    pairs = zip_longest(before.splitlines(), now.splitlines(), fillvalue=b"")
    for number, (old, new) in enumerate(pairs, start=1):
        if old != new:
            same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), 0)
            at = slice(max(0, same - 60), same + 100)
            return f"line {number}: {old[at]!r} before, {new[at]!r} now"
    return "the ends of the lines"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_on_recorded_runs_leaves_what_it_left_before(recorded, name):
    before = recorded.expected_of(name)

    now = recorded.left_by(recorded.CASES[name])

    assert first_difference(before.pop(recorded.SAID), now.pop(recorded.SAID)) is None
    assert before.keys() == now.keys()
    for file, data in before.items():
        assert first_difference(data, now[file]) is None, file


@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_suites_1_is_listed_and_read_with_rows_that_have_no_level(name):
    run = read_run(Path("runs", name))

    assert name in {folder.name for folder, _ in readable_runs(Path("runs"))}
    assert run.manifest.suite.version.startswith("1.")
    assert run.manifest.suite.levels == ()
    assert {(row.level, row.wording, row.form, row.content) for row in run.outcomes} == {
        (None, "", None, None)
    }


@pytest.mark.parametrize("name", ["base", "free-oracle", "server"])
def test_a_run_of_suites_1_is_reported_and_says_its_version(recorded, name):
    suite = manifest_of(name)["suite"]

    said = recorded.call(["report", name, "-o", "page.html", "--markdown", "page.md"])

    assert said.startswith("exit 0"), said
    assert f"{suite['name']} {suite['version']}" in Path("page.md").read_text("utf-8")
    assert "<caption>By level" not in Path("page.html").read_text("utf-8")


def test_a_run_of_suites_1_is_not_compared_with_a_newer_one_whatever_is_allowed(recorded):
    made(recorded, "narrow", "new")
    allowed = [word for field in DIFFERING for word in ("--allow-mismatch", field)]

    refused = recorded.call(["compare", "narrow", "new"])
    insisted = recorded.call(["compare", "narrow", "new", *allowed])

    assert refused.startswith("exit 5")
    assert "suite.version        1.0  ->  2." in refused
    assert all(f"{field} " in refused for field in DIFFERING)
    assert "ask both models with one version of qwen-bench; no flag overrides this" in refused
    assert "--allow-mismatch" not in refused
    assert insisted.startswith("exit 5")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("narrow", ()),
        ("narrow", ("--lengths", "1,4,8", "--lang", "en,zh")),
        ("narrow", ("--level", "2")),
        ("interrupted", ()),
        ("crashed", ("--dry-run",)),
        ("free-oracle", ("--limit", "2")),
        ("family", ("--dry-run",)),
    ],
)
def test_a_run_of_suites_1_is_not_continued_and_stays_as_it_is(recorded, name, words):
    before = files_of(name)

    said = recorded.call(["run", "-q", "--resume", name, *words])

    assert said.startswith("exit 5"), said
    assert "suite.version" in said
    assert "fix: leave --resume out: that starts a new run" in said
    assert {file: data for file, data in files_of(name).items() if file != ".lock"} == before


def test_a_baseline_of_suites_1_is_refused_before_anything_is_asked(recorded):
    words = manifest_of("narrow")["invocations"][0]["argv"][1:-2]

    said = recorded.call([*words, "--run-id", "new", "--baseline", "runs/narrow"])

    assert said.startswith("exit 5"), said
    assert "this run could not be compared with the baseline narrow" in said
    assert not Path("runs", "new").exists()


def test_a_plan_of_today_is_measured_on_runs_of_suites_1(recorded):
    suite = ("--suite", "quick", "--lengths", "1", "--lang", "en")

    said = recorded.call(["plan", "--from", "oracle", "--from", "window-8", *suite])

    assert said.startswith("exit 0"), said
    assert "measured on oracle and window-8" in said


def test_logs_of_lm_eval_over_suites_1_are_not_imported(recorded):
    said = recorded.call(["import-lm-eval", "-q", "lm_eval/plain", "--run-id", "new"])

    assert said.startswith("exit 1"), said
    assert "made with other definitions of the suite quick" in said
    assert not Path("runs", "new").exists()


def test_a_run_that_was_cut_off_is_finished_with_the_rows_of_an_undisturbed_one(recorded):
    made(recorded, "narrow", "whole")
    made(recorded, "narrow", "part")
    cut("part", 10)

    said = recorded.call(["run", "-q", "--resume", "part"])

    assert said.startswith("exit 0"), said
    assert changed(settings_of("whole"), settings_of("part")) == {}
    assert changed(rows_of("whole"), rows_of("part")) == {}
    assert changed(summary_of("whole"), summary_of("part")) == {}
    assert manifest_of("part")["invocations"][1]["rows_written"] == len(rows_of("whole")) - 10


def test_a_run_that_was_extended_has_the_rows_of_one_that_was_wide_from_the_start(recorded):
    more = ("--lengths", "1,4,8", "--lang", "en,zh")
    made(recorded, "narrow", "whole", *more)
    made(recorded, "narrow", "part")

    said = recorded.call(["run", "-q", "--resume", "part", *more])

    assert said.startswith("exit 0"), said
    by_name = [
        sorted(rows_of(name), key=lambda row: (row["probe_id"], row["mode"]))
        for name in ("whole", "part")
    ]
    assert changed(*by_name) == {}
    assert changed(settings_of("whole"), settings_of("part")) == {}
    assert changed(summary_of("whole"), summary_of("part")) == {}


def test_answers_that_failed_are_asked_again_and_the_others_kept(recorded, serving):
    # Which answers fail is up to the words of a conversation, so many are asked.
    many = ("--lengths", "1,2,4,8", "--lang", "en,zh")
    with serving():
        made(recorded, "server", "whole", *many)
    with serving(failing=True):
        made(recorded, "failing", "part", *many)
    before = files_of("part")["results.jsonl"]
    failed = [row for row in rows_of("part") if row["status"] == "error"]
    whole = {row["probe_id"]: row for row in rows_of("whole")}

    with serving():
        said = recorded.call(["run", "-q", "--resume", "part", "--retry-errors"])

    assert said.startswith("exit 0"), said
    assert files_of("part")["results.jsonl"].startswith(before)
    assert failed
    mended = rows_of("part")[-len(failed) :]
    assert mended == [whole[row["probe_id"]] | {"attempt": 2} for row in failed]
    assert manifest_of("part")["identity"] == manifest_of("whole")["identity"]
