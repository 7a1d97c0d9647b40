"""No score depends on a language model: what the scorer imports."""

from __future__ import annotations

import ast
from pathlib import Path

from qwen_bench import scoring
from qwen_bench.audit.findings import AuditLine, Findings

_FORBIDDEN = frozenset(
    {"torch", "transformers", "peft", "openai", "vllm", "requests", "httpx", "urllib", "random"}
)
# The protocol names the fields of a reply; every other module of engines could ask a model.
_ALLOWED = "qwen_bench.protocol"


def judge_free(folder: Path = Path(scoring.__file__).parent) -> AuditLine:
    """Read the imports of the scorer.

    Args:
        folder: of its modules.
    """
    findings = Findings()
    paths = sorted(folder.glob("*.py"))
    for path in paths:
        for name in _imports(path):
            engine = name.startswith("qwen_bench.engines") and not name.startswith(_ALLOWED)
            if engine or name.partition(".")[0] in _FORBIDDEN:
                findings.add(f"scoring/{path.name}", f"imports {name}")
    return findings.line("judge-free", f"{len(paths)} modules of the scorer import no model")


def _imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found
