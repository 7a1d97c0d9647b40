"""One test for each row of the table of bad input that concerns these commands."""

import json
import os
import shutil
from pathlib import Path

import pytest

SMALL = ("--suite", "quick", "--limit", "1", "--lengths", "1", "--lang", "en")


def fails(called, code, *fragments):
    assert called.code == code, called.err
    for fragment in fragments:
        assert fragment in called.err
    assert "Traceback" not in called.err
    assert called.out == ""
    lines = called.err.splitlines()
    assert lines[-1].startswith(f"exit {code}: ")
    assert any(line.startswith("error: ") for line in lines)


pytestmark = pytest.mark.usefixtures("here")

USAGE = [
    (("rnu",), "no such command 'rnu'; near: run"),
    (("run", "--modle", "X"), "no such option --modle; near: --mode"),
    (("run", "--modle", "X"), "--model"),
    (
        ("run", "Qwen/Qwen3-0.6B"),
        "unexpected argument; the model is an option: --model Qwen/Qwen3-0.6B",
    ),
    (("run", "--model", ""), "empty model SPEC; the forms are"),
    (("run", "--model", "./nope"), "no folder ./nope; near: ./nope-v2"),
    (("run", "--model", "./nope-v2"), "it holds checkpoint-100, checkpoint-200"),
    (("run", "--model", "mock:orcle"), "unknown solver 'orcle'; near: oracle"),
    (("run", "--model", "./adapter"), "the adapter does not name its base; write BASE+./adapter"),
    (
        ("run", "--model", "lora=mock:oracle", "--model", "lora=mock:blind"),
        "label 'lora' is used twice; write other=mock:blind",
    ),
    (("run", "--model", "mock:oracle", "--baseline", "mock:oracle"), "is used twice"),
    (("run", "--lengths", "4,x"), "'x' is not a number of turns"),
    (("run", "--lengths", "0"), "below 1"),
    (("run", "--lengths", "128"), "above 64"),
    (("run", "--lengths", "8,8"), "8 is repeated"),
    (("run", "--family", "fact_recal"), "no family matches 'fact_recal'; near: fact_recall"),
    (("run", "--condition", "blnd"), "no condition matches 'blnd'; near: blind"),
    (("run", "--lang", "fr"), "no such language 'fr'; there are en, zh"),
    (("run", "--suite", "quik"), "no suite 'quik'; near: quick"),
    (("run", "--limit", "0"), "must be 1 or more"),
    (("run", "--limit", "ten"), "'ten' is not a number"),
    (("run", "--margin", "0.05"), "margin is in points: write 5 for five points"),
    (("run", "--margin", "60"), "60 is not 0 or 0.5 to 50 points"),
    (("run", "--alpha", "2"), "--alpha: 2 is not between"),
    (("run", "--max-error-rate", "nan"), "'nan' is not a number"),
    (("run", "--mode", "chat"), "--mode: 'chat' is not one of"),
    (("run", "--device", "gpu"), "unknown device 'gpu'"),
    (("run", "--dtype", "float8"), "unknown dtype 'float8'; near: float"),
    (("run", "--system", "nope.txt"), "--system: cannot read nope.txt"),
    (("run", "--policy", "last-turn:4"), "unknown history policy 'last-turn'; near: last-turns"),
    (("run", "--policy", "last-turns"), "last-turns needs a number: last-turns:N"),
    (("run", "--policy", "last-turns:0"), "--policy last-turns: 0 turns is below 1"),
    (("run", "--policy", "qwen-v1:6k"), "--policy qwen-v1: '6k' is not a number of tokens"),
    (("run", "--policy", "full:3"), "full takes no number"),
    (
        ("run", "--model", "mock:oracle", "--policy", "qwen-v1:6144", "--dry-run"),
        "mock solvers have no tokenizer; use last-turns:N",
    ),
    (("run", "--retry-errors"), "--retry-errors needs --resume"),
    (("run", "--run-id", "a/b"), "--run-id: 'a/b' is not a folder name"),
    (
        ("run", "--model", "mock:oracle", "--model", "mock:blind", "--run-id", "x"),
        "--run-id names one run folder",
    ),
    (
        ("run", "--model", "mock:oracle", "--model", "mock:blind", "--json", "-"),
        "--json with several models needs a --baseline",
    ),
    (("run", "--json", "-", "--html", "-"), "only one output can use stdout"),
    (("run", "--html", "nope/page.html"), "there is no folder nope"),
    (("run", "--resume", "nope"), "no such run: nope; near: nope-run"),
    (("compare", "a", "a"), "both arguments are the same run"),
    (("compare", "a", "./runs/a"), "both arguments are the same run"),
    (("compare", "./nope-v2", "a"), "./nope-v2 is not a run folder (no manifest.json)"),
    (("compare", "a"), "missing argument CAND_RUN..."),
    (("compare", "a", "b", "--allow-mismatch", "suite.sed"), "suite.sed is not a setting"),
    (
        ("compare", "a", "b", "--gate", "recal@1>=80"),
        "--gate 'recal@1>=80': unknown name 'recal'; near: fact_recall, overall",
    ),
    (("compare", "a", "b", "--gate", "overall@7>=1"), "no probes at length 7; lengths are 1"),
    (("compare", "a", "b", "--gate", "overall=60"), "'=' is no operator; there are >= > <= <"),
    (("compare", "a", "b", "--gate", "overall>=0.8"), "the number is in points: write 80"),
    (("compare", "a", "b", "--fail-on", "worse"), "--fail-on: 'worse' is not one of"),
    (("compare", "a", "b", "--margin", "0.05"), "margin is in points: write 5"),
    (("compare", "a", "b", "--json", "-", "--markdown", "-"), "only one output can use stdout"),
    (("compare", "a", "b", "--junit", "dir/"), "--junit dir/ names a folder, give a file"),
    (("report", "a", "b", "-o", "x.html", "--gate", "diff>=0"), "no such option --gate"),
    (("run", "--baseline", "a", "--gate", "recal>=1"), "unknown name 'recal'"),
    (("run", "--gate", "overall>=60"), "--gate needs a --baseline"),
    (("run", "--junit", "x.xml"), "--junit needs a --baseline"),
    (("compare", *"abcdef", "--html", "x.html"), "at most 5 runs in one report, these are 6"),
    (
        (
            *("check", "--baseline", "a"),
            *(word for n in range(5) for word in ("--model", f"m{n}=mock:blind")),
        ),
        "at most 5 runs in one report, these are 6",
    ),
    (("check",), "missing option --baseline and --model"),
    (("check", "--model", "mock:oracle"), "missing option --baseline"),
    (("check", "mock:oracle"), "unexpected argument; the model is an option: --model mock:oracle"),
    (("check", "--baseline", "a", "--model", "mock:orcle"), "unknown solver 'orcle'; near: oracle"),
    (("check", "--baseline", "a", "--model", "./nope"), "no folder ./nope; near: ./nope-v2"),
    (("check", "--baseline", "a", "--model", "mock:blind", "--gate", "x"), "there is no operator"),
    (("check", "--baseline", "a", "--model", "mock:blind", "--outt", "x"), "near: --out"),
    (("report", "a"), "missing option -o"),
    (("report", "a", "-o", "dir/"), "-o dir/ names a folder, give a file"),
    (("report", "a", "b", "c", "d", "e", "f", "-o", "x.html"), "at most 5 runs in one report"),
    (("probes", "shwo"), "no such command 'shwo'"),
    (("probes", "show", "x"), "no probe 'x'"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder with run folders a and b, a folder without a model, and a bad adapter."""
    from qwen_bench.cli.main import main

    home = tmp_path_factory.mktemp("store")
    before = Path.cwd()
    os.chdir(home)
    try:
        for name, solver in (("a", "oracle"), ("b", "window-4")):
            words = ("run", "--model", f"mock:{solver}", *SMALL, "--run-id", name, "-q")
            assert main(words) == 0
    finally:
        os.chdir(before)
    shutil.copytree(home / "runs" / "a", home / "runs" / "nope-run")
    for name in ("checkpoint-100", "checkpoint-200"):
        (home / "nope-v2" / name).mkdir(parents=True)
    (home / "adapter").mkdir()
    (home / "adapter" / "adapter_config.json").write_text("{}")
    return home


@pytest.fixture
def here(store, tmp_path):
    """The store, copied into the current folder."""
    shutil.copytree(store, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "fragment"),
    USAGE,
    ids=lambda item: " ".join(item)[:50] if isinstance(item, tuple) else "",
)
def test_a_mistyped_command_line_exits_2(call, words, fragment):
    fails(call(*words), 2, fragment)


@pytest.mark.parametrize("name", ["run", "compare", "report", "check"])
def test_help_of_a_command_is_named_in_its_usage_errors(call, name):
    assert f"fix: qwen-bench {name} --help" in call(name, "--nonsense").err


def test_debug_shows_the_traceback(call):
    called = call("run", "--model", "mock:orcle", "--debug")

    assert called.code == 2
    assert "Traceback" in called.err
    assert called.err.splitlines()[-1] == "exit 2: usage"


def test_runs_of_another_suite_or_generation_cannot_be_compared(call):
    call(
        "run",
        "--model",
        "mock:blind",
        *SMALL,
        "--run-id",
        "c",
        "--max-new-tokens",
        "3",
        "--seed",
        "2",
    )

    fails(
        call("compare", "a", "c"),
        5,
        "these runs cannot be compared",
        "generation.max_new_tokens  64  ->  3",
        "suite.seed",
        "2 settings differ",
    )


def test_a_difference_that_is_allowed_is_still_shown(call):
    call("run", "--model", "mock:blind", *SMALL, "--run-id", "c", "--max-new-tokens", "3")

    called = call(
        "compare", "a", "c", "--allow-mismatch", "generation.max_new_tokens", "--json", "-"
    )

    fields = {item["field"] for item in json.loads(called.out)["candidates"][0]["settings"]}
    assert "generation.max_new_tokens" in fields


def unfinish(folder, rows):
    """Make a run look killed after some rows."""
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"status": "finished"', '"status": "running"'))
    journal = folder / "results.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:rows]))


def test_an_unfinished_run_is_compared_only_when_allowed(here, call):
    unfinish(here / "runs" / "b", 10)

    fails(call("compare", "a", "b"), 5, "not finished", "--allow-partial")

    called = call("compare", "a", "b", "--allow-partial", "--fail-on", "never")
    assert called.code == 0
    assert "10 rows are paired" in called.out


def test_a_run_that_is_still_written_says_how_far_it_is(here, call):
    from qwen_bench.runs.recorder import locked

    unfinish(here / "runs" / "b", 10)

    with locked(here / "runs" / "b", started="2026-11-22T10:15:03Z"):
        fails(
            call("compare", "a", "b"),
            5,
            "b: running, 10 of ",
            "wait for it, or if its process is gone:",
            "qwen-bench run --resume b",
        )


@pytest.mark.parametrize("command", ["compare", "report", "check"])
def test_an_empty_run_has_nothing_to_compare(here, call, command):
    (here / "runs" / "b" / "results.jsonl").write_text("")
    words = {
        "compare": ("compare", "b", "a"),
        "report": ("report", "b", "a", "-o", "x.html"),
        "check": ("check", "--baseline", "b", "--model", "mock:window-4", *SMALL, "-q"),
    }[command]

    fails(call(*words), 5, "b holds no answer, so there is nothing to compare", "--resume b")


def test_an_empty_run_that_was_never_finished_is_called_empty_too(here, call):
    unfinish(here / "runs" / "b", 0)

    fails(call("compare", "a", "b"), 5, "b holds no answer", "it is running")


def test_check_refuses_a_baseline_that_is_not_finished(here, call):
    unfinish(here / "runs" / "a", 10)

    fails(
        call("check", "--baseline", "a", "--model", "mock:window-4", *SMALL, "-q"),
        5,
        "a run that is not finished cannot be compared",
    )
    assert len(list((here / "runs").iterdir())) == 3


def test_check_refuses_other_settings_than_the_baselines_before_asking(here, call):
    fails(
        call("check", "--baseline", "a", "--model", "mock:blind", *SMALL, "--seed", "3", "-q"),
        5,
        "this run could not be compared with the baseline a",
        "suite.seed",
    )
    assert len(list((here / "runs").iterdir())) == 3


def test_runs_without_a_common_probe_are_not_comparable(call):
    call(
        "run",
        "--model",
        "mock:oracle",
        "--suite",
        "quick",
        "--limit",
        "1",
        "--lengths",
        "8",
        "--condition",
        "main",
        "--run-id",
        "c",
    )
    call("run", "--model", "mock:blind", *SMALL, "--condition", "main", "--run-id", "d")

    fails(call("compare", "c", "d"), 5, "no probe in common", "lengths 8; ", "lengths 1")


def test_a_manifest_of_a_newer_version_asks_for_an_upgrade(here, call):
    manifest = here / "runs" / "b" / "manifest.json"
    manifest.write_text(
        manifest.read_text()
        .replace('"schema_version": 1', '"schema_version": 3')
        .replace('"version": "0.1.0"', '"version": "2.1"')
    )

    fails(call("compare", "a", "b"), 1, "written by qwen-bench 2.1 (schema 3); this is", "upgrade")


def test_an_unreadable_manifest_says_what_is_safe(here, call):
    (here / "runs" / "b" / "manifest.json").write_text("{")

    fails(
        call("compare", "a", "b"),
        1,
        "manifest.json is not valid JSON at line 1",
        "results.jsonl is intact with",
    )


def test_a_manifest_with_a_missing_field_names_it(here, call):
    path = here / "runs" / "b" / "manifest.json"
    data = json.loads(path.read_text())
    del data["suite"]["seed"]
    path.write_text(json.dumps(data))

    fails(call("compare", "a", "b"), 1, "suite.seed: Field required")


def test_a_bad_line_inside_the_results_is_named(here, call):
    journal = here / "runs" / "b" / "results.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    lines[4] = "#" + lines[4]
    journal.write_text("".join(lines))

    fails(
        call("compare", "a", "b"),
        1,
        "line 5 is not valid JSON",
        "delete the line and resume, the probe is asked again",
    )


def test_a_torn_last_line_is_a_notice(here, call):
    journal = here / "runs" / "b" / "results.jsonl"
    journal.write_bytes(journal.read_bytes()[:-30])

    called = call("compare", "a", "b", "--fail-on", "never")

    assert called.code == 0
    assert "was cut off and is dropped; that probe will be asked again" in called.err


def test_nothing_to_resume_is_a_notice(call):
    called = call("run", "--model", "mock:recency", *SMALL, "--resume", "latest")

    assert called.code == 0
    assert "nothing to resume" in called.err
    assert "starting a new run" in called.err


def test_a_store_that_cannot_be_written_is_named(here, call):
    (here / "file").write_text("")

    fails(
        call("run", "--model", "mock:oracle", *SMALL, "--runs-dir", "file", "-q"),
        1,
        "cannot write to file",
        "choose another with --runs-dir",
    )


def test_a_page_that_cannot_be_written_is_named(call):
    called = call("compare", "a", "b", "--json", "/proc/nope.json", "--fail-on", "never")

    assert called.code == 1
    assert "cannot write /proc/nope.json" in called.err


def test_a_hub_model_that_is_not_cached_offline_exits_1(call, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))

    fails(
        call("run", "--model", "Qwen/Qwen9-1B", *SMALL, "--offline", "-q"),
        1,
        "not in the local Hub cache",
        "embedded",
    )
