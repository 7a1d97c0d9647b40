"""The walls: which package may import which, and what must not be imported at all."""

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "qwen_bench"
# Which rooms a room may import from; its own is always allowed. `record` and `protocol` are the
# values that all rooms speak, so they stand at the ground.
MAY_IMPORT = {
    "errors": set(),
    "resources": set(),
    "version": set(),
    "__init__": {
        "version",
        "app",
        "chat",
        "engines",
        "errors",
        "protocol",
        "record",
        "runs",
        "stats",
    },
    "record": {"errors", "chat"},
    "chat": {"errors"},
    "protocol": {"chat", "record"},
    "probes": {"errors", "resources", "chat", "record", "protocol"},
    "scoring": {"errors", "chat", "record", "protocol", "probes"},
    "engines": {"errors", "chat", "record", "protocol", "version"},
    "solvers": {"errors", "resources", "chat", "record", "protocol", "probes", "scoring"},
    "stats": {"errors", "record", "probes", "chat", "protocol", "scoring"},
    "runs": {
        "errors",
        "record",
        "protocol",
        "chat",
        "probes",
        "scoring",
        "stats",
        "engines",
        "version",
    },
    "audit": {
        "errors",
        "resources",
        "record",
        "protocol",
        "chat",
        "probes",
        "scoring",
        "solvers",
        "engines",
        "stats",
    },
    "report": {
        "errors",
        "record",
        "protocol",
        "chat",
        "probes",
        "scoring",
        "stats",
        "runs",
        "__init__",
        "engines",
    },
    "training": {
        "errors",
        "resources",
        "record",
        "protocol",
        "chat",
        "probes",
        "scoring",
        "engines",
        "runs",
    },
    "lm_eval": {
        "errors",
        "resources",
        "record",
        "protocol",
        "chat",
        "probes",
        "scoring",
        "engines",
        "stats",
        "runs",
    },
    "testing": {"record", "protocol", "chat", "engines"},
}
MAY_IMPORT["app"] = {*MAY_IMPORT} - {"testing", "__init__"}
MAY_IMPORT["cli"] = {*MAY_IMPORT}
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


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_against_the_flow_of_data(path):
    own = package_of(path)
    rooms = {name.split(".")[1] for name in imports_of(path) if name.startswith("qwen_bench.")}

    assert rooms <= MAY_IMPORT[own] | {own}


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
