"""The page of what is supported says what the tests in this folder go through, and nothing else."""

import runpy
from pathlib import Path

TABLE = runpy.run_path(str(Path(__file__).with_name("table.py")))


def test_the_page_is_what_the_sections_say():
    assert TABLE["PAGE"].read_text("utf-8") == TABLE["page"](), (
        "docs/supported.md is old: python tests/supported/table.py"
    )
