"""Runs that an old version recorded are read, continued, made again and shown as it did.

Everything goes through commands and the files they leave; see `tests/data/recorded/README.md`.
"""

import json
import shutil
from itertools import zip_longest
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("home")
DATA = Path(__file__).resolve().parents[1] / "data" / "recorded"
COMMANDS = tuple(json.loads((DATA / "cases.json").read_text("utf-8")))
SOLVERS = (
    *("oracle", "window-8", "recency", "free-oracle", "free-window", "full", "policy", "filler"),
    *("family", "drawn", "settled", "narrow", "extended"),
)
# What differs between two processes that do the same.
OF_THE_PROCESS = {"started", "finished", "host", "hardware", "packages", "efficiency"}


def manifest_of(name, store="runs"):
    return json.loads(Path(store, name, "manifest.json").read_text("utf-8"))


def summary_of(name, store="runs"):
    """`summary.json` without the name of the run and what it took."""
    summary = json.loads(Path(store, name, "summary.json").read_text("utf-8"))
    return summary | {"run_id": None, "efficiency": None}


def rows_of(name, store="runs"):
    """The rows in the order of the file, without the seconds they took."""
    lines = Path(store, name, "results.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) | {"seconds": None} for line in lines]


def settings_of(name, store="runs"):
    """The manifest without the processes that wrote it and the version of the program."""
    manifest = manifest_of(name, store)
    return {key: value for key, value in manifest.items() if key not in {"invocations", "tool"}}


def work_of(counters):
    """Counters of an engine that do not depend on the machine."""
    return {
        name: value
        for name, value in (counters or {}).items()
        if "second" not in name and not name.startswith("peak_")
    }


def assert_same_invocations(name):
    """The processes of a run were asked for the same, and counted the same."""
    before, now = (manifest_of(name, store)["invocations"] for store in (DATA / "runs", "runs"))
    assert len(before) == len(now)
    for old, new in zip(before, now, strict=True):
        assert old.keys() <= new.keys()
        for field in old.keys() - OF_THE_PROCESS - {"args_effective"}:
            assert new[field] == old[field], field
        # A later version may have more flags; those there were keep name, value and source.
        assert new["args_effective"].items() >= old["args_effective"].items()
        assert work_of(new["efficiency"]).items() >= work_of(old["efficiency"]).items()


def make_again(name, recorded):
    """Call the commands that made a run, without it being there; the settings, rows and all."""
    shutil.rmtree(Path("runs", name))
    for invocation in manifest_of(name, DATA / "runs")["invocations"]:
        said = recorded.call(invocation["argv"][1:])
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


@pytest.mark.parametrize("name", SOLVERS)
def test_the_commands_of_a_recorded_run_make_it_again_today(recorded, name):
    make_again(name, recorded)

    assert settings_of(name) == settings_of(name, DATA / "runs")
    assert rows_of(name) == rows_of(name, DATA / "runs")
    assert summary_of(name) == summary_of(name, DATA / "runs")
    assert_same_invocations(name)


def test_a_run_without_a_name_ends_with_the_digits_of_the_recorded_identity(recorded):
    words = manifest_of("narrow")["invocations"][0]["argv"][1:-2]
    shutil.rmtree("runs")

    recorded.call(words)

    (folder,) = Path("runs").iterdir()
    identity = manifest_of("narrow", DATA / "runs")["identity"]
    assert manifest_of(folder.name)["identity"] == identity
    assert folder.name.endswith(f"Z-oracle-{identity[:6]}")
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lock", "manifest.json", "results.jsonl", "summary.json",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["narrow", "extended", "policy", "filler", "family", "drawn"])
def test_resuming_a_finished_run_writes_nothing(recorded, name):
    said = recorded.call(["run", "-q", "--resume", name])

    assert said.startswith("exit 0"), said
    for file in ("manifest.json", "results.jsonl", "summary.json"):
        assert Path("runs", name, file).read_bytes() == (DATA / "runs" / name / file).read_bytes()


@pytest.mark.parametrize("name", ["interrupted", "crashed"])
def test_a_run_that_was_cut_off_is_finished_with_the_rows_of_an_undisturbed_one(recorded, name):
    said = recorded.call(["run", "-q", "--resume", name])

    assert said.startswith("exit 0"), said
    assert rows_of(name) == rows_of("narrow")
    assert settings_of(name) == settings_of("narrow") | {"run_id": name}
    assert summary_of(name) == summary_of("narrow")
    first, second = manifest_of(name)["invocations"]
    assert first == manifest_of(name, DATA / "runs")["invocations"][0]
    assert (second["rows_written"], second["ended"]) == (20, "finished")


def test_a_finished_run_is_extended_with_the_rows_it_was_extended_with_before(recorded):
    words = manifest_of("extended")["invocations"][1]["argv"][1:]

    said = recorded.call([word.replace("extended", "narrow") for word in words])

    assert said.startswith("exit 0"), said
    assert rows_of("narrow") == rows_of("extended")
    assert settings_of("narrow") == settings_of("extended") | {"run_id": "narrow"}
    assert summary_of("narrow") == summary_of("extended")


@pytest.mark.parametrize(("name", "failing"), [("server", False), ("failing", True)])
def test_a_server_is_asked_as_before(recorded, serving, name, failing):
    with serving(failing=failing):
        make_again(name, recorded)

    assert settings_of(name) == settings_of(name, DATA / "runs")
    assert rows_of(name) == rows_of(name, DATA / "runs")
    assert summary_of(name) == summary_of(name, DATA / "runs")
    assert_same_invocations(name)


def test_answers_that_failed_are_asked_again_and_the_others_kept(recorded, serving):
    before = (DATA / "runs/failing/results.jsonl").read_bytes()
    lost = [row for row in rows_of("failing") if row["status"] == "error"]
    whole = {row["probe_id"]: row for row in rows_of("server")}

    with serving():
        said = recorded.call(["run", "-q", "--resume", "failing", "--retry-errors"])

    assert said.startswith("exit 0"), said
    assert Path("runs/failing/results.jsonl").read_bytes().startswith(before)
    mended = rows_of("failing")[-len(lost) :]
    assert mended == [whole[row["probe_id"]] | {"attempt": 2} for row in lost]
    assert manifest_of("failing")["identity"] == manifest_of("server")["identity"]


@pytest.mark.parametrize("name", ["imported", "imported-tuned"])
def test_logs_of_lm_eval_are_imported_as_before(recorded, name):
    make_again(name, recorded)

    assert settings_of(name) == settings_of(name, DATA / "runs")
    assert rows_of(name) == rows_of(name, DATA / "runs")
    assert summary_of(name) == summary_of(name, DATA / "runs")
    assert_same_invocations(name)


def test_a_model_that_thinks_is_asked_as_before(recorded, saying):
    assert saying("<think>abc</think>red").name == "saying-0"

    make_again("thinking", recorded)

    assert settings_of("thinking") == settings_of("thinking", DATA / "runs")
    assert rows_of("thinking") == rows_of("thinking", DATA / "runs")
    assert summary_of("thinking") == summary_of("thinking", DATA / "runs")
    assert_same_invocations("thinking")
