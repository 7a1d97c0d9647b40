"""The walls: which package may import which, and what must not be imported at all."""

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tools.house import circles

PACKAGE = Path(__file__).resolve().parent.parent / "qwen_bench"
# Which rooms a room imports from, its own aside; every arrow that is drawn is used. `record` and
# `protocol` are the values that all rooms speak, so they stand at the ground.
ARROWS = {
    "version": "",
    "errors": "",
    "resources": "",
    "record": "",
    "chat": "errors",
    "protocol": "chat record",
    "probes": "errors resources chat",
    "scoring": "chat record protocol probes",
    "solvers": "errors resources chat record protocol probes scoring",
    "engines": "version errors chat record protocol",
    "stats": "errors record",
    "runs": "version errors record protocol probes scoring engines stats",
    "audit": "errors chat probes scoring solvers engines",
    "report": "errors chat record probes engines stats",
    "training": "errors resources chat record probes engines runs",
    "data": "errors chat probes engines stats report training",
    "lm_eval": "errors resources chat record protocol probes scoring engines runs",
    "app": "errors chat record protocol probes engines solvers stats runs report",
    "cli": "version errors resources chat record protocol probes engines solvers stats runs audit "
    "report training data lm_eval app",
    "testing": "chat record protocol engines",
    "__init__": "version errors chat record protocol engines stats runs app",
}
EFFECTS = {"torch", "transformers", "peft", "openai", "ray", "vllm"}
MAY_IMPORT_TORCH = {"engines", "training", "testing"}


def package_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py")


@cache
def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "_data" not in path.parts)


def rooms_of(path: Path) -> set[str]:
    """Other rooms that a module imports from."""
    rooms = {name.split(".")[1] for name in imports_of(path) if name.startswith("qwen_bench.")}
    return rooms - {package_of(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_against_the_flow_of_data(path):
    assert rooms_of(path) <= set(ARROWS[package_of(path)].split())


@pytest.mark.parametrize("room", ARROWS)
def test_every_arrow_that_is_drawn_is_used(room):
    used = {name for path in MODULES if package_of(path) == room for name in rooms_of(path)}

    assert used == set(ARROWS[room].split())


def test_no_arrow_leads_back():
    below: set[str] = set()
    for room, rooms in ARROWS.items():
        assert set(rooms.split()) <= below, f"{room} stands too low"
        below.add(room)


def test_files_import_each_other_in_no_circle_across_sub_packages():
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}

    assert list(circles(PACKAGE, trees)) == []


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if package_of(path) not in MAY_IMPORT_TORCH],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_only_engines_and_training_know_torch(path):
    assert not {name.split(".")[0] for name in imports_of(path)} & EFFECTS


PURE = (
    "qwen_bench",
    "qwen_bench.engines",
    "qwen_bench.solvers",
    "qwen_bench.engines.model_spec",
    "qwen_bench.probes.suites",
    "qwen_bench.scoring.score",
    "qwen_bench.stats.paired_comparison",
    "qwen_bench.runs.runner",
    "qwen_bench.lm_eval.importing",
    "qwen_bench.lm_eval.generate",
    "qwen_bench.engines.registry",
    "qwen_bench.engines.ray.pool",
    "qwen_bench.cli.main",
)


@pytest.fixture(scope="module")
def heavy_libraries():
    """Heavy libraries that are loaded after each import, all made in one new process."""
    code = (
        "import importlib, json, sys; "
        "heavy = {'torch', 'transformers', 'peft', 'matplotlib', 'lm_eval', 'datasets', "
        "'openai', 'ray', 'vllm'}; "
        "json.dump({name: [importlib.import_module(name), sorted(heavy & set(sys.modules))][1] "
        "for name in sys.argv[1:]}, sys.stdout)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *PURE], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("module", PURE)
def test_importing_a_pure_module_loads_no_heavy_library(module, heavy_libraries):
    assert heavy_libraries[module] == []
