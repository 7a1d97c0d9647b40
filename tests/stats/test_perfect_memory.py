"""A reader who forgets nothing is never seen to forget, whatever is hard for it.

Over the suites themselves: its accuracy is any function of family, level, wording and language, or
of the single question, the same behind every history as with the evidence directly before.
"""

from dataclasses import replace

import numpy as np
import pytest

from qwen_bench.probes.selection import Selection
from qwen_bench.probes.suites import build_suite
from qwen_bench.record.outcome import Outcome
from qwen_bench.stats.ability_memory import decompose
from qwen_bench.stats.bootstrap import Resampler
from qwen_bench.stats.clusters import (
    distance_slices,
    index_rows,
    length_slices,
    level_slices,
    load_slices,
    make_rows,
)
from qwen_bench.stats.retention import Totals, control_rates

CLOSE = 1e-9
LIMITS = {"demo": None, "quick": None, "core": 2, "full": 1, "long": 1}
# Of a suite whose longest histories take long to tell.
LENGTHS = {"long": (8, 32, 128)}


def outcome_of(probe):
    """A row of the probe; its score does not matter here."""
    return Outcome(
        probe_id=probe.id,
        mode="generate",
        family=probe.family,
        lang=probe.lang,
        length=probe.length,
        distance=probe.distance,
        position=probe.position,
        condition=probe.condition,
        policy="full",
        cluster=probe.cluster,
        twin_group=probe.twin_group,
        variant=probe.variant,
        evidence_visible=True,
        status="ok",
        output="",
        score=0,
        reason=None,
        level=probe.level or None,
        wording=probe.wording,
    )


@pytest.fixture(scope="module", params=LIMITS)
def asked(request):
    """Every row of a suite in the conditions that retention reads."""
    selection = Selection(
        lengths=LENGTHS.get(request.param),
        limit=LIMITS[request.param],
        conditions=("main", "adjacent", "blind"),
    )
    suite = build_suite(request.param, selection)
    return [outcome_of(one.probe) for dialogue in suite.dialogues() for one in dialogue.probes]


def stratum(row):
    return row.family, row.level, row.wording, row.lang


def instance(row):
    return row.probe_id.rsplit("/", 2)[0]


def remembered(asked, key, seed):
    """Accuracy of every row: one for each key with the evidence in sight, another one without."""
    generator = np.random.default_rng(seed)
    drawn = {}
    return np.array(
        [
            drawn.setdefault((key(row), row.condition == "blind"), generator.random())
            for row in asked
        ]
    )


def slices(rows):
    """Every slice that is shown, and those of single families."""
    found = {"all": rows.main}
    axes = {"length": length_slices, "distance": distance_slices, "load": load_slices}
    for name, cut in {**axes, "level": level_slices}.items():
        found |= {(name, key): mask for key, mask in cut(rows).items()}
    for code, family in enumerate(rows.families):
        of_family = rows.main & (rows.family == code)
        found[family] = of_family
        for length, mask in length_slices(rows).items():
            found[family, length] = mask & of_family
    for length, at in length_slices(rows).items():
        for level, mask in level_slices(rows).items():
            found["cell", length, level] = at & mask
    return {key: mask for key, mask in found.items() if mask.any()}


@pytest.mark.parametrize("seed", range(3))
def test_any_accuracy_by_family_level_wording_and_language_is_kept_whole_in_every_slice(
    asked, seed
):
    rows = replace(make_rows(asked), value=remembered(asked, stratum, seed))
    found = slices(rows)

    rates = Totals(rows, list(found.values())).rates()

    assert len(found) > 20
    assert np.abs(rates.accuracy - rates.adjacent).max() < CLOSE
    ratios = rates.ratio[~np.isnan(rates.ratio)]
    assert len(ratios)
    assert np.abs(ratios - 1).max() < CLOSE
    assert control_rates(rows)[1] == pytest.approx(rows.value[rows.main].mean(), abs=CLOSE)


@pytest.mark.parametrize("seed", range(3))
def test_between_two_such_readers_all_of_the_difference_is_ability_in_every_slice(asked, seed):
    rows = make_rows(asked)
    index = index_rows([row.cluster for row in asked], [row.family for row in asked])
    sides = tuple(remembered(asked, stratum, 10 * seed + side) for side in (1, 2))

    for mask in slices(rows).values():
        found = decompose(index, rows.adjacent, sides, mask, Resampler(0, 20))

        assert abs(found.memory.value) < CLOSE
        difference = index.table(sides[1] - sides[0], mask).macro
        assert found.ability.value == pytest.approx(difference, abs=CLOSE)


@pytest.mark.parametrize("whole", [False, True])
def test_where_a_question_has_its_own_control_it_may_be_as_hard_as_it_likes(asked, whole):
    rows = make_rows(asked)
    values = remembered(asked, instance, 5)
    if whole:
        values = (values > 0.5).astype(np.int64)
    own = rows.adjacent.own >= 0
    found = [mask & own for mask in slices(rows).values() if (mask & own).any()]

    rates = Totals(replace(rows, value=values), found).rates()

    assert np.abs(rates.accuracy - rates.adjacent).max() < CLOSE
    replicates = Totals(replace(rows, value=values), found).rates(
        next(Resampler(0, 50).draws(rows.strata, 0))
    )
    if whole:
        kept = ~np.isnan(replicates.accuracy)
        assert np.abs((replicates.accuracy - replicates.adjacent)[kept]).max() < CLOSE
