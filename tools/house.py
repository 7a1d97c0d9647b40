"""``python -m tools.house``: how large the house is, and how much of it one command walks through.

Counts, for each room of a package, files and lines; names of files and classes that occur more
than once; circles of imports; and what a command executes: modules, and functions that run.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

COMMAND = (
    "run --suite quick --limit 1 --baseline mock:window-16 --model mock:window-8 --html page.html"
)
_PROBE = """
import inspect, sys, json
from pathlib import Path
root, target, words = sys.argv[1], sys.argv[2], sys.argv[3:]
files, functions = set(), set()
def watch(frame, event, _):
    if event == "call":
        code = frame.f_code
        if code.co_filename.startswith(root) and code.co_filename.endswith(".py"):
            files.add(code.co_filename)
            if code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<"):
                functions.add((code.co_filename, code.co_qualname))
sys.setprofile(watch)
from qwen_bench.cli.main import main
code = main(words)
sys.setprofile(None)
Path(target).write_text(json.dumps([code, len(files), len(functions), sorted(files)]))
"""


@dataclass(frozen=True, slots=True)
class House:
    """Figures of one package.

    Attributes:
        rooms: (files, lines) by room; a module of the package itself is a room of its own.
        file_names: names that several files have, `__init__` aside, with their number.
        class_names: names that several classes have.
        circles: files that import each other in a circle, across sub-packages.
        modules: files of the package that the command executes.
        functions: of them, functions that run.
    """

    rooms: Mapping[str, tuple[int, int]]
    file_names: Mapping[str, int]
    class_names: Mapping[str, int]
    circles: tuple[tuple[str, ...], ...]
    modules: int
    functions: int

    @property
    def lines(self) -> int:
        """Lines of all rooms."""
        return sum(lines for _, lines in self.rooms.values())


def measure(package: Path, words: str) -> House:
    """Measure a package in its checkout.

    Args:
        package: its folder; the checkout is the folder above.
        words: arguments of the command that is executed.

    Raises:
        RuntimeError: the command does not run.
    """
    paths = sorted(path for path in package.rglob("*.py") if "_data" not in path.parts)
    rooms: dict[str, tuple[int, int]] = {}
    for path in paths:
        room = path.relative_to(package).parts[0].removesuffix(".py")
        files, lines = rooms.get(room, (0, 0))
        rooms[room] = (files + 1, lines + len(path.read_text("utf-8").splitlines()))
    trees = {path: ast.parse(path.read_text("utf-8")) for path in paths}
    names = Counter(path.name for path in paths if path.name != "__init__.py")
    classes = Counter(
        node.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    modules, functions = executed(package, words)
    return House(
        rooms=rooms,
        file_names={name: number for name, number in sorted(names.items()) if number > 1},
        class_names={name: number for name, number in sorted(classes.items()) if number > 1},
        circles=tuple(circles(package, trees)),
        modules=modules,
        functions=functions,
    )


def circles(package: Path, trees: Mapping[Path, ast.Module]) -> Iterator[tuple[str, ...]]:
    """Groups of modules that reach each other by imports and lie in different sub-packages.

    Imports for annotations alone and imports inside functions count too.

    Args:
        package: folder of the package.
        trees: its modules.
    """
    names = {path: _module(package, path) for path in trees}
    known = set(names.values())
    targets = {names[path]: _imports(tree, known) - {names[path]} for path, tree in trees.items()}
    for group in _components(targets):
        if len(group) > 1 and len({name.rpartition(".")[0] for name in group}) > 1:
            yield tuple(sorted(group))


def _module(package: Path, path: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(tree: ast.Module, known: set[str]) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names} & known
            found |= inside or {node.module}
    return found & known


def _components(targets: Mapping[str, set[str]]) -> Iterator[set[str]]:
    """Strongly connected components, by what each module reaches."""
    reached: dict[str, set[str]] = {}
    for start in targets:
        seen: set[str] = set()
        open_ends = [start]
        while open_ends:
            for name in targets.get(open_ends.pop(), set()) - seen:
                seen.add(name)
                open_ends.append(name)
        reached[start] = seen
    done: set[str] = set()
    for name in targets:
        if name not in done:
            group = {name} | {other for other in reached[name] if name in reached[other]}
            done |= group
            yield group


def executed(package: Path, words: str) -> tuple[int, int]:
    """Modules and functions of the package that a command executes, in a process of its own.

    Raises:
        RuntimeError: the command fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "executed.json"
        done = subprocess.run(  # noqa: S603 - this Python, our own text
            [sys.executable, "-c", _PROBE, str(package), str(target), *words.split()],
            cwd=folder,
            env={"PYTHONPATH": str(package.parent), "PATH": "", "HOME": folder},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not target.exists():
            raise RuntimeError(done.stderr)
        _, modules, functions, _ = json.loads(target.read_text("utf-8"))
    return modules, functions


def lines_of(house: House) -> Iterator[str]:
    """The figures for people."""
    for room, (files, lines) in sorted(house.rooms.items()):
        yield f"{room:12} {files:4} files {lines:7,} lines"
    files = sum(count for count, _ in house.rooms.values())
    yield f"{'all':12} {files:4} files {house.lines:7,} lines"
    yield f"executed     {house.modules} modules, {house.functions} functions: {COMMAND}"
    yield f"file names used more than once: {len(house.file_names)} {dict(house.file_names)}"
    yield f"class names used more than once: {len(house.class_names)} {dict(house.class_names)}"
    yield f"import circles across sub-packages: {len(house.circles)}"
    for circle in house.circles:
        yield f"  {', '.join(circle)}"


def main() -> None:
    """Measure this checkout, or another one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    house = measure(given.checkout / "qwen_bench", COMMAND)
    if given.json:
        print(json.dumps(asdict(house), indent=2))  # noqa: T201 - what it is for
        return
    for line in lines_of(house):
        print(line)  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
