"""Comparisons at the edge of what can be said, one test a case; each from rows to words."""

from dataclasses import replace

import numpy as np
import pytest

from qwen_bench.probes.definitions import declared_chances
from qwen_bench.stats.bootstrap import Resampler
from qwen_bench.stats.intervals import wilson
from qwen_bench.stats.paired_comparison import adjust_over_candidates, compare
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.summary import accuracy


@pytest.fixture
def compared(run):
    def build(base, candidate, **options):
        limit = options.pop("max_error_rate", 0.0)
        pairing = pair(run(base), run(candidate, "candidate"), max_error_rate=limit)
        return compare(pairing, primary="generate", **options)

    return build


@pytest.fixture
def with_controls(grid):
    """Rows of all three conditions; one rule for the main one, a value for each control."""

    def build(main, *, adjacent=1, blind=0, **changes):
        rows = grid(main, **changes)
        changes.pop("lengths", None)
        rows += grid(lambda *_: adjacent, condition="adjacent", lengths=(1,), distance=0, **changes)
        rows += grid(lambda *_: blind, condition="blind", lengths=(0,), distance=None, **changes)
        return rows

    return build


@pytest.mark.parametrize(("clusters", "word"), [(71, "inconclusive"), (72, "within noise")])
def test_equal_scores_are_within_noise_from_72_clusters_on(grid, compared, clusters, word):
    rows = grid(lambda number, *_: number % 2, clusters=clusters)
    others = [replace(row, output=f"{row.output}, I think") for row in rows]

    cell = compared(rows, others).verdict

    assert (cell.word, cell.p, cell.difference) == (word, 1.0, 0.0)


def test_one_model_right_everywhere_is_compared_as_usual(grid, compared):
    base, candidate = grid(lambda *_: 1), grid(lambda number, *_: number % 3 > 0)

    cell = compared(base, candidate).verdict

    assert cell.base == 1.0
    assert cell.low < cell.difference < cell.high < 0
    assert cell.word == "regressed"
    whole = accuracy(base, Resampler())
    assert (whole.low, whole.high) == wilson(40, 40)


def test_nine_clusters_have_a_p_value_and_no_interval(grid, compared):
    base = grid(lambda *_: 1, clusters=9)
    cell = compared(base, grid(lambda number, *_: int(number < 2), clusters=9)).verdict

    assert (cell.low, cell.high, cell.word) == (None, None, "inconclusive")
    assert cell.p == 2 / 2**7
    assert cell.note.startswith("too few clusters")


def test_five_changed_clusters_cannot_reach_alpha(grid, compared):
    cell = compared(grid(lambda *_: 1), grid(lambda number, *_: int(number >= 5))).verdict

    assert cell.p == 2 / 2**5
    assert cell.word == "inconclusive"
    assert "cannot reach alpha" in cell.note


@pytest.mark.parametrize(("clusters", "word"), [(400, "within noise"), (40, "inconclusive")])
def test_a_difference_of_zero_with_flips_gets_its_word_by_the_interval(
    grid, compared, clusters, word
):
    base = grid(lambda number, *_: number % 2, clusters=clusters)
    candidate = grid(lambda number, *key: (number + (key[1] == 4)) % 2, clusters=clusters)

    cell = compared(base, candidate).verdict

    assert (cell.difference, cell.p, cell.word) == (0.0, 1.0, word)
    assert cell.lost == cell.gained == 2 * clusters
    assert cell.effects.flip_rate == 0.5
    assert cell.low < 0 < cell.high


def test_a_family_without_a_flip_has_p_one_and_no_effect_size(grid, compared):
    rows = grid(lambda number, *_: number % 2)

    for cell in compared(rows, rows).modes["generate"].by_family.values():
        assert cell.p == cell.p_adjusted == cell.effects.p_loss == 1.0
        assert (cell.effects.odds_ratio, cell.effects.cohens_g) == (None, None)


def test_effects_of_independent_pairs_are_those_of_mcnemar(outcome, compared):
    base = [outcome(int(k >= 3), cluster=f"mixed-{k}") for k in range(40)]
    candidate = [outcome(int(k < 3 or k >= 15), cluster=f"mixed-{k}") for k in range(40)]

    effects = compared(base, candidate).modes["generate"].by_family["fact_recall"].effects

    assert (effects.odds_ratio, effects.cohens_g) == (4.0, pytest.approx(0.3))
    assert effects.p_loss == 0.017578125
    assert effects.mid_p == pytest.approx(0.021270752, abs=1e-9)


def test_probes_that_share_clusters_have_no_mid_p(grid, compared):
    cell = compared(grid(lambda *_: 1), grid(lambda number, *_: number % 3 > 0)).verdict

    assert cell.effects.mid_p is None
    assert cell.effects.p_loss < cell.p


def test_a_model_that_cannot_do_the_task_has_a_difference_and_no_retention(with_controls, compared):
    base = with_controls(lambda *_: 1, adjacent=0)
    candidate = with_controls(lambda number, *_: number % 3 > 0, adjacent=0)

    result = compared(base, candidate)

    assert result.verdict.word == "regressed"
    kept = result.modes["generate"].retention["all"]
    for side in (kept.base, kept.candidate):
        assert side.note.startswith("not measurable: accuracy at distance 0")
        assert (side.history.ehl, side.half_life.decay) == (None, None)
        assert side.history.absolute is not None
    assert kept.one_sided == ""
    parts = result.verdict.parts
    assert (parts.ability.value, parts.memory.value) == (0, result.verdict.difference)
    assert parts.memory.high < 0


def test_a_selection_without_controls_has_a_difference_and_no_retention(grid, compared):
    result = compared(grid(lambda *_: 1), grid(lambda number, *_: number % 3 > 0))

    kept = result.modes["generate"].retention["all"]
    assert result.verdict.word == "regressed"
    assert kept.base.note == "not measurable: no adjacent or blind rows"
    assert kept.by_length[4].note == kept.base.note


def test_accuracy_below_the_guess_rate_is_below_every_threshold(with_controls, compared):
    rows = with_controls(lambda number, *_: number % 2)
    rows = [
        replace(row, score=1) if row.condition == "blind" and int(row.cluster[-3:]) % 4 else row
        for row in rows
    ]

    kept = compared(rows, rows).modes["generate"].retention["all"].base

    assert kept.blind == 0.75
    assert all(point.value == pytest.approx(-1.0) for point in kept.by_length.values())
    assert kept.history.ehl.text == "< 1"


def test_one_checkpoint_has_no_effective_length_and_no_half_life(with_controls, compared):
    rows = with_controls(lambda *_: 1, lengths=(4,))

    kept = compared(rows, rows).modes["generate"].retention["all"].base

    assert (kept.history.ehl, kept.history.absolute) == (None, None)
    assert kept.half_life.note == "not measurable: fewer than 3 distance bins"
    assert kept.by_length[4].value == pytest.approx(1.0)


def test_a_guessable_family_is_named_and_stays_in_the_headline(with_controls, compared):
    rows = with_controls(lambda *_: 1, blind=1)

    result = compared(rows, rows, chances={"fact_recall": 0.25, "pronoun": 0.95})

    (text,) = [line for line in result.warnings if line.startswith("base: guessable")]
    assert text.endswith("fact_recall (100 % of 80, chance 25 %)")
    assert result.verdict.n == 40 * 2 * 2 * 2


def test_the_chance_of_a_family_is_the_declared_one(with_controls, compared):
    rows = with_controls(lambda *_: 1, blind=1, families=("fact_recall",))

    texts = "\n".join(compared(rows, rows, chances=declared_chances()).warnings)

    assert "fact_recall (100 % of 80, chance 25 %)" in texts


def test_a_run_with_a_change_says_what_it_could_have_seen(grid, compared):
    generator = np.random.default_rng(3)
    base, candidate = (grid(lambda *_: int(generator.random() < 0.8)) for _ in range(2))

    result = compared(base, candidate)

    found = result.modes["generate"].achieved
    cell = result.verdict
    assert found.standard_error == pytest.approx((cell.high - cell.low) / 3.919928)
    assert found.detectable == pytest.approx(2.801585 * found.standard_error, rel=1e-6)
    assert found.design_effect == pytest.approx(1, abs=0.5)


def test_a_run_without_a_change_makes_no_such_claim(grid, compared):
    rows = grid(lambda *_: 1)

    assert compared(rows, rows).modes["generate"].achieved is None


def test_correlated_probes_have_a_design_effect(grid, compared):
    base, candidate = grid(lambda *_: 1), grid(lambda number, *_: number % 3 > 0)

    found = compared(base, candidate).modes["generate"].achieved

    assert found.design_effect == pytest.approx(8, rel=0.1)


def test_several_candidates_share_the_level_over_answered_pairs_too(grid, compared):
    base = grid(lambda *_: 1)
    candidate = grid(
        lambda number, *key: None if (number, *key) == (39, "pronoun", 4, "zh") else number % 5 > 0
    )
    single = compared(base, candidate)

    many = adjust_over_candidates([single] * 3)

    mode = many[0].modes["generate"]
    assert single.verdict.word == "regressed"
    assert mode.overall.p_adjusted == pytest.approx(3 * single.verdict.p)
    assert mode.answered_only.p_adjusted == pytest.approx(
        3 * single.modes["generate"].answered_only.p
    )
    assert mode.overall.word == mode.answered_only.word


def test_a_word_that_holds_only_with_unanswered_pairs_is_open_after_adjusting(grid, compared):
    base = grid(lambda *_: 1, families=("pronoun",), lengths=(4,))
    candidate = grid(
        lambda number, *_: None if number in {0, 1} else int(number > 7),
        families=("pronoun",),
        lengths=(4,),
    )
    single = compared(base, candidate)
    assert single.verdict.word == single.modes["generate"].answered_only.word == "regressed"

    (one, *_) = adjust_over_candidates([single] * 3)

    assert one.modes["generate"].answered_only.word == "inconclusive"
    assert (one.verdict.word, one.verdict.note) == ("inconclusive", "depends on unanswered probes")
