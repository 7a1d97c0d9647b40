"""A model that sees only the last 8 turns, against one that sees all: the statistics must find
exactly the loss that was planted.

The figures follow from the construction of the suite: they hold without tolerance.
"""

from fractions import Fraction

import pytest

from qwen_bench.probes.selecting import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.stats.compare import compare
from qwen_bench.stats.pairing import pair

WINDOW = 8
FAMILIES = {
    "fact_recall": Fraction(-9, 19),
    "pronoun": Fraction(-9, 19),
    "update_latest": Fraction(-1, 2),
    "update_previous": Fraction(-1, 2),
    "ellipsis": Fraction(-1, 2),
    "abstention": Fraction(-9, 38),
}


@pytest.fixture(scope="module")
def probes():
    """Main-condition probes of the core suite in the six families above."""
    selection = Selection(families=tuple(FAMILIES), conditions=("main",))
    suite = build_suite("core", selection, 0)
    return [asked.probe for dialogue in suite.dialogues() for asked in dialogue.probes]


@pytest.fixture
def rows(probes, outcome):
    """Rows of a model that sees `window` turns and abstains where the evidence is out of sight."""

    def answer(window):
        return [
            outcome(
                int(probe.gold_abstains or min(probe.needs) > probe.length - window),
                cluster=probe.cluster,
                probe_id=probe.id,
                twin_group=probe.twin_group,
                family=probe.family,
                lang=probe.lang,
                length=probe.length,
                distance=probe.distance,
                variant=probe.variant,
            )
            for probe in probes
        ]

    return answer


@pytest.fixture
def compared(run):
    def build(base, candidate):
        return compare(pair(run(base), run(candidate, "candidate")), primary="generate")

    return build


def test_planted_forgetting_is_found_family_by_family(rows, compared):
    result = compared(rows(64), rows(WINDOW))

    cells = result.modes["generate"].by_family
    found = {
        name: Fraction(cell.candidate - 1).limit_denominator(1000) for name, cell in cells.items()
    }
    assert found == FAMILIES
    assert all(cell.word == "regressed" and cell.p_adjusted <= 0.05 for cell in cells.values())


def test_planted_forgetting_regresses_overall(rows, compared):
    cell = compared(rows(64), rows(WINDOW)).verdict

    assert cell.difference == pytest.approx(float(sum(FAMILIES.values())) / len(FAMILIES))
    assert (cell.word, cell.note) == ("regressed", "by more than the margin")
    assert cell.p == 1 / 20_001
    assert (cell.gained, cell.clusters) == (0, 120)


def test_planted_forgetting_starts_where_the_window_ends(rows, compared):
    mode = compared(rows(64), rows(WINDOW)).modes["generate"]

    found = {length: cell.candidate for length, cell in mode.by_length.items()}
    assert found == pytest.approx({1: 1, 2: 1, 4: 1, 8: 1, 16: 2.7 / 6, 32: 9 / 42})


def test_the_mirror_of_planted_forgetting_improves(rows, compared):
    first = compared(rows(64), rows(WINDOW)).verdict
    second = compared(rows(WINDOW), rows(64)).verdict

    assert second.word == "improved"
    assert second.difference == pytest.approx(-first.difference)


def test_a_window_longer_than_the_history_is_within_noise(rows, compared):
    cell = compared(rows(64), rows(1_000)).verdict

    assert (cell.word, cell.lost, cell.gained, cell.p) == ("within noise", 0, 0, 1.0)
