"""The tasks work from the wheel alone, without a checkout."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from qwen_bench.lm_eval.generate import files

pytestmark = [
    pytest.mark.lm_eval,
    pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="needs lm-eval"),
]
ROOT = Path(__file__).resolve().parents[2]
CODE = """
import json, pickle, sys
from lm_eval.tasks import TaskManager
from qwen_bench.lm_eval.generate import folder
from qwen_bench.lm_eval.task import ConversationTask, RankingTask
choice = {"qwen_bench": {"suite": "quick", "limit": 1}}
manager = TaskManager(include_path=str(folder()), include_defaults=False, metadata=choice)
names = ["qwen_bench_fact_recall_h1", "qwen_bench_rank_fact_recall_h1"]
built = [type(task) for task in manager.load(names)["tasks"].values()]
print(json.dumps({
    "folder": str(folder()),
    "tasks": len(manager.all_subtasks),
    "pickled": pickle.loads(pickle.dumps(built)) == [ConversationTask, RankingTask],
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds what the wheel holds."""
    folder = tmp_path_factory.mktemp("wheel")
    words = ["-m", "build", "--wheel", "--no-isolation", "-o", str(folder), str(ROOT)]
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_tasks_are_found_built_and_pickled(installed):
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        check=False,
        cwd=installed.parent,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])

    assert Path(said["folder"]) == installed / "qwen_bench/_data/tasks/lm_eval"
    wanted = [name for name in files() if "/" in name and name.endswith(".yaml")]
    assert said["tasks"] == len(wanted)
    assert said["pickled"]
