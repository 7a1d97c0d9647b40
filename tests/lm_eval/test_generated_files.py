"""The files of tasks/lm_eval/ are what the suites say, and hold what the harness needs."""

import subprocess
import sys

import pytest
import yaml

from qwen_bench.lm_eval.documents import cells_of, prefix
from qwen_bench.lm_eval.generate import FOLDERS, drift, files, folder, main
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite


def read(path):
    return yaml.safe_load((folder() / path).read_text("utf-8"))


def test_the_files_are_as_the_command_writes_them(capsys):
    assert drift(folder(), files()) == []
    assert main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_a_changed_a_missing_and_a_left_over_file_are_named(tmp_path):
    for name, text in files().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "rank/fact_recall_h1.yaml").unlink()
    (tmp_path / "generate/old_h1.yaml").write_text("task: old\n", "utf-8")
    (tmp_path / "qwen_bench.yaml").write_text("group: qwen_bench\n", "utf-8")

    changed = drift(tmp_path, files())
    assert changed == ["generate/old_h1.yaml", "qwen_bench.yaml", "rank/fact_recall_h1.yaml"]


def test_the_check_is_a_command():
    command = [sys.executable, "-m", "qwen_bench.lm_eval.generate", "--check"]
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize("suite", ["core", "full"])
def test_a_group_names_every_cell_of_its_suite_once(suite):
    built = build_suite(suite, Selection(conditions=("main",), limit=1))
    cells = {(a.probe.family, a.probe.length) for d in built.dialogues() for a in d.probes}
    group = read(f"{prefix(suite, rank=False)}.yaml")

    assert group["task"] == [cell.task(rank=False) for cell in cells_of(suite)]
    assert len(group["task"]) == len(set(group["task"])) == len(cells)
    assert group["aggregate_metric_list"] == [
        {"metric": "retained", "aggregation": "mean", "weight_by_size": False}
    ]
    assert group["metadata"] == {"version": float(built.version)}


def test_the_group_of_long_goes_to_256_turns():
    group = read("qwen_bench_long.yaml")

    lengths = {int(name.rpartition("_h")[2]) for name in group["task"]}
    assert lengths == {8, 16, 32, 64, 128, 256}
    assert len(group["task"]) == 11 * 6
    assert read("generate/fact_recall_h256.yaml")["tag"] == [
        "qwen_bench_long_fact_recall",
        "qwen_bench_long_h256",
    ]


def test_rules_have_no_ranking_task():
    names = [path.name for path in (folder() / "rank").glob("*.yaml")]

    assert names
    assert not [name for name in names if "instruction" in name or "system" in name]


@pytest.mark.parametrize("kind", sorted(FOLDERS.values()))
def test_every_file_is_a_task_that_a_group_names_or_the_template_of_all_tasks(kind):
    there = {path.name for path in (folder() / kind).iterdir()}
    tasks = [read(f"{kind}/{name}") for name in there if name.endswith(".yaml")]
    templates = {name for name in there if not name.endswith(".yaml")}
    groups = [read(path) for path in folder().glob("*.yaml")]

    assert len(groups) == 6
    assert {task["task"] for task in tasks} <= {name for group in groups for name in group["task"]}
    # A name that ends in `.yaml` would be read as a task; a template is none.
    assert templates == {task["include"] for task in tasks}
    assert len(templates) == 1


def test_every_task_that_a_group_names_has_a_file():
    tasks = {read(path)["task"] for path in folder().glob("*/*.yaml")}

    assert tasks == {name for path in folder().glob("*.yaml") for name in read(path)["task"]}
