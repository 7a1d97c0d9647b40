"""A model that sees only the last 8 turns, against one that sees all: the statistics must find
exactly the loss that was planted.

The figures follow from the construction of the suite `core`: they hold without tolerance.
"""

from fractions import Fraction

import pytest

from qwen_bench.probes.programmes import EVERYDAY
from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.scoring.score import judge_text
from qwen_bench.solvers.fixed_choice import sees, unmarked_reply
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair

WINDOW = 8
TOTAL = Fraction(-3755, 8208)
FAMILIES = {
    "fact_recall": Fraction(-9, 19),
    "assistant_recall": Fraction(-9, 19),
    "pronoun": Fraction(-9, 19),
    "ordinal_ref": Fraction(-9, 19),
    "alias_chain": Fraction(-9, 19),
    "update_latest": Fraction(-1, 2),
    "update_previous": Fraction(-1, 2),
    "ellipsis": Fraction(-1, 2),
    "state_tracking": Fraction(-1, 2),
    "temporal_order": Fraction(-1, 2),
    "abstention": Fraction(-9, 38),
    "instruction_retention": Fraction(-4, 9),
    "preference_use": Fraction(-7, 16),
    "document_recall": Fraction(-7, 16),
    "own_output": Fraction(-7, 16),
}
MIXED = sorted(set(FAMILIES) - {"instruction_retention", *EVERYDAY.groups})


@pytest.fixture(scope="module")
def probes():
    """Every probe of the suite, controls included."""
    suite = build_suite("core", Selection(), 0)
    return [asked.probe for dialogue in suite.dialogues() for asked in dialogue.probes]


def value(probe, window):
    """Score of a model that abstains, or replies without the mark, where it sees no evidence."""
    if sees(probe, window):
        return 1
    if probe.answer_kind == "rule":
        return judge_text(probe, unmarked_reply(probe)).score
    return int(probe.gold_abstains)


@pytest.fixture(scope="module")
def compared(probes, outcome, run):
    """Comparison of a window with another, each made once."""
    runs, made = {}, {}

    def rows(window):
        return [
            outcome(
                value(probe, window),
                cluster=probe.cluster,
                probe_id=probe.id,
                twin_group=probe.twin_group,
                family=probe.family,
                lang=probe.lang,
                length=probe.length,
                distance=probe.distance,
                condition=probe.condition,
                variant=probe.variant,
                level=probe.level,
                wording=probe.wording,
            )
            for probe in probes
        ]

    def build(base, candidate):
        for window in (base, candidate):
            runs.setdefault(window, rows(window))
        if (base, candidate) not in made:
            pairing = pair(run(runs[base]), run(runs[candidate], "candidate"))
            made[base, candidate] = compare(pairing, primary="generate")
        return made[base, candidate]

    return build


def test_planted_forgetting_is_found_family_by_family(compared):
    cells = compared(1_000, WINDOW).modes["generate"].by_family

    found = {
        name: Fraction(cell.candidate - 1).limit_denominator(1000) for name, cell in cells.items()
    }
    assert found == FAMILIES
    assert all(cell.word == "regressed" and cell.p_adjusted <= 0.05 for cell in cells.values())


def test_planted_forgetting_regresses_overall(compared):
    cell = compared(1_000, WINDOW).verdict

    assert sum(FAMILIES.values()) / len(FAMILIES) == TOTAL
    assert cell.difference == pytest.approx(float(TOTAL), abs=1e-12)
    assert (cell.word, cell.note) == ("regressed", "by more than the margin")
    assert cell.p == 1 / 20_001
    assert (cell.gained, cell.clusters) == (0, 190)


def test_planted_forgetting_is_memory_and_no_ability_in_every_slice(compared):
    mode = compared(1_000, WINDOW).modes["generate"]

    slices = (mode.by_length, mode.by_family, mode.by_lang, mode.by_level, mode.by_distance)
    for cell in (mode.overall, *(cell for found in slices for cell in found.values())):
        assert cell.parts.ability.value == 0
        assert cell.parts.memory.value == pytest.approx(cell.difference, abs=1e-12)
    assert len(mode.by_level) == 5


def test_every_lost_probe_has_its_evidence_outside_the_window(compared, probes):
    lost = set(compared(1_000, WINDOW).modes["generate"].lost_ids)

    hidden = [probe for probe in probes if probe.id in lost]
    assert len(hidden) == len(lost) > 0
    assert all(probe.length - min(probe.needs) >= WINDOW for probe in hidden)
    assert len({probe.cluster for probe in hidden}) == 190


def test_planted_forgetting_starts_where_the_window_ends(probes):
    right, asked = {}, {}
    for probe in probes:
        if probe.condition == "main" and probe.family in MIXED:
            key = (probe.family, probe.length)
            right[key] = right.get(key, 0) + value(probe, WINDOW)
            asked[key] = asked.get(key, 0) + 1

    kept = {key: Fraction(right[key], asked[key]) for key in asked}
    late = {16: Fraction(2, 5), 32: Fraction(1, 7)}
    guess = {"abstention": Fraction(1, 2)}
    for (family, length), share in kept.items():
        g = guess.get(family, Fraction(0))
        assert (share - g) / (1 - g) == late.get(length, 1)
    assert (kept["abstention", 16], kept["abstention", 32]) == (Fraction(7, 10), Fraction(4, 7))


def test_planted_forgetting_has_the_effective_length_of_the_window(compared):
    whole = compared(1_000, WINDOW).modes["generate"].retention["all"]

    assert whole.base.history.ehl.text == whole.base.history.absolute.text == ">= 32"
    assert whole.candidate.history.ehl.text == whole.candidate.history.absolute.text == "8"
    assert whole.base.half_life.text == "> 31"
    assert whole.candidate.half_life.note == "not exponential"
    assert whole.half_life.direction == "shorter"
    assert whole.by_length[32].value < whole.by_length[16].value < 0
    assert [whole.by_length[length].value for length in (1, 2, 4, 8)] == [0, 0, 0, 0]


def test_the_mirror_of_planted_forgetting_improves(compared):
    first = compared(1_000, WINDOW).verdict
    second = compared(WINDOW, 1_000).verdict

    assert (second.word, second.note) == ("improved", "by more than the margin")
    assert second.difference == pytest.approx(-first.difference)
    assert (second.low, second.high) == pytest.approx((-first.high, -first.low))


def test_a_window_longer_than_the_history_cannot_be_told_from_the_whole(compared):
    cell = compared(1_000, 64).verdict

    assert (cell.word, cell.lost, cell.gained, cell.p) == ("cannot tell", 0, 0, 1.0)
