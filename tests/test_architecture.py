"""The walls: which package may import which, and what must not be imported at all."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "qwen_bench"
# Packages by level; a module may import from its own package and from lower levels. `scoring` reads
# replies and the solvers use the scorer's mentions, so engines and scoring share a level.
LEVELS = [
    {"errors", "resources", "__init__"},
    {"chat"},
    {"probes"},
    {"engines", "scoring"},
    {"stats"},
    {"runs", "audit"},
    {"report", "training", "lm_eval"},
    {"testing", "calibration"},
    {"cli"},
]
LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names}
EFFECTS = {"torch", "transformers", "peft", "openai", "ray", "vllm"}
MAY_IMPORT_TORCH = {"engines", "training", "testing"}


def package_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py")


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
    for name in imports_of(path):
        if name.startswith("qwen_bench."):
            other = name.split(".")[1]
            assert LEVEL_OF[other] <= LEVEL_OF[own], f"{own} imports {other}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_engines_and_training_know_torch(path):
    if package_of(path) not in MAY_IMPORT_TORCH:
        assert not {name.split(".")[0] for name in imports_of(path)} & EFFECTS


@pytest.mark.parametrize(
    "module",
    [
        "qwen_bench",
        "qwen_bench.engines",
        "qwen_bench.engines.solvers",
        "qwen_bench.engines.spec",
        "qwen_bench.probes.suites",
        "qwen_bench.scoring.score",
        "qwen_bench.stats.compare",
        "qwen_bench.runs.runner",
        "qwen_bench.lm_eval.importing",
        "qwen_bench.lm_eval.generate",
        "qwen_bench.engines.registry",
        "qwen_bench.engines.ray.pool",
        "qwen_bench.cli.main",
    ],
)
def test_importing_a_pure_module_loads_no_heavy_library(module):
    code = (
        f"import sys, {module}; "
        "heavy = {'torch', 'transformers', 'peft', 'matplotlib', 'lm_eval', 'datasets', "
        "'openai', 'ray', 'vllm'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
