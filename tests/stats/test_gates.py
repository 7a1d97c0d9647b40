import re

import pytest

from qwen_bench.errors import InputError
from qwen_bench.report.terminal import gate_lines
from qwen_bench.stats.compare_document import comparison_as_dict
from qwen_bench.stats.gates import (
    check_gate,
    evaluate,
    parse_gate,
    verdict_fails,
)
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.summary import summarise

FAMILIES = ("fact_recall", "pronoun")


def shown(result):
    """Value, interval and outcome as they are printed."""
    return re.split("  +", gate_lines([result])[-1])[1:]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("overall@16>=60", (False, "overall", 16, ">=", 60.0)),
        ("fact_recall>=90", (False, "fact_recall", None, ">=", 90.0)),
        ("diff>=-3", (False, "diff", None, ">=", -3.0)),
        ("base:overall@4 < 99.5", (True, "overall", 4, "<", 99.5)),
        (" error_rate <= 0 ", (False, "error_rate", None, "<=", 0.0)),
        ("truncated_rate@8<0.5", (False, "truncated_rate", 8, "<", 0.5)),
        ("diff@4>+1", (False, "diff", 4, ">", 1.0)),
    ],
)
def test_a_gate_is_read(text, parts):
    gate = parse_gate(text)

    assert (gate.base, gate.name, gate.length, gate.op, gate.bound) == parts
    assert gate.text == text.strip()


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "there is no operator; there are >= > <= <"),
        ("overall", "there is no operator"),
        ("overall=60", "'=' is no operator"),
        ("overall=>60", "'=>' is no operator"),
        ("overall>>60", "'>>' is no operator"),
        (">=60", "the name is missing"),
        ("overall>=", "the number is missing"),
        ("overall>=60%", "'60%' is not a number"),
        ("overall>=6e1", "'6e1' is not a number"),
        ("overall>=nan", "'nan' is not a number"),
        ("overall@x>=60", "'x' is not a number of turns"),
        ("overall@>=60", "'' is not a number of turns"),
        ("overall@²>=60", "'²' is not a number of turns"),
        ("cand:overall>=60", "unknown side 'cand'; only base: can stand before a name"),
        ("base:diff>=0", "diff is candidate minus baseline and has no side"),
        ("overall>=0.8", "the number is in points: write 80"),
        ("overall>=101", "101 is not between 0 and 100 points"),
        ("diff>=-101", "-101 is not between -100 and 100 points"),
    ],
)
def test_a_gate_with_bad_syntax_says_what_is_wrong_and_shows_the_form(text, fragment):
    with pytest.raises(InputError) as caught:
        parse_gate(text)

    assert fragment in caught.value.message
    assert f"--gate '{text}'" in caught.value.message
    assert "[base:]NAME[@LENGTH] OP NUMBER" in caught.value.fix[0]


def test_unknown_names_and_lengths_are_named_with_what_there_is():
    for text, fragment in (
        ("recal@16>=80", "unknown name 'recal'; near: fact_recall, overall"),
        ("overal>=80", "unknown name 'overal'; near: overall"),
        ("overall@7>=1", "no probes at length 7; lengths are 1, 4"),
    ):
        with pytest.raises(InputError) as caught:
            check_gate(parse_gate(text), FAMILIES, {4, 1})
        assert fragment in caught.value.message
        assert caught.value.exit_code == 2


@pytest.fixture
def two(grid, run):
    """Baseline right everywhere; candidate wrong at 4 turns in nine of ten clusters."""
    base = run(grid(lambda *_: 1), "base")
    candidate = run(
        grid(lambda number, _, length, __: 0 if length == 4 and number % 10 else 1), "cand"
    )
    return base, candidate


def evaluated(two, text, **settings):
    pairing = pair(*two, **settings)
    comparison = compare(pairing, primary="generate")
    pairs = [(item.base, item.candidate) for item in pairing.pairs]
    return evaluate([parse_gate(text)], comparison, pairs)[0]


@pytest.mark.parametrize(
    ("text", "value", "passed"),
    [
        ("overall>=55", 0.55, True),
        ("overall>55", 0.55, False),
        ("overall@4>=10", 0.1, True),
        ("overall@4<=9.9", 0.1, False),
        ("overall@1>=100", 1.0, True),
        ("base:overall@4>=100", 1.0, True),
        ("pronoun@4<11", 0.1, True),
        ("diff>=-45", -0.45, True),
        ("diff@4>=-45", -0.9, False),
        ("error_rate<=0", 0.0, True),
        ("base:truncated_rate<=0", 0.0, True),
    ],
)
def test_a_gate_reads_the_point_estimate_in_points(two, text, value, passed):
    result = evaluated(two, text)

    assert result.value == pytest.approx(value)
    assert result.passed is passed
    assert result.low <= result.value <= result.high
    assert result.note == ""


def test_value_and_interval_of_an_accuracy_are_those_of_the_run_itself(two):
    cell = summarise(two[1].outcomes)["generate"].by_length[4]

    result = evaluated(two, "overall@4>=50")

    assert (result.value, result.low, result.high, result.n) == (
        cell.accuracy,
        cell.low,
        cell.high,
        cell.n,
    )


def test_a_difference_reads_the_cell_of_the_table(two):
    cell = compare(pair(*two), primary="generate").verdict

    result = evaluated(two, "diff>=0")

    assert (result.value, result.low, result.high) == (cell.difference, cell.low, cell.high)


def test_rates_count_rows_by_status_and_failures_stay_inside(grid, run):
    def rows(status):
        made = grid(lambda *_: 1)
        failed = grid(lambda *_: None, status=status)
        return [*made[:-8], *failed[-8:]]

    two = run(grid(lambda *_: 1), "base"), run(rows("error"), "cand")

    result = evaluated(two, "error_rate<=2", max_error_rate=1.0)

    assert result.value == pytest.approx(8 / 320)
    assert not result.passed
    assert evaluated(two, "base:error_rate<=0", max_error_rate=1.0).passed


def test_the_share_of_empty_answers_can_be_a_gate(grid, run):
    silent = grid(lambda *_: 0, status="empty")
    made = [*grid(lambda *_: 1)[:-8], *silent[-8:]]
    two = run(grid(lambda *_: 1), "base"), run(made, "cand")

    result = evaluated(two, "empty_rate<=2")

    assert result.value == pytest.approx(8 / 320)
    assert not result.passed


def test_a_gate_on_a_cell_without_data_fails_and_says_so(grid, run):
    def rows():
        return [
            *grid(lambda *_: 1, families=("fact_recall",), lengths=(1, 4)),
            *grid(lambda *_: 1, families=("pronoun",), lengths=(1,)),
        ]

    two = run(rows(), "base"), run(rows(), "cand")

    for text, note in (
        ("pronoun@4>=0", "no data: no paired probe of pronoun at 4 turns"),
        ("overall@16<=100", "no data: no paired probe at 16 turns"),
        ("diff@16<=100", "no data: no paired probe at 16 turns"),
    ):
        result = evaluated(two, text)
        assert (result.value, result.passed, result.note, result.n) == (None, False, note, 0)
        assert shown(result)[:2] == ["no data", "no interval"]


def test_only_the_primary_scorer_and_the_main_condition_count(grid, run):
    def rows(value):
        return [
            *grid(lambda *_: value),
            *grid(lambda *_: 1, condition="blind"),
            *grid(lambda *_: 1, mode="rank"),
        ]

    two = run(rows(1), "base"), run(rows(0), "cand")

    assert evaluated(two, "overall<=0").passed


def test_a_rounding_error_decides_no_gate(grid, run):
    right = {number: number < 57 for number in range(100)}
    candidate = grid(lambda number, *_: int(right[number]), clusters=100, lengths=(4,))
    two = run(grid(lambda *_: 1, clusters=100, lengths=(4,)), "base"), run(candidate, "cand")

    assert evaluated(two, "overall>=57").passed
    assert not evaluated(two, "overall>57").passed


def test_differences_are_shown_with_a_sign_and_shares_without(two):
    assert shown(evaluated(two, "diff>=0"))[0] == "-45.0"
    assert shown(evaluated(two, "overall>=0"))[0] == "55.0"


def test_compare_json_holds_every_gate(two):
    pairing = pair(*two)
    comparison = compare(pairing, primary="generate")
    assert comparison_as_dict(comparison)["gates"] == []


@pytest.mark.parametrize(
    ("word", "fail_on", "fails"),
    [
        ("regressed", "regression", True),
        ("regressed", "inconclusive", True),
        ("regressed", "never", False),
        ("inconclusive", "regression", False),
        ("inconclusive", "inconclusive", True),
        ("not worse", "inconclusive", False),
        ("within noise", "regression", False),
        ("improved", "regression", False),
    ],
)
def test_fail_on_says_which_words_fail(word, fail_on, fails):
    assert verdict_fails(word, fail_on) is fails
