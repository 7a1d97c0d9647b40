"""A comparison in words: nothing is said that a row of the table does not show."""

import random
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.record.formats import signed
from qwen_bench.stats.cells import DEPENDS
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.results import (
    Accounting,
    Cell,
    Comparison,
    Decomposition,
    ModeComparison,
    Part,
    Sameness,
    Side,
)
from qwen_bench.stats.sameness import withheld
from qwen_bench.stats.sentences import along_history, in_short, sentences
from qwen_bench.stats.verdict import word

MARGIN = 0.05


def cell(low, high, *, difference=None, p=0.001, note="", more=None, **changes):
    """A judged cell; without bounds there are too few clusters."""
    found, reason = word(p, low, high, MARGIN, 0.05)
    middle = 0.0 if low is None else (low + high) / 2
    fields = {
        "n": 576,
        "clusters": 48,
        "base": 0.8,
        "candidate": 0.7,
        "difference": middle if difference is None else difference,
        "low": low,
        "high": high,
        "p": p,
        "p_adjusted": None,
        "both_right": 398,
        "lost": 71,
        "gained": 18,
        "both_wrong": 89,
        "word": found,
        "note": "; ".join(filter(None, [reason, note])),
        "more_probes": more,
    }
    return Cell(**(fields | changes))


OTHERS = Sameness(900, 800, repeated=False)


def decomposition(ability, memory, *, p=0.001):
    """Two parts, each (value, low, high)."""
    return Decomposition(0.9, 0.8, Part(*ability, p), Part(*memory, p))


def comparison(overall, by_length, *, by_family=None, same=OTHERS, **cells):
    mode = ModeComparison(overall, None, by_length, by_family or {}, {}, {}, (), (), **cells)
    return Comparison(
        base=Side("r1", "Qwen2.5-0.5B-Instruct", "a"),
        candidate=Side("r2", "lora-v3", "b"),
        settings=(),
        warnings=(),
        accounting=Accounting(576, 0, 0, 0, 0, 0, 0, 0, 0),
        primary="generate",
        modes={"generate": withheld(mode, same)},
        margin=MARGIN,
        alpha=0.05,
        seed=0,
        sameness=same,
    )


LOSS = (
    "lora-v3 answers 9.2 points fewer of the questions right than Qwen2.5-0.5B-Instruct "
    "(95 % interval -13.4 to -5.2, margin 5), 576 paired probes."
)
LOSS_AT_8 = (
    "At 8 and 16 turns of history a loss shows; at 1 and 2 turns there is no loss larger than the "
    "margin; at 4 turns it is open."
)
WORSE = cell(-0.134, -0.052, difference=-0.092)
LENGTHS = {
    16: cell(-0.292, -0.125),
    1: cell(-0.021, 0.021),
    2: cell(-0.042, 0.021),
    4: cell(-0.083, 0.021),
    8: cell(-0.177, -0.042),
}


def test_a_regression_is_said_of_answers_then_of_ability_and_memory_then_of_lengths():
    parts = decomposition((-0.02, -0.05, 0.01), (-0.072, -0.1, -0.04))

    assert sentences(comparison(replace(WORSE, parts=parts), LENGTHS)) == (
        LOSS,
        (
            "Ability, with the evidence directly before the question, changes by -2.0 points (95 % "
            "interval -5.0 to +1.0); memory, the rest, by -7.2 points (95 % interval -10.0 to "
            "-4.0): it forgets more."
        ),
        LOSS_AT_8,
    )


@pytest.mark.parametrize(
    ("overall", "start", "end"),
    [
        (
            cell(0.06, 0.14),
            "lora-v3 answers 10.0 points more of the questions right than Qwen2",
            "paired probes.",
        ),
        (
            cell(-0.03, 0.01),
            "lora-v3 answers as many of the questions right as Qwen2",
            "paired probes.",
        ),
        (
            cell(-0.02, 0.09),
            "lora-v3 answers no fewer of the questions right than Qwen2",
            "paired probes.",
        ),
        (
            cell(-0.11, 0.02, note="about 1,200 more probes would settle it"),
            "It is open whether lora-v3 answers as many of the questions right as",
            "576 paired probes; about 1,200 more probes would settle it.",
        ),
        (
            cell(None, None),
            "It is open whether",
            "0.0 points (no interval, margin 5), 576 paired probes; too few clusters.",
        ),
    ],
)
def test_every_word_has_its_sentence(overall, start, end):
    first = sentences(comparison(overall, {}))[0]

    assert first.startswith(start)
    assert first.endswith(end)


def test_lengths_without_an_interval_are_named_with_what_was_observed():
    untold = {
        length: cell(None, None, difference=difference)
        for length, difference in ((1, -0.667), (2, -0.659), (4, -0.693))
    }

    said = along_history({**untold, 8: cell(-0.8, -0.5)}).text

    assert said == (
        "At 8 turns of history a loss shows; at 1, 2 and 4 turns there are too few clusters to "
        "tell: observed -66.7, -65.9 and -69.3 points."
    )


@pytest.mark.parametrize(
    ("by_length", "last"),
    [
        ({}, ""),
        ({1: cell(-0.2, -0.1)}, "At 1 turn of history a loss shows."),
        (
            {1: cell(-0.2, -0.1), 2: cell(0.01, 0.2)},
            "At 1 turn of history a loss shows; at 2 turns a gain shows.",
        ),
        (
            {1: cell(None, None, difference=-0.01)},
            "At 1 turn of history there are too few clusters to tell: observed -1.0 point.",
        ),
        (
            {1: cell(-0.04, -0.01), 2: cell(-0.02, 0.3)},
            "At 1 and 2 turns of history there is no loss larger than the margin.",
        ),
        ({2: cell(-0.2, -0.01, p=0.06)}, "At 2 turns of history it is open."),
    ],
)
def test_the_last_sentence_says_of_every_length_what_its_row_shows(by_length, last):
    assert along_history(by_length).text == last
    assert sentences(comparison(WORSE, by_length))[2:] == ((last,) if last else ())


@pytest.mark.parametrize(
    ("overall", "start"),
    [
        (cell(-0.03, 0.01), "Overall lora-v3 answers as many"),
        (cell(-0.11, 0.02), "Overall it is open whether lora-v3 answers"),
        (cell(-0.02, 0.09), "Overall lora-v3 answers no fewer"),
        (WORSE, "lora-v3 answers 9.2 points fewer"),
    ],
)
def test_a_verdict_that_a_row_does_not_share_is_said_of_all_together(overall, start):
    loss = {"pronoun": cell(-0.4, -0.2)}

    assert sentences(comparison(overall, {}, by_family=loss))[0].startswith(start)


@pytest.mark.parametrize(
    ("overall", "by_length", "text"),
    [
        (WORSE, {}, "regression: -9.2 points"),
        (cell(0.06, 0.14), {}, "no regression found (improved)"),
        (cell(-0.03, 0.01), {1: cell(-0.03, 0.01)}, "no regression found (within noise)"),
        (
            cell(-0.03, 0.01),
            LENGTHS,
            "no regression overall (within noise), but a loss at 8 and 16 turns",
        ),
        (
            cell(None, None, difference=-0.667, more=12),
            {},
            (
                "inconclusive: -66.7 points observed, too few clusters to tell; about 12 more "
                "probes would settle it"
            ),
        ),
        (
            cell(-0.11, 0.02),
            {},
            "inconclusive: -4.5 points observed, 95 % interval -11.0 to +2.0",
        ),
        (
            cell(-0.13, -0.06, p=0.06),
            {},
            (
                "inconclusive: -9.5 points observed, 95 % interval -13.0 to -6.0; "
                "test and interval disagree"
            ),
        ),
        (
            cell(-0.03, 0.01, word="inconclusive", note=DEPENDS),
            {},
            (
                "inconclusive: -1.0 points observed, 95 % interval -3.0 to +1.0; "
                "depends on unanswered probes"
            ),
        ),
    ],
)
def test_the_end_of_a_command_says_what_is_known(overall, by_length, text):
    assert in_short(comparison(overall, by_length)) == text


@pytest.mark.parametrize(
    ("same", "why"),
    [
        (
            Sameness(40, 40, repeated=False),
            (
                "all 40 outputs are identical, as when an adapter is not applied or one model "
                "answers twice"
            ),
        ),
        (
            Sameness(40, 40, repeated=True),
            "both sides are the same model, asked in the same way; all 40 outputs are identical",
        ),
        (
            Sameness(40, 37, repeated=True),
            "both sides are the same model, asked in the same way; 3 of 40 outputs differ",
        ),
    ],
)
def test_sides_that_are_the_same_cannot_be_told_apart(same, why):
    found = comparison(cell(-0.03, 0.01), {1: cell(-0.03, 0.01)}, same=same)

    assert sentences(found) == (
        (
            "It cannot be told whether lora-v3 answers as many of the questions right as "
            f"Qwen2.5-0.5B-Instruct: {why}."
        ),
    )
    assert in_short(found) == f"cannot tell: {why}"


def test_a_loss_of_the_same_model_stays_a_loss():
    found = comparison(WORSE, LENGTHS, same=Sameness(40, 30, repeated=True))

    assert found.verdict.word == "regressed"
    assert sentences(found)[-1] == "At 8 and 16 turns of history a loss shows."


SHRINKS = decomposition((0.0, -0.01, 0.01), (-0.09, -0.13, -0.05))
FAILED = {"too_long": 20, "error": 3, "refused": 4, "empty": 13, "failed": 40}


def test_failures_are_named_with_the_figure_of_the_rest_before_anyone_reads_forgot():
    overall = replace(WORSE, parts=SHRINKS, **FAILED)
    rest = cell(-0.02, 0.02, n=536, parts=decomposition((0, -0.1, 0.1), (0, -0.02, 0.02)))

    said = sentences(comparison(overall, {}, without_failures=rest))

    assert said[1] == (
        "40 of 576 pairs failed on a side and count as wrong (20 too long, 3 errors, 4 refused, 13 "
        "empty); among the 536 answered on both sides the difference is 0.0 points (95 % interval "
        "-2.0 to +2.0)."
    )
    assert said[2].endswith("whether it keeps context better or worse is open.")


def test_a_model_that_forgets_among_answered_probes_too_is_said_to_forget():
    overall = replace(WORSE, parts=SHRINKS, **FAILED)
    rest = cell(-0.12, -0.04, n=536, parts=SHRINKS)

    said = sentences(comparison(overall, {}, without_failures=rest))

    assert said[2].endswith("it forgets more.")


def test_where_nothing_was_answered_on_both_sides_that_is_said():
    said = sentences(comparison(replace(WORSE, parts=SHRINKS, failed=576, too_long=576), {}))

    assert said[1].endswith("(576 too long): no pair was answered on both sides.")
    assert "forgets" not in " ".join(said)


def test_a_loss_that_lies_where_the_client_cut_the_evidence_is_said_to_be_that():
    overall = replace(WORSE, parts=SHRINKS, cut=200)
    rest = cell(-0.01, 0.01, n=376, parts=decomposition((0, 0, 0), (0, -0.01, 0.01)))

    said = sentences(comparison(overall, {}, in_sight=rest))

    assert said[1] == (
        "The loss lies where the history policy cut the evidence out of a prompt (200 of 576 "
        "pairs): with it in both prompts there is no loss larger than the margin, 0.0 points (95 % "
        "interval -1.0 to +1.0)."
    )
    assert "forgets" not in " ".join(said)


@pytest.mark.parametrize(
    ("overall", "rest"),
    [
        (WORSE, cell(-0.2, -0.1, n=376)),
        (WORSE, cell(-0.06, 0.02, n=376)),
        (WORSE, cell(None, None, n=376)),
        (cell(-0.03, 0.01), cell(-0.01, 0.01, n=376)),
    ],
)
def test_otherwise_what_was_cut_and_the_figure_without_it_are_named(overall, rest):
    said = sentences(comparison(replace(overall, cut=200), {}, in_sight=rest))

    start = "The history policy cut the evidence out of a prompt in 200 of 576 pairs; with it in "
    assert said[1].startswith(start)
    assert f"difference is {signed(rest.difference)} points (" in said[1]


def test_where_no_evidence_was_in_both_prompts_that_is_said():
    said = sentences(comparison(replace(WORSE, cut=576), {}))

    assert said[1].endswith("in 576 of 576 pairs: in none was it in both prompts.")


@pytest.mark.parametrize(
    ("memory", "p", "words"),
    [
        ((0.1, 0.05, 0.15), 0.001, "it keeps more context"),
        ((-0.1, -0.15, -0.05), 0.001, "it forgets more"),
        ((0.1, 0.05, 0.15), 0.06, "whether it keeps context better or worse is open"),
        ((-0.1, -0.25, 0.05), 0.2, "whether it keeps context better or worse is open"),
        ((0.01, -0.02, 0.04), 0.2, "what it keeps changes by no more than the margin"),
        ((-0.1, None, None), 0.001, "there are too few clusters to tell what it keeps"),
    ],
)
def test_what_is_said_of_memory_rests_on_its_interval_and_test(memory, p, words):
    overall = replace(WORSE, parts=decomposition((0, -0.1, 0.1), memory, p=p))

    assert sentences(comparison(overall, {}))[1].endswith(f": {words}.")


def test_a_better_model_at_distance_zero_is_not_said_to_keep_more_context():
    parts = decomposition((0.15, 0.1, 0.2), (-0.01, -0.03, 0.01))

    said = sentences(comparison(cell(0.09, 0.18, parts=parts), {}))

    assert said[0].startswith("lora-v3 answers 13.5 points more of the questions right than")
    assert "keeps more context" not in " ".join(said)


def test_without_the_controls_it_is_said_that_the_parts_are_not_known():
    said = sentences(comparison(WORSE, {}))[1]

    assert said.startswith("What of the difference is ability and what is memory is not known")


fractions = st.floats(-1, 1).map(lambda number: round(number, 3))


@st.composite
def parts(draw):
    """Ability or memory, with an interval or without."""
    value, p = draw(fractions), draw(st.sampled_from([0.0005, 0.04, 0.06, 1.0]))
    if draw(st.booleans()):
        return Part(value, None, None, p)
    return Part(value, value - draw(st.floats(0, 0.3)), value + draw(st.floats(0, 0.3)), p)


decompositions = st.builds(Decomposition, st.just(0.9), st.just(0.8), parts(), parts())


@st.composite
def rows(draw):
    """A judged row: interval or none, any p-value, sometimes held back for unanswered probes."""
    difference = draw(fractions)
    p = draw(st.sampled_from([0.0005, 0.04, 0.06, 1.0]))
    if draw(st.booleans()):
        return cell(None, None, difference=difference, p=p)
    low, high = sorted(
        (difference, difference + draw(st.floats(-0.3, 0)), difference + draw(st.floats(0, 0.3)))
    )[::2]
    found = cell(max(-1, low), min(1, high), difference=difference, p=p)
    found = replace(found, parts=draw(st.none() | decompositions))
    if draw(st.integers(0, 9)) == 0:
        return replace(found, word="inconclusive", note=DEPENDS)
    return found


@st.composite
def overall_rows(draw):
    """The row that decides, some of its pairs failed or cut."""
    failed, cut = draw(st.sampled_from([(0, 0), (7, 0), (0, 9), (5, 4)]))
    return replace(draw(rows()), failed=failed, empty=failed, cut=cut)


comparisons = st.builds(
    comparison,
    overall_rows(),
    st.dictionaries(st.sampled_from([1, 2, 4, 8, 16, 32, 64]), rows(), max_size=7),
    by_family=st.dictionaries(st.sampled_from(["pronoun", "fact_recall"]), rows()),
    same=st.builds(
        lambda answers, share, repeated: Sameness(answers, answers * share // 4, repeated),
        st.integers(0, 50),
        st.integers(0, 4),
        st.booleans(),
    ),
    without_failures=st.none() | rows(),
    in_sight=st.none() | rows(),
)
_CLAUSE = re.compile(r"^at ([\d, and]+?) turns?(?: of history)? (.+)$", re.IGNORECASE)


def claims(sentence):
    """What is claimed of each length: (lengths, claim) of every clause."""
    for clause in sentence.removesuffix(".").split("; ") if sentence else ():
        lengths, claim = _CLAUSE.match(clause).groups()
        yield [int(length) for length in re.findall(r"\d+", lengths)], claim


def row_agrees(row, claim, observed):
    """Whether a claim of the second sentence can be read off its row."""
    bounded = row.low is not None
    if claim == "a loss shows":
        return bounded and row.high < 0 and row.word == "regressed"
    if claim == "a gain shows":
        return bounded and row.low > 0 and row.word == "improved"
    if claim == "there is no loss larger than the margin":
        return bounded and row.low >= -MARGIN - 1e-9 and row.word in {"within noise", "not worse"}
    if claim == "it is open":
        return bounded and row.word == "inconclusive"
    told = claim.startswith("there are too few clusters to tell: observed ")
    return told and not bounded and signed(row.difference) == observed


def check_lengths(found):
    """Every length is named once, with a claim that its row bears out."""
    table = found.modes["generate"].by_length
    named = []
    said = along_history(table).text
    assert sentences(found)[-1] == said or not said
    for lengths, claim in claims(said):
        numbers = re.findall(r"[+-]?\d+\.\d", claim)
        for place, length in enumerate(lengths):
            assert row_agrees(table[length], claim, numbers[place] if numbers else None), claim
        named += lengths
    told = [length for length, row in table.items() if row.word != "cannot tell"]
    assert sorted(named) == sorted(told)


@given(comparisons)
def test_no_row_contradicts_what_is_said_of_its_length(found):
    check_lengths(found)


@pytest.mark.parametrize("seed", range(6))
def test_rows_of_real_comparisons_bear_out_what_is_said(seed, outcome, run):
    chance = random.Random(seed)  # noqa: S311 - not a secret
    rates = {length: (chance.random(), chance.random()) for length in (1, 2, 4, 8)}
    sides = ([], [])
    for length, shares in rates.items():
        for cluster in range(chance.choice([3, 9, 12, 40])):
            for side, share in zip(sides, shares, strict=True):
                lost = chance.random() < 0.05
                score = None if lost else int(chance.random() < share)
                side.append(outcome(score, cluster=f"mixed-{cluster}", length=length))
    base, candidate = sides

    check_lengths(
        compare(
            pair(run(base), run(candidate, "candidate"), max_error_rate=1.0), primary="generate"
        )
    )


@given(comparisons)
def test_no_row_contradicts_the_verdict_in_words(found):
    first = sentences(found)[0]
    mode = found.modes["generate"]
    words = {row.word for row in (*mode.by_length.values(), *mode.by_family.values())}
    verdict = found.verdict

    assert bool(first.startswith("It cannot be told")) == (verdict.word == "cannot tell")
    if verdict.word != "cannot tell":
        assert signed(verdict.difference).lstrip("+-") in first
        others = {"regressed", "improved"} - {verdict.word}
        assert first.startswith("Overall ") == bool(words & others)
    else:
        assert not words & {"improved", "within noise", "not worse", "inconclusive"}


@given(comparisons)
def test_no_row_contradicts_the_end_of_a_command(found):
    text = in_short(found)
    losses = along_history(found.modes["generate"].by_length).loss
    word_ = found.verdict.word

    assert text.startswith("no regression") == (word_ in {"improved", "within noise", "not worse"})
    if text.startswith("no regression found"):
        assert not losses
    if text.startswith("no regression overall"):
        assert [int(n) for n in re.findall(r"\d+", text.partition("a loss at")[2])] == list(losses)
    if word_ in {"inconclusive", "regressed"}:
        assert signed(found.verdict.difference) in text
    if found.verdict.low is None and word_ == "inconclusive":
        assert "too few clusters to tell" in text


@given(comparisons)
def test_every_length_stands_in_one_group(found):
    along = along_history(found.modes["generate"].by_length)
    groups = (along.loss, along.gain, along.kept, along.undecided, tuple(along.untold))

    lengths = [length for group in groups for length in group]
    assert len(lengths) == len(set(lengths))
    assert all(group == tuple(sorted(group)) for group in groups)


def moved(row):
    """Direction in which a row shows that memory changed."""
    if row is None or row.parts is None or row.parts.memory.low is None:
        return 0
    memory = row.parts.memory
    return (memory.p <= 0.05) * ((memory.low > 0) - (memory.high < 0))


@given(comparisons)
def test_no_row_contradicts_what_is_said_of_memory(found):
    mode = found.modes["generate"]
    text = " ".join(sentences(found))
    rows_read = [mode.overall]
    rows_read += [mode.without_failures] if mode.overall.failed else []
    rows_read += [mode.in_sight] if mode.overall.cut else []

    if "keeps more context" in text:
        assert {moved(row) for row in rows_read} == {1}
    if "forgets more" in text:
        assert {moved(row) for row in rows_read} == {-1}
    if "changes by no more than the margin" in text:
        memory = mode.overall.parts.memory
        assert max(-memory.low, memory.high) <= MARGIN + 1e-9
    if found.verdict.word != "cannot tell" and mode.overall.parts is not None:
        for part in (mode.overall.parts.ability, mode.overall.parts.memory):
            assert f"by {signed(part.value)} points (" in text
            if part.low is not None:
                assert f"(95 % interval {signed(part.low)} to {signed(part.high)})" in text


@given(comparisons)
def test_no_row_contradicts_what_is_said_of_failures_and_of_cut_evidence(found):
    mode = found.modes["generate"]
    said = sentences(found)
    failing = [place for place, one in enumerate(said) if "count as wrong" in one]
    cutting = [place for place, one in enumerate(said) if "the history policy cut" in one.lower()]
    judged = [place for place, one in enumerate(said) if "memory, the rest" in one]

    assert len(failing) == bool(mode.overall.failed)
    assert len(cutting) == bool(mode.overall.cut)
    assert all(place < later for place in failing + cutting for later in judged)
    if failing and mode.without_failures is not None:
        assert f"difference is {signed(mode.without_failures.difference)} p" in said[failing[0]]
    if cutting and said[cutting[0]].startswith("The loss lies"):
        assert found.verdict.word == "regressed"
        assert mode.in_sight.low >= -MARGIN - 1e-9


@given(comparisons)
def test_no_loss_is_denied_of_a_length_whose_interval_allows_one(found):
    mode = found.modes["generate"]
    for length in along_history(mode.by_length).kept:
        assert mode.by_length[length].low >= -MARGIN - 1e-9
