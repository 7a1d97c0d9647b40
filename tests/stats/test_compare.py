"""The comparison of two runs, from rows to words."""

import time
from dataclasses import replace

import numpy as np
import pytest

from qwen_bench.errors import NotComparableError
from qwen_bench.stats.compare_document import compare_document
from qwen_bench.stats.intervals import no_flip_bound
from qwen_bench.stats.paired_comparison import adjust_over_candidates, compare
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.significance import sign_flip_p


def right(*_):
    return 1


def forgets_at_four(number, _, length, __):
    return 0 if length == 4 and number % 4 else 1


@pytest.fixture
def compared(run):
    """Compare two lists of rows under the generate scorer."""

    def build(base, candidate, **options):
        limit = options.pop("max_error_rate", 0.0)
        pairing = pair(run(base), run(candidate, "candidate"), max_error_rate=limit)
        return compare(pairing, primary=options.pop("primary", "generate"), **options)

    return build


def reworded(rows):
    """The same scores from another model, whose words differ."""
    return [replace(row, output=f"{row.output}, I think") for row in rows]


def test_a_model_right_and_wrong_in_the_same_places_is_within_noise(grid, compared):
    rows = grid(lambda number, *_: number % 3 > 0, clusters=120)

    cell = compared(rows, reworded(rows)).verdict

    assert (cell.difference, cell.p, cell.lost, cell.gained) == (0.0, 1.0, 0, 0)
    assert (cell.low, cell.high) == (-no_flip_bound(120), no_flip_bound(120))
    assert (cell.word, cell.note) == ("within noise", "")


def test_no_flip_in_too_few_clusters_says_how_many_probes_are_missing(grid, compared):
    rows = grid(right, clusters=14)

    cell = compared(rows, reworded(rows)).verdict

    assert cell.word == "inconclusive"
    assert cell.more_probes == (72 - 14) * 8
    assert cell.note == "about 470 more probes would settle it; few clusters"


def test_a_loss_at_long_histories_is_found_where_it_is(grid, compared):
    result = compared(grid(right), grid(forgets_at_four))

    mode = result.modes["generate"]
    assert result.verdict.difference == pytest.approx(-0.375)
    assert (result.verdict.word, result.verdict.note) == ("regressed", "by more than the margin")
    assert {length: cell.word for length, cell in mode.by_length.items()} == {
        1: "inconclusive",
        4: "regressed",
    }
    assert len(mode.lost_ids) == result.verdict.lost == 120
    assert mode.gained_ids == ()


def test_the_mirrored_comparison_improves_by_the_same_numbers(grid, compared):
    first = compared(grid(right), grid(forgets_at_four)).verdict
    second = compared(grid(forgets_at_four), grid(right)).verdict

    assert second.word == "improved"
    assert second.p == first.p
    assert (second.low, second.high) == pytest.approx((-first.high, -first.low), abs=1e-12)


def test_the_four_outcomes_add_up_to_the_pairs_of_every_cell(grid, compared):
    generator = np.random.default_rng(4)
    base, candidate = (grid(lambda *_: int(generator.integers(2)), clusters=30) for _ in range(2))

    mode = compared(base, candidate).modes["generate"]

    slices = (mode.by_length, mode.by_family, mode.by_lang, mode.by_condition)
    cells = [mode.overall, *(cell for part in slices for cell in part.values())]
    assert all(
        cell.n == cell.both_right + cell.lost + cell.gained + cell.both_wrong for cell in cells
    )
    assert all(
        cell.difference == pytest.approx(cell.candidate - cell.base, abs=1e-12) for cell in cells
    )


def test_the_order_of_rows_changes_nothing(grid, compared):
    generator = np.random.default_rng(5)
    base, candidate = (grid(lambda *_: int(generator.integers(2)), clusters=25) for _ in range(2))
    shuffled = [[rows[k] for k in generator.permutation(len(rows))] for rows in (base, candidate)]

    assert compare_document([compared(base, candidate)], 0) == compare_document(
        [compared(*shuffled)], 0
    )


def test_families_are_adjusted_and_lengths_are_not(grid, compared):
    mode = compared(grid(right), grid(forgets_at_four)).modes["generate"]

    assert all(cell.p_adjusted == 2 * cell.p for cell in mode.by_family.values())
    assert all(cell.p_adjusted is None for cell in mode.by_length.values())


def test_the_macro_endpoint_by_hand(outcome, compared):
    flips = {
        "X": [(-1, 0), (-1, -1), (0, 0), (1, 0), ()],
        "Y": [(0,), (-1,), (-1,), (0,), (-1,)],
    }
    base, candidate = [], []
    for family, clusters in flips.items():
        for place, changes in enumerate(clusters):
            for number, change in enumerate(changes):
                where = {"cluster": f"mixed-{place}", "question": f"q{number}", "family": family}
                base.append(outcome(int(change < 0), **where))
                candidate.append(outcome(int(change > 0), **where))

    mode = compared(base, candidate).modes["generate"]

    assert mode.overall.difference == pytest.approx(-0.425)
    assert mode.overall.p == 0.1875
    assert mode.overall.note.endswith("cannot reach alpha")
    assert {name: cell.difference for name, cell in mode.by_family.items()} == {
        "X": -0.25,
        "Y": -0.6,
    }
    assert [cell.p for cell in mode.by_family.values()] == [0.75, 0.25]
    assert [cell.p_adjusted for cell in mode.by_family.values()] == [0.75, 0.5]
    assert mode.overall.word == mode.by_family["X"].word == "inconclusive"


def test_families_of_one_probe_a_cluster_are_tested_by_mcnemar(outcome, compared):
    base = [outcome(int(k >= 3), cluster=f"mixed-{k}") for k in range(40)]
    candidate = [outcome(int(k < 3 or k >= 15), cluster=f"mixed-{k}") for k in range(40)]

    cell = compared(base, candidate).modes["generate"].by_family["fact_recall"]

    assert (cell.gained, cell.lost) == (3, 12)
    assert cell.p == 0.03515625


def test_only_the_main_condition_gates(grid, compared):
    main = grid(right)
    base = grid(right, lengths=(0,), condition="blind")
    candidate = grid(lambda *_: 0, lengths=(0,), condition="blind")

    mode = compared(main + base, main + candidate).modes["generate"]

    assert list(mode.by_length) == [1, 4]
    assert mode.overall.difference == 0.0
    blind = mode.by_condition["blind"]
    assert (blind.difference, blind.word, blind.p_adjusted) == (-1.0, None, None)
    assert mode.lost_ids == ()


def test_a_missing_score_counts_as_wrong_and_leaves_the_word_open(grid, compared):
    base = grid(right)
    candidate = grid(lambda *key: None if key[2] == 4 else 1)

    result = compared(base, candidate)

    mode = result.modes["generate"]
    assert result.verdict.difference == -0.5
    assert (result.verdict.word, result.verdict.note) == (
        "inconclusive",
        "depends on unanswered probes",
    )
    assert (mode.answered_only.n, mode.answered_only.difference) == (160, 0.0)
    assert mode.by_length[4].note == "depends on unanswered probes"


def test_runs_that_answered_nothing_are_not_within_noise(grid, compared):
    rows = grid(lambda *_: None, clusters=100)

    result = compared(rows, rows)

    assert result.modes["generate"].answered_only is None
    assert (result.verdict.word, result.verdict.note) == (
        "inconclusive",
        "depends on unanswered probes",
    )


def test_a_missing_score_that_changes_no_word_leaves_the_word(grid, compared):
    base = grid(right, clusters=120)
    candidate = grid(
        lambda number, *key: None if number == 0 and key == ("pronoun", 4, "en") else 1,
        clusters=120,
    )

    result = compared(base, candidate)

    assert result.verdict.word == result.modes["generate"].answered_only.word == "within noise"


def test_each_scorer_is_an_analysis_of_its_own(grid, compared):
    base = grid(right) + grid(right, mode="rank")
    candidate = grid(right) + grid(forgets_at_four, mode="rank")

    result = compared(base, candidate, primary="rank")

    assert list(result.modes) == ["generate", "rank"]
    assert result.modes["generate"].overall.difference == 0.0
    assert result.verdict.difference == pytest.approx(-0.375)


def test_a_family_without_rank_rows_is_left_out_of_the_rank_endpoint(grid, compared):
    base = grid(right) + grid(right, mode="rank", families=("pronoun",))

    result = compared(base, base, primary="rank")

    assert list(result.modes["rank"].by_family) == ["pronoun"]
    assert list(result.modes["generate"].by_family) == ["fact_recall", "pronoun"]


def test_without_main_probes_of_the_primary_scorer_there_is_no_verdict(grid, compared):
    rows = grid(right, condition="adjacent")

    with pytest.raises(NotComparableError, match="primary scorer"):
        compared(rows, rows)


def test_an_equal_loss_everywhere_is_called_even_with_few_clusters(grid, compared):
    cell = compared(grid(right, clusters=12), grid(lambda *_: 0, clusters=12)).verdict

    assert (cell.low, cell.high, cell.p) == (-1.0, -1.0, 2**-11)
    assert cell.word == "regressed"
    assert cell.note == "by more than the margin; zero variance; few clusters"


def test_slices_without_contrast_and_small_slices_are_said(grid, compared):
    rows = grid(right, clusters=10, lengths=(1,))

    texts = compared(rows, rows).warnings

    assert "both sides above 98 % or below 2 %, no contrast left: " in "\n".join(texts)
    assert "fewer than 30 pairs: fact_recall, pronoun" in texts
    assert "few clusters (10): intervals are wide and by bootstrap-t" in texts


def test_a_partial_comparison_states_its_worst_case(grid, run):
    base = grid(right)
    pairing = pair(
        run(base),
        run(base[: len(base) // 2], "candidate", status="interrupted"),
        allow_partial=True,
    )

    texts = compare(pairing, primary="generate").warnings

    assert "with missing rows scored as wrong the difference is -50.0 points" in texts


def test_several_candidates_share_the_level_of_the_test(grid, compared):
    generator = np.random.default_rng(0)
    base = grid(lambda *_: 1, clusters=40, families=("pronoun",), lengths=(4,))
    candidate = grid(
        lambda number, *_: int(number > 6 or generator.random() < 0.2),
        clusters=40,
        families=("pronoun",),
        lengths=(4,),
    )
    single = compared(base, candidate)
    many = adjust_over_candidates([single] * 5)

    assert single.verdict.word == "regressed"
    assert many[0].verdict.p_adjusted == pytest.approx(5 * single.verdict.p)
    assert many[0].verdict.word == "inconclusive"
    assert adjust_over_candidates([single]) == (single,)


def test_the_seed_is_used_and_stored(grid, compared):
    generator = np.random.default_rng(7)
    base, candidate = (grid(lambda *_: int(generator.integers(2))) for _ in range(2))

    first, second = (compared(base, candidate, seed=seed) for seed in (1, 2))

    assert (first.seed, second.seed) == (1, 2)
    assert first.verdict.p != second.verdict.p


def test_the_planted_sign_flip_p_value_is_the_smallest_there_is(grid, compared):
    cell = compared(grid(right), grid(forgets_at_four)).verdict

    assert cell.p == 1 / 20_001 == sign_flip_p(np.ones(30))


def test_ten_thousand_pairs_are_compared_in_two_seconds(grid, run):
    """Retention of all languages included, half-life intervals left out; measured: 0.8 s."""
    families = tuple(f"family_{k}" for k in range(6))
    sizes = {"clusters": 120, "families": families}
    generator = np.random.default_rng(6)
    base, candidate = (
        [
            *grid(lambda *_: int(generator.random() < 0.6), lengths=(1, 2, 4, 8, 16, 32), **sizes),
            *grid(lambda *_: 1, lengths=(1,), condition="adjacent", distance=0, **sizes),
            *grid(lambda *_: 0, lengths=(0,), condition="blind", distance=None, **sizes),
        ]
        for _ in range(2)
    )
    base, candidate = (
        [replace(row, distance=row.length - 1) if row.condition == "main" else row for row in rows]
        for rows in (base, candidate)
    )
    pairing = pair(run(base), run(candidate, "candidate"))

    took = []
    for _ in range(2):
        start = time.process_time()
        result = compare(pairing, primary="generate")
        took.append(time.process_time() - start)

    assert len(pairing.pairs) > 10_000
    assert result.modes["generate"].retention["zh"].base.by_length[32].low is not None
    assert min(took) < 2.0
