"""Idle OpenMP threads sleep, unless the user chose otherwise, wherever torch is imported from."""

import os
import subprocess
import sys

import pytest

from qwen_bench.engines.openmp import wait_passively

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.mark.parametrize("name", VARIABLES)
def test_what_the_user_chose_stays(name):
    environment = {name: "7"}

    wait_passively(environment)

    assert environment == {name: "7"}


def test_otherwise_they_sleep():
    environment = {"HOME": "/"}

    wait_passively(environment)

    assert environment == {"HOME": "/", "OMP_WAIT_POLICY": "PASSIVE"}


OPENED = """
import os, sys
from pathlib import Path

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.ray.worker import Worker
from qwen_bench.engines.registry import open_engines, open_prompter

class Watch:
    def find_spec(self, name, *_):
        if name == "torch":
            print("torch", os.environ.get("OMP_WAIT_POLICY"))

sys.meta_path.insert(0, Watch())
spec, options = ModelSpec("x", "local", "x", path=Path(".")), EngineOptions()
try:
    {use}
except (Exception, SystemExit):
    pass
"""
USES = {
    "an engine": "open_engines([spec], options).__enter__()",
    "a tokenizer": "open_prompter(spec, options)",
    "an engine of a worker": "Worker([spec], options, open_engines).open(0)",
    "the command line": "from qwen_bench.cli.main import entry_point\n"
    "    sys.argv = 'qwen-bench plan --model nothing/here --suite quick --offline'.split()\n"
    "    entry_point()",
}


@pytest.mark.parametrize("use", USES)
def test_it_is_set_before_torch_is_looked_for(use, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}

    done = subprocess.run(
        [sys.executable, "-c", OPENED.format(use=USES[use])],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert set(done.stdout.splitlines()) & {"torch None", "torch PASSIVE"} == {"torch PASSIVE"}, (
        done.stderr
    )
