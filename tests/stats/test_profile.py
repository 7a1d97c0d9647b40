"""The profile of one run, on the turn plan of the suite `core` with planted forgetting.

A model that sees the last N turns answers every probe with evidence in them and no other, except
that abstaining on a fact that was never stated is right. Its figures hold without tolerance.
"""

from fractions import Fraction

import pytest

from qwen_bench.stats.profile import profile

# The ten slots of the programme `mixed`; group g of skeleton s has the slot (g + s) mod 10.
SLOTS = (
    (1, 2), (3, 4), (5, 8), (9, 12), (13, 16),
    (17, 24), (25, 32), (33, 42), (43, 54), (55, 64),
)  # fmt: skip
GROUPS = (*(f"family_{number}" for number in range(9)), "abstention")
LENGTHS = (1, 2, 4, 8, 16, 32)


@pytest.fixture
def core(outcome):
    """Rows of `window`; `families` is how many of the ten groups are asked."""

    def build(window, *, groups=GROUPS, rotations=12):
        rows = []
        for skeleton in range(10 * rotations):
            for number, family in enumerate(GROUPS):
                first, last = SLOTS[(number + skeleton) % 10]
                turn = first + (skeleton // 10 + 3 * number) % (last - first + 1)
                turn = 1 if first == 1 else turn
                asked = [("blind", 0, None), ("adjacent", 1, 0)]
                asked += [("main", t, t - turn) for t in LENGTHS if last <= t or t == 1 == first]
                rows += [
                    outcome(
                        int(
                            condition == "adjacent"
                            or (condition == "main" and distance < window)
                            or (family == "abstention" and variant == "B")
                        ),
                        cluster=f"mixed-{skeleton:03d}",
                        family=family,
                        variant=variant,
                        lang=lang,
                        condition=condition,
                        length=length,
                        distance=distance,
                    )
                    for condition, length, distance in asked
                    for variant in "AB"
                    for lang in ("en", "zh")
                    if family in groups
                ]
        return rows

    return build


def read(rows, **changes):
    return profile(rows, mode="generate", replicates=200, fits=100, **changes)


def test_planted_forgetting_leaves_the_planted_share(core):
    found = read(core(8))

    ratios = [Fraction(p.value).limit_denominator(100) for p in found.by_length.values()]
    assert ratios == [1, 1, 1, 1, Fraction(2, 5), Fraction(1, 7)]
    assert (found.blind, found.adjacent, found.note) == (0.05, 1.0, "")
    assert found.history.ehl.text == "8"
    assert found.history.strict.text == "8"


def test_guess_correction_makes_abstention_like_every_other_family(core):
    found = read(core(8), families=["abstention"])

    points = found.by_length
    assert (found.blind, points[16].accuracy) == (0.5, 0.7)
    assert points[32].accuracy == pytest.approx(4 / 7)
    assert points[16].value == pytest.approx(2 / 5)
    assert points[32].value == pytest.approx(1 / 7)


def test_one_family_forgets_where_the_window_ends(core):
    found = read(core(8), families=["family_3"])

    assert found.history.absolute.text == "8"
    assert found.history.ehl.text == "8"
    assert found.families == ("family_3",)


@pytest.mark.parametrize("window", [2, 8, 12])
def test_a_window_is_flagged_as_not_exponential(core, window):
    found = read(core(window)).half_life

    assert found.note == "not exponential"
    assert found.text.startswith("not exponential; crossing ")
    assert found.crossing.at == pytest.approx(window, abs=1)


@pytest.mark.parametrize("window", [32, 1_000])
def test_a_window_as_long_as_the_history_has_a_censored_half_life(core, window):
    found = read(core(window))

    assert found.half_life.text == "> 31"
    assert (found.half_life.low, found.half_life.note) == (found.half_life.decay.place, "")
    assert found.half_life.crossing.state == "beyond"
    assert found.history.ehl.text == found.history.absolute.text == ">= 32"


def test_distance_and_load_are_read_apart_from_length(core):
    found = read(core(8))

    by_distance = {name: point.value for name, point in found.by_distance.items()}
    assert by_distance == pytest.approx({(0, 0): 1, (1, 3): 1, (4, 7): 1, (8, 15): 0, (16, 31): 0})
    assert all(point.value == pytest.approx(1) for point in found.by_load.values())
    assert found.recency.value > 0
    assert found.primacy.value < 0


def test_a_family_stated_only_early_has_no_half_life_but_a_curve(outcome):
    """The rule programme: stated at turn 1, 2, 4 or 8, asked at every checkpoint from there on."""
    rows = [
        outcome(
            1 if condition == "adjacent" else (variant == "A") * 1,
            cluster=f"rule-{number:03d}",
            family="instruction_retention",
            variant=variant,
            condition=condition,
            length=length,
            distance=None if condition == "blind" else length - turn,
        )
        for number in range(48)
        for turn in [2 ** (number % 4)]
        for variant in "AB"
        for condition, lengths in (("main", LENGTHS), ("adjacent", (turn,)), ("blind", (0,)))
        for length in lengths
        if condition != "main" or length >= turn
    ]

    found = read(rows)

    assert found.half_life.text == "not measurable"
    assert found.recency.note == "not measurable: fewer than 3 distance bins"
    assert found.by_length[32].value == pytest.approx(0)
    assert found.history.ehl.text == "< 1"


def test_one_language_is_profiled_alone(core):
    rows = core(8, rotations=1)

    found = read(rows, lang="zh")

    assert found.by_length[8].n == sum(
        row.lang == "zh" and row.length == 8 and row.condition == "main" for row in rows
    )


def test_scorers_are_never_mixed(core, outcome):
    rows = [*core(8, rotations=1), outcome(1, mode="rank", cluster="mixed-000")]

    assert profile(rows, mode="rank", replicates=10, fits=10).by_length[4].n == 1


def test_a_superseded_row_counts_once(core, outcome):
    rows = core(8, rotations=1)
    repeated = [outcome(None, status="error", cluster="extra-000"), *rows]

    assert read([*rows, *rows]) == read(rows)
    assert read(repeated).by_length[4].n == read(rows).by_length[4].n + 1


def test_a_selection_without_controls_shows_accuracy_alone(core):
    found = read([row for row in core(8, rotations=3) if row.condition == "main"])

    assert found.note == "not measurable: no adjacent or blind rows"
    assert (found.history.ehl, found.half_life.decay) == (None, None)
    assert found.history.absolute.text == "8"
    assert found.by_length[16].accuracy == pytest.approx(0.43)


def test_a_view_without_rows_is_refused(core):
    with pytest.raises(ValueError, match="main condition"):
        read(core(8, rotations=1), families=["none"])
