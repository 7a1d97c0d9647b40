"""What is supported, as a page: read from the cells that the tests in this folder go through.

Every `test_*.py` beside this file with a `TITLE` is a section. Its `CELLS` are tuples (row, column,
what happens, case); the tests are parametrised by them, so that the page says nothing without a
test. `INTRODUCTION` is a paragraph, `CORNER` the heading of the first column.

As a script it writes `docs/supported.md`.
"""

import importlib.util
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "supported.md"
HEAD = """\
# What is supported

Every cell is backed by a test of its own in `tests/supported/`, which compares with transformers
and peft, or checks what was read, or that the refusal names its cause. The page is written from
the list that those tests go through: `python tests/supported/table.py`.
"""


def section(file):
    """The module of a section, or None for a file that is none."""
    if "\nTITLE = " not in file.read_text("utf-8"):
        return None
    spec = importlib.util.spec_from_file_location(f"supported_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table(module):
    """Markdown of one section."""
    columns = list(dict.fromkeys(column for _, column, _, _ in module.CELLS))
    rows = {}
    for row, column, says, _ in module.CELLS:
        assert column not in rows.setdefault(row, {}), f"two cells for {row} / {column}"
        rows[row][column] = says
    lines = [
        f"| {module.CORNER} | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
        *(
            f"| {row} | {' | '.join(cells.get(column, '') for column in columns)} |"
            for row, cells in rows.items()
        ),
    ]
    return "\n".join([f"## {module.TITLE}", "", module.INTRODUCTION, "", *lines, ""])


def page():
    """The whole page."""
    found = [section(file) for file in sorted(HERE.glob("test_*.py"))]
    return "\n".join([HEAD, *(table(module) for module in found if module is not None)])


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
