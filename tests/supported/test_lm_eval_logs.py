"""Section of the page: forms in which versions of lm-eval log samples, and what they give."""

import json
from pathlib import Path

import pytest

from qwen_bench.cli.main import main
from qwen_bench.runs.store import read_run

TITLE = "Logs of lm-eval"
INTRODUCTION = (
    "What `qwen-bench import-lm-eval` makes of samples in the forms of several versions and tools. "
    "Every error names file and line."
)
CORNER = "In the log"
WRITTEN, RANKED = "written answers", "rankings"


def as_lists(row):
    row["arguments"] = [list(one.values()) for one in row["arguments"].values()]


def flat(row):
    row["resps"] = [answer[0] for answer in row["resps"]]


def bare(row):
    row["resps"] = row["resps"][0][0]


def numbers(row):
    row["resps"] = [answer[0][0] for answer in row["resps"]]


def filtered_only(row):
    row["filtered_resps"] = [answer[0] for answer in row.pop("resps")]


def old(row):
    as_lists(row)
    flat(row)


def as_text(row):
    row["arguments"] = "<|im_start|>user"


def as_object(row):
    row["resps"] = [[{"text": "Li"}]]


def not_finite(row):
    row["resps"][0][0][0] = "nan"


CELLS = [
    *(
        (row, column, "read", change)
        for row, change in {
            "arguments under `gen_args_0`, answers nested (0.4.13)": lambda _: None,
            "arguments as lists": as_lists,
            "answers flattened: a list of texts, or of pairs": flat,
            "arguments as lists and answers flattened": old,
            "`filtered_resps` alone": filtered_only,
        }.items()
        for column in (WRITTEN, RANKED)
    ),
    ("one answer as a text", WRITTEN, "read", bare),
    ("log-probabilities as plain numbers", RANKED, "read", numbers),
    *(
        ("arguments in any other form", column, "refused", (as_text, "have a form that no known"))
        for column in (WRITTEN, RANKED)
    ),
    ("an answer that is no text", WRITTEN, "refused", (as_object, "a reply is dict, not text")),
    (
        "a log-probability that is no finite number",
        RANKED,
        "refused",
        (not_finite, "a log-probability is nan"),
    ),
    *(
        ("samples of other tasks in the folder", column, "left out, named and counted", "others")
        for column in (WRITTEN, RANKED)
    ),
]
IDS = [f"{column}-{row}" for row, column, _, _ in CELLS]


@pytest.fixture
def log(write_log):
    """`log(column, change)`: a folder of right answers whose rows were changed."""

    def write(column, change=lambda _: None):
        if column == WRITTEN:
            folder = write_log("base", lambda probe: probe.gold)
        else:
            folder = write_log(
                "base",
                lambda probe: [
                    -1.5 if text == probe.gold else -3 for text in probe.rank_candidates
                ],
                kind="rank",
            )
        (file,) = folder.glob("samples_*")
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        for row in rows:
            change(row)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return file

    return write


def imported(place, capsys):
    code = main(["import-lm-eval", str(place), "--run-id", "r"])
    return code, capsys.readouterr().err


def all_right():
    outcomes = read_run(Path("runs/r")).outcomes
    return bool(outcomes) and all(row.score == 1 for row in outcomes)


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
def test_a_log_in_any_known_form_gives_its_answers_and_any_other_is_refused(
    tmp_path, monkeypatch, capsys, log, cell
):
    _, column, says, case = cell
    monkeypatch.chdir(tmp_path)
    if says == "read":
        code, err = imported(log(column, case).parent, capsys)
        assert code == 0, err
        assert all_right()
    elif says == "refused":
        file = log(column, case[0])
        code, err = imported(file.parent, capsys)
        assert code == 1
        assert f"{file}:1  error  the answer to " in err
        assert case[1] in err
        assert "Traceback" not in err
        assert not Path("runs").exists()
    else:
        file = log(column)
        stamp = file.name.rpartition("_")[2]
        for task, count in (("arc_easy", 1), ("gsm8k", 3)):
            other = {"doc": {"question": "2 + 2?"}, "arguments": {}, "resps": [["4"]]}
            (file.parent / f"samples_{task}_{stamp}").write_text(
                (json.dumps(other) + "\n") * count, "utf-8"
            )
        code, err = imported(file.parent, capsys)
        assert code == 0, err
        assert all_right()
        told = "samples of other tasks are left out: arc_easy (1 sample), gsm8k (3 samples)"
        assert f"notice: {told}" in err


def test_a_folder_of_other_tasks_alone_is_refused_with_their_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    row = json.dumps({"doc": {"query": "2 + 2?"}, "resps": [["4"]]}) + "\n"
    (tmp_path / "samples_gsm8k_2026-11-22T10-15-03.000001.jsonl").write_text(row, "utf-8")

    code, err = imported(tmp_path, capsys)

    assert code == 2
    assert "none of these samples is of a qwen_bench task: gsm8k (1 sample)" in err


def test_a_task_of_another_name_that_includes_one_of_ours_is_read(
    tmp_path, monkeypatch, capsys, log
):
    monkeypatch.chdir(tmp_path)
    file = log(WRITTEN)
    file.rename(file.with_name(f"samples_my_recall_{file.name.rpartition('_')[2]}"))

    code, err = imported(file.parent, capsys)

    assert code == 0, err
    assert all_right()
