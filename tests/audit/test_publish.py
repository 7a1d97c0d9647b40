"""What is published in tasks/ is what a fresh audit measures."""

import pytest

from qwen_bench.audit.audit_lines import audit_lines, document, failure, short_names
from qwen_bench.audit.audit_suite import audit_suite
from qwen_bench.audit.maintenance import checkout
from qwen_bench.errors import InputError
from qwen_bench.probes.definitions import load_families
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from tools.audit.publish import AUDIT, CLOSE, OPEN, audit_page, published, released_audits

from .conftest import TASKS

CURRENT = "run: qwen-bench probes audit --suite core --write"


@pytest.fixture(scope="module")
def released():
    return released_audits()


def test_the_audit_page_was_written_for_the_suites_as_they_are():
    page = (TASKS / AUDIT).read_text(encoding="utf-8")

    for name in ("core", "full"):
        written = page.split(f"## Suite {name} ", 1)[1]
        assert f"- sha256 `{build_suite(name).sha256}`" in written.split("## Suite", 1)[0], CURRENT


@pytest.mark.slow
def test_every_audit_of_the_released_suites_passes(released):
    assert [failure(audit) for audit in released] == ["", ""]


@pytest.mark.slow
def test_every_family_is_audited_once(released):
    families = [family for audit in released for family in audit.families]

    assert sorted(families) == sorted(load_families(TASKS))


@pytest.mark.slow
def test_the_audit_page_is_current(released):
    assert (TASKS / AUDIT).read_text(encoding="utf-8") == audit_page(released), CURRENT


@pytest.mark.slow
def test_the_solver_table_of_every_readme_is_current(released):
    stale = [
        path.parent.name
        for path, text in published(released, TASKS).items()
        if path.read_text(encoding="utf-8") != text
    ]

    assert stale == [], CURRENT


@pytest.fixture(scope="module")
def tiny():
    chosen = Selection(limit=1, lengths=(2,), families=("fact_recall",), langs=("en",))
    return audit_suite(
        build_suite("quick", chosen), chosen, build_suite, solvers=("oracle", "dump")
    )


def test_only_the_part_between_the_markers_of_a_readme_changes(tiny, tmp_path):
    path = tmp_path / "fact_recall" / "README.md"
    path.parent.mkdir()
    path.write_text(f"# Before\n{OPEN}\nold\n{CLOSE}\nAfter\n", encoding="utf-8")

    text = published([tiny], tmp_path)[path]

    assert text.startswith(f"# Before\n{OPEN}\nMeasured by")
    assert "| solver | level 2 | mean | declared | twin groups |" in text
    assert text.endswith(f"| dump | 0 | 0 | 0 | 0 |\n{CLOSE}\nAfter\n")
    assert "old" not in text


def test_a_readme_without_markers_is_named(tiny, tmp_path):
    with pytest.raises(InputError, match=r"README.md has no place for the solver table"):
        published([tiny], tmp_path)


def test_an_installed_package_is_not_written_to(tmp_path):
    with pytest.raises(InputError, match="--write needs a checkout"):
        checkout(tmp_path / "tasks")


def test_families_get_short_names_of_their_own():
    names = short_names(["fact_recall", "pronoun", "first_rule", "fact_recollection"])

    assert names == {
        "fact_recall": "FR",
        "pronoun": "PR",
        "first_rule": "FR2",
        "fact_recollection": "FR3",
    }


def test_the_table_and_the_document_say_the_same(tiny):
    lines = audit_lines(tiny)
    found = document(tiny)

    assert lines[0].startswith("suite quick")
    assert any(line.split() == ["oracle", "1"] for line in lines)
    assert found["passed"] is True
    assert found["solvers"][0] == {
        "solver": "oracle",
        "family": "fact_recall",
        "n": 2,
        "accuracy": 1.0,
        "declared": "1",
        "by_level": {"2": {"right": 2, "n": 2, "accuracy": 1.0}},
        "by_lang": {"en": 1.0},
        "twin_groups": 1.0,
        "passed": True,
    }
    assert (found["composition"], found["separability"]) == ([], {})
