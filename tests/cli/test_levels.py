"""`--level` narrows what is asked, listed and compared; a run can be widened by levels later."""

import json
import shutil
from pathlib import Path

import pytest

# At the first rotation of quick, fact_recall is of level 2 and pronoun of level 4.
ALL = ("--suite", "quick", "--limit", "1", "--lengths", "1", "--lang", "en")
TWO = (*ALL, "--family", "fact_recall", "--family", "pronoun")
RECORDED = Path(__file__).parents[1] / "data" / "recorded" / "runs"


@pytest.fixture
def made(call):
    """`made(name, *words)`: the levels that a run of the oracle asked."""

    def made(name, *words):
        asked = (
            ("--resume", name)
            if Path("runs", name).exists()
            else (*TWO, "--mode", "generate", "--run-id", name)
        )
        done = call("run", "--model", "mock:oracle", *asked, *words, "-q")
        assert done.code == 0, done.err
        return sorted({row["level"] for row in rows(name)})

    return made


def rows(name):
    lines = Path("runs", name, "results.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def manifest(name):
    return json.loads(Path("runs", name, "manifest.json").read_text("utf-8"))


def by_level(listed):
    """Numbers of the rows `level N` of a list."""
    lines = [line.split() for line in listed.splitlines() if line.startswith(" level ")]
    return {int(words[1]): sum(map(int, words[2:])) for words in lines}


def test_a_run_asks_the_levels_that_are_named_and_records_them(made):
    assert made("low", "--level", "2") == [2]
    assert manifest("low")["suite"]["levels"] == [2]


def test_the_probes_of_a_level_are_those_of_the_whole_suite(made):
    assert made("whole") == [2, 4]
    made("low", "--level", "2")

    low = {row["probe_id"]: row["messages_sha256"] for row in rows("low")}
    whole = {row["probe_id"]: row["messages_sha256"] for row in rows("whole") if row["level"] == 2}
    assert low == whole


def test_a_run_is_widened_by_levels_and_keeps_what_it_has(made):
    made("one", "--level", "2")
    before = rows("one")

    assert made("one", "--level", "2,4") == [2, 4]

    assert rows("one")[: len(before)] == before
    assert manifest("one")["suite"]["levels"] == [2, 4]
    assert manifest("one")["counts"]["ok"] == len(rows("one")) > len(before)


def test_a_level_that_a_run_has_is_kept_when_another_is_added(made):
    made("one", "--level", "4")

    assert made("one", "--level", "2") == [2, 4]


@pytest.mark.parametrize("command", [("run", "--model", "mock:oracle"), ("probes", "list")])
@pytest.mark.parametrize(
    ("level", "message"),
    [
        ("3", "the suite asks no level 3; it has 2, 4"),
        ("2,2", "level 2 is repeated"),
        ("low", "'low' is not a level, a number from 1 to 5"),
        ("2,", "'' is not a level, a number from 1 to 5"),
    ],
)
def test_a_level_that_is_none_is_refused(call, command, level, message):
    called = call(*command, "--suite", "quick", "--level", level)

    assert called.code == 2
    assert message in called.err
    assert "Traceback" not in called.err


def test_two_runs_are_compared_at_one_level(call, made):
    made("a")
    made("b")

    done = call("compare", "a", "b", "--level", "4", "--fail-on", "never", "--json", "-")

    assert done.code == 0, done.err
    (compared,) = json.loads(done.out)["candidates"]
    assert set(compared["modes"]["generate"]["by_family"]) == {"pronoun"}
    assert "narrowed to levels 4; the runs hold more" in compared["warnings"]


def test_a_level_that_no_run_has_is_refused(call, made):
    made("a")
    made("b")

    assert "no probes of level 1; levels are 2, 4" in call("compare", "a", "b", "--level", "1").err


def test_runs_of_suites_without_levels_say_that_they_have_none(call, tmp_path):
    for name in ("oracle", "window-8"):
        shutil.copytree(RECORDED / name, tmp_path / "runs" / name)

    called = call("compare", "oracle", "window-8", "--level", "1")

    assert called.code == 2
    assert "no probes of level 1; the runs have no levels" in called.err


def test_the_list_counts_levels_and_wordings(call):
    whole = call("probes", "list", *ALL)
    low = call("probes", "list", *ALL, "--level", "2")

    assert whole.code == low.code == 0
    assert by_level(low.out) == {2: by_level(whole.out)[2]}
    assert set(by_level(whole.out)) == {2, 4}
    names = [line.split()[0] for line in whole.out.splitlines() if line.strip()]
    assert names[names.index("level") + 2 : -1] == ["lexical", "paraphrase"]


def test_the_list_as_json_has_level_and_wording_of_every_probe(call):
    out = call("probes", "list", *TWO, "--json", "-").out

    probes = json.loads(out)["probes"]
    assert {probe["level"] for probe in probes} == {2, 4}
    assert {probe["wording"] for probe in probes} <= {"lexical", "paraphrase"}


@pytest.mark.parametrize("colour", ["", "1"])
def test_a_probe_is_shown_with_level_and_wording(call, monkeypatch, colour):
    monkeypatch.setenv("FORCE_COLOR", colour)
    monkeypatch.setenv("COLUMNS", "200")

    out = call("probes", "show", "mixed-10/A/en/fact_recall.value/T4/main").out

    assert "fact_recall · level 2 · paraphrase · en · main" in out


@pytest.mark.parametrize(
    ("command", "example"),
    [
        (("run",), "run --model ./out/lora --level 1,2"),
        (("run",), "run --resume runs/RUN --level 1,2,3"),
        (("compare",), "compare runs/BASE runs/CANDIDATE --level 1"),
        (("probes",), "probes list --suite core --level 1,2"),
    ],
)
def test_help_shows_levels_by_example(call, command, example):
    assert f"qwen-bench {example}" in call(*command, "--help").out
