"""Runs that an old version recorded are read, continued, made again and shown as it did.

Everything goes through commands and the files they leave; see `tests/data/recorded/README.md`.
"""

import json
import shutil
from itertools import zip_longest
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("home")
# They were scored by 1.0, which a new run is not: what these tests look at is everything else.
scored_as_before = pytest.mark.usefixtures("recorded_scorer")
DATA = Path(__file__).resolve().parents[1] / "data" / "recorded"
COMMANDS = tuple(json.loads((DATA / "cases.json").read_text("utf-8")))
SOLVERS = (
    *("oracle", "window-8", "recency", "free-oracle", "free-window", "full", "policy", "filler"),
    *("family", "drawn", "settled", "narrow", "extended"),
)
# What differs between two processes that do the same.
OF_THE_PROCESS = {"started", "finished", "host", "hardware", "packages", "efficiency"}
OF_THE_MACHINE = {
    *("version", "torch", "threads", "self_check_difference", "attention_kernel", "linear_layers"),
}


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
    """The manifest without the processes that wrote it, the program and the machine."""
    manifest = manifest_of(name, store) | {"invocations": None, "tool": None}
    machine = OF_THE_MACHINE & manifest["engine"].keys()
    return manifest | {"engine": manifest["engine"] | dict.fromkeys(machine)}


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


def lost(before, now):
    """What differs, apart from numbers that a later version added and that are 0."""
    found = changed(before, now)
    return {name: pair for name, pair in found.items() if pair != ("absent", 0)}


def assert_same_run(name, rows=lambda rows: rows):
    """A run is the recorded one: its settings, rows and summary."""
    was = DATA / "runs"
    assert changed(settings_of(name, was), settings_of(name)) == {}
    assert changed(rows(rows_of(name, was)), rows_of(name)) == {}
    assert lost(summary_of(name, was), summary_of(name)) == {}


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
        # A later version may have more flags and counters; those there were stay as they were.
        for first, second in (
            (old["args_effective"], new["args_effective"]),
            (work_of(old["efficiency"]), work_of(new["efficiency"])),
        ):
            kept = {field: second.get(field, "absent") for field in first}
            assert changed(first, kept) == {}


def make_again(name, recorded):
    """Call the commands that made a run, after it was removed."""
    shutil.rmtree(Path("runs", name))
    for invocation in manifest_of(name, DATA / "runs")["invocations"]:
        said = recorded.call(invocation["argv"][1:])
        assert said.startswith("exit 0"), said


def nearly(rows):
    """The rows of a model; log-probabilities may differ by what another number of threads does."""
    return [
        row
        | {"margin": row["margin"] and pytest.approx(row["margin"], abs=1e-3)}
        | {"logprobs": row["logprobs"] and [pytest.approx(x, abs=1e-3) for x in row["logprobs"]]}
        for row in rows
    ]


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


@scored_as_before
@pytest.mark.parametrize("name", SOLVERS)
def test_the_commands_of_a_recorded_run_make_it_again_today(recorded, name):
    make_again(name, recorded)

    assert_same_run(name)
    assert_same_invocations(name)
    journal = Path("runs", name, "results.jsonl")
    assert journal.read_bytes() == (DATA / journal).read_bytes()


@scored_as_before
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


@scored_as_before
@pytest.mark.parametrize("name", ["narrow", "extended", "policy", "filler", "family", "drawn"])
def test_resuming_a_finished_run_writes_nothing(recorded, name):
    said = recorded.call(["run", "-q", "--resume", name])

    assert said.startswith("exit 0"), said
    for file in ("manifest.json", "results.jsonl", "summary.json"):
        assert Path("runs", name, file).read_bytes() == (DATA / "runs" / name / file).read_bytes()


@scored_as_before
@pytest.mark.parametrize("name", ["interrupted", "crashed"])
def test_a_run_that_was_cut_off_is_finished_with_the_rows_of_an_undisturbed_one(recorded, name):
    said = recorded.call(["run", "-q", "--resume", name])

    assert said.startswith("exit 0"), said
    assert changed(settings_of("narrow") | {"run_id": name}, settings_of(name)) == {}
    assert changed(rows_of("narrow"), rows_of(name)) == {}
    assert lost(summary_of("narrow"), summary_of(name)) == {}
    first, second = manifest_of(name)["invocations"]
    assert first == manifest_of(name, DATA / "runs")["invocations"][0]
    assert (second["rows_written"], second["ended"]) == (20, "finished")


@scored_as_before
def test_a_finished_run_is_extended_with_the_rows_it_was_extended_with_before(recorded):
    words = manifest_of("extended")["invocations"][1]["argv"][1:]

    said = recorded.call([word.replace("extended", "narrow") for word in words])

    assert said.startswith("exit 0"), said
    assert changed(settings_of("extended") | {"run_id": "narrow"}, settings_of("narrow")) == {}
    assert changed(rows_of("extended"), rows_of("narrow")) == {}
    assert lost(summary_of("extended"), summary_of("narrow")) == {}


@scored_as_before
@pytest.mark.parametrize(("name", "failing"), [("server", False), ("failing", True)])
def test_a_server_is_asked_as_before(recorded, serving, name, failing):
    with serving(failing=failing):
        make_again(name, recorded)

    assert_same_run(name)
    assert_same_invocations(name)


@scored_as_before
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


@scored_as_before
@pytest.mark.parametrize("name", ["imported", "imported-tuned"])
def test_logs_of_lm_eval_are_imported_as_before(recorded, name):
    make_again(name, recorded)

    assert_same_run(name)
    assert_same_invocations(name)


@scored_as_before
def test_a_model_that_thinks_is_asked_as_before(recorded, saying):
    assert saying("<think>abc</think>red").name == "saying-0"

    make_again("thinking", recorded)

    assert_same_run("thinking", nearly)
    assert_same_invocations("thinking")


@scored_as_before
@pytest.mark.model
def test_the_embedded_model_gives_the_recorded_answers_under_the_recorded_identity(recorded):
    words = manifest_of("base")["invocations"][0]["argv"][1:-2]
    before = [r for r in rows_of("base") if (r["length"], r["condition"]) == (1, "main")]

    said = recorded.call([*words, "--run-id", "new", "--lengths", "1", "--condition", "main"])

    assert said.startswith("exit 0"), said
    assert changed(nearly(before), rows_of("new")) == {}
    selected = dict.fromkeys(("run_id", "suite", "expected", "counts"))
    assert changed(settings_of("base") | selected, settings_of("new") | selected) == {}


@scored_as_before
@pytest.mark.model
def test_a_cut_run_of_an_adapter_is_finished_with_the_recorded_answers(recorded):
    shutil.copytree(DATA.parents[2] / "finetune" / "demo", "finetune/demo")
    cut("adapter", len(rows_of("adapter")) - 4)

    said = recorded.call(["run", "-q", "--resume", "adapter"])

    assert said.startswith("exit 0"), said
    assert_same_run("adapter", nearly)
