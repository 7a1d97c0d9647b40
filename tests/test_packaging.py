"""The wheel holds what users read and edit: tasks and recipes."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def run_installed(target, code):
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(target)}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=target.parent,
    ).stdout


def test_the_built_wheel_brings_its_own_tasks_and_recipes(installed):
    out = run_installed(
        installed,
        "import qwen_bench.resources as r, qwen_bench.probes.suites as s;"
        "print(r.data_folder('tasks'), r.data_folder('finetune'));"
        "print(next(iter(s.build_suite('demo').dialogues())).turns[0].user)",
    )

    assert str(installed) in out
    assert (installed / "qwen_bench/_data/tasks/suites.yaml").is_file()
    assert (installed / "qwen_bench/_data/finetune/quick.yaml").is_file()


def test_the_wheel_holds_the_page_templates(installed):
    assert list((installed / "qwen_bench/report/templates").glob("*.j2"))


def test_checkout_and_wheel_build_the_same_suite(installed):
    code = "import qwen_bench.probes.suites as s; print(s.build_suite('core').sha256)"

    here = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert run_installed(installed, code) == here
