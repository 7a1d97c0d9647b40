"""Measuring the house: rooms, names, circles and what a command executes."""

import pytest

from tools.house import COMMAND, executed, lines_of, measure


@pytest.fixture
def package(tmp_path):
    """A package of two rooms that import each other, with a command that runs one function."""
    files = {
        "__init__.py": "",
        "cli/__init__.py": "",
        "cli/main.py": (
            "from qwen_bench.kitchen.stove import cook\n\n\n"
            "def main(words):\n    return cook(words)\n"
        ),
        "kitchen/__init__.py": "",
        "kitchen/stove.py": "def cook(words):\n    return 0 if words else 1\n\n\nclass Pot: ...\n",
        "kitchen/unused.py": "from qwen_bench.hall import door\n\n\nclass Pot: ...\n",
        "hall/__init__.py": "",
        "hall/door.py": "from qwen_bench.kitchen import unused\n",
        "hall/stove.py": "",
    }
    for name, text in files.items():
        path = tmp_path / "qwen_bench" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "qwen_bench"


def test_rooms_names_and_circles_are_counted(package):
    house = measure(package, "cook")

    assert house.rooms["kitchen"] == (3, 9)
    assert house.file_names == {"stove.py": 2}
    assert house.class_names == {"Pot": 2}
    assert house.circles == (("qwen_bench.hall.door", "qwen_bench.kitchen.unused"),)


def test_only_what_a_command_executes_is_counted(package):
    assert executed(package, "cook") == (5, 2)


def test_a_command_that_fails_has_no_figures(package):
    (package / "cli" / "main.py").unlink()

    with pytest.raises(RuntimeError, match="main"):
        executed(package, "cook")


def test_the_figures_are_printed_a_line_each(package):
    lines = list(lines_of(measure(package, "cook")))

    assert lines[0].split() == ["__init__", "1", "files", "0", "lines"]
    assert f"executed     5 modules, 2 functions: {COMMAND}" in lines
    assert lines[-1] == "  qwen_bench.hall.door, qwen_bench.kitchen.unused"
