"""What of a difference is ability, and what is memory."""

import numpy as np
import pytest

from qwen_bench.stats.ability_memory import direction
from qwen_bench.stats.paired_comparison import adjust_over_candidates, compare
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.results import Part


@pytest.fixture
def rows(outcome):
    """Rows of one model: a score by condition, family, length and cluster."""

    def build(value, *, clusters=40, families=("fact_recall", "pronoun"), lengths=(1, 4, 8, 16)):
        asked = [("blind", 0), ("adjacent", 1), *(("main", length) for length in lengths)]
        return [
            outcome(
                int(value(condition, family, length, number)),
                cluster=f"mixed-{number:03d}",
                family=family,
                length=length,
                distance=None if condition == "blind" else length - 1,
                condition=condition,
                lang=lang,
                level=1 + number % 5,
            )
            for number in range(clusters)
            for family in families
            for lang in ("en", "zh")
            for condition, length in asked
        ]

    return build


@pytest.fixture
def compared(run):
    """A comparison of two lists of rows."""

    def build(base, candidate, **options):
        return compare(pair(run(base), run(candidate, "candidate")), primary="generate", **options)

    return build


def able(condition, *_):
    """Right wherever the evidence was seen."""
    return condition != "blind"


def forgetful(condition, _family, length, number):
    """Right next to the evidence; behind eight turns and more wrong in two of three clusters."""
    return condition == "adjacent" or (condition == "main" and (length < 8 or number % 3 == 0))


def incompetent(condition, family, _length, number):
    """Wrong at the same questions with and without a history."""
    return condition != "blind" and (family == "pronoun" or number % 3 == 0)


def all_cells(mode):
    yield mode.overall
    for slices in (
        mode.by_length,
        mode.by_family,
        mode.by_lang,
        mode.by_level,
        mode.by_distance,
    ):
        assert slices
        yield from slices.values()


def test_forgetting_is_memory_and_no_ability(rows, compared):
    parts = compared(rows(able), rows(forgetful)).verdict.parts

    assert (parts.base_adjacent, parts.candidate_adjacent) == (1, 1)
    assert parts.ability.value == 0
    assert parts.memory.value == pytest.approx(-26 / 40 / 2)
    assert parts.memory.high < 0
    assert direction(parts.memory, 0.05) == -1


def test_incompetence_is_ability_and_no_memory(rows, compared):
    parts = compared(rows(able), rows(incompetent)).verdict.parts

    assert parts.ability.value == pytest.approx(-26 / 40 / 2)
    assert parts.ability.high < 0
    assert parts.memory.value == 0
    assert direction(parts.memory, 0.05) == 0


def test_both_add_up_to_the_difference_in_every_slice(rows, compared):
    generator = np.random.default_rng(3)
    base, candidate = (
        rows(lambda *_, share=share: generator.random() < share) for share in (0.8, 0.6)
    )

    for cell in all_cells(compared(base, candidate).modes["generate"]):
        parts = cell.parts
        assert parts.ability.value + parts.memory.value == pytest.approx(cell.difference)
        assert parts.candidate_adjacent - parts.base_adjacent == pytest.approx(parts.ability.value)


def test_they_are_known_where_no_model_can_do_the_task(rows, compared):
    """Both fail next to the evidence in nine of ten clusters, so there is no ratio to compare."""

    def at_the_floor(share):
        return lambda condition, *rest: condition != "blind" and rest[2] % 10 < share

    result = compared(rows(at_the_floor(1)), rows(at_the_floor(0)))

    assert result.modes["generate"].retention["all"].base.note.startswith("not measurable")
    parts = result.verdict.parts
    assert parts.ability.value == pytest.approx(-0.1)
    assert parts.ability.low < -0.1 < parts.ability.high
    assert parts.memory.value == 0


def test_the_interval_of_memory_is_that_of_the_paired_difference_in_differences(rows, compared):
    """By hand: every cluster's difference of main and adjacent probes, resampled."""
    generator = np.random.default_rng(8)
    base, candidate = (
        rows(lambda *_: generator.random() < 0.6, families=("fact_recall",), lengths=(4,))
        for _ in range(2)
    )
    names = sorted({row.cluster for row in base})
    table = np.zeros((len(names), 2))
    for one, two in zip(base, candidate, strict=True):
        if one.condition != "blind":
            column = ("main", "adjacent").index(one.condition)
            table[names.index(one.cluster), column] += (two.value - one.value) / 2
    values = table[:, 0] - table[:, 1]
    draws = generator.integers(0, len(names), (20_000, len(names)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])

    memory = compared(base, candidate).verdict.parts.memory

    assert memory.value == pytest.approx(values.mean())
    assert (memory.low, memory.high) == pytest.approx((low, high), abs=0.015)


def test_the_kind_of_interval_follows_the_number_of_clusters(rows, compared):
    found = {
        clusters: compared(rows(able, clusters=clusters), rows(forgetful, clusters=clusters))
        for clusters in (8, 20, 40)
    }

    few = found[8].verdict.parts.memory
    assert (few.low, few.high, few.note) == (None, None, "too few clusters")
    assert few.p < 0.1
    assert all(found[clusters].verdict.parts.memory.low is not None for clusters in (20, 40))


def test_without_the_evidence_directly_before_the_question_there_are_no_parts(rows, compared):
    base, candidate = (
        [row for row in rows(value) if row.condition != "adjacent"] for value in (able, forgetful)
    )

    result = compared(base, candidate)

    assert all(cell.parts is None for cell in all_cells(result.modes["generate"]))


def test_conditions_other_than_the_main_one_have_no_parts(rows, compared):
    found = compared(rows(able), rows(forgetful)).modes["generate"].by_condition

    assert {name: cell.parts is None for name, cell in found.items()} == {
        "adjacent": True,
        "blind": True,
        "main": False,
    }


@pytest.mark.parametrize(
    ("part", "moved"),
    [
        (Part(-0.1, -0.2, -0.01, 0.01), -1),
        (Part(0.1, 0.01, 0.2, 0.05), 1),
        (Part(-0.1, -0.2, 0.0, 0.01), 0),
        (Part(-0.1, -0.2, -0.01, 0.06), 0),
        (Part(-0.1, None, None, 0.001), 0),
        (Part(-0.1, -0.2, -0.01, 0.03, p_adjusted=0.06), 0),
    ],
)
def test_a_part_is_significant_only_if_interval_and_test_agree(part, moved):
    assert direction(part, 0.05) == moved


def test_p_values_of_the_parts_are_adjusted_over_several_candidates(rows, compared):
    base = rows(able)
    single = [compared(base, rows(value)) for value in (forgetful, incompetent)]

    both = adjust_over_candidates(single)

    first, second = (one.verdict.parts for one in both)
    assert first.memory.p_adjusted == pytest.approx(2 * first.memory.p)
    assert second.memory.p_adjusted == 1
    assert single[0].verdict.parts.memory.p_adjusted is None


def test_parts_are_in_compare_json_beside_the_difference(rows, compared):
    from qwen_bench.stats.compare_document import compare_document

    document = compare_document([compared(rows(able), rows(forgetful))], 3)

    mode = document["candidates"][0]["modes"]["generate"]
    assert set(mode["overall"]["parts"]) == {
        *("base_adjacent", "candidate_adjacent", "ability", "memory")
    }
    assert set(mode["overall"]["parts"]["memory"]) == {
        *("value", "low", "high", "p", "p_adjusted", "note")
    }
    assert list(mode["by_level"]) == ["1", "2", "3", "4", "5"]
    assert list(mode["by_distance"]) == ["8-15"]
    assert mode["by_level"]["2"]["parts"]["memory"]["value"] < 0
