"""Retention, effective length and half-life of two models, and what changed between them."""

import json

import numpy as np
import pytest

from qwen_bench.stats.bootstrap import Resampler
from qwen_bench.stats.compare_document import compare_document
from qwen_bench.stats.paired_comparison import compare
from qwen_bench.stats.paired_retention import by_language, paired_retention
from qwen_bench.stats.pairing import pair
from qwen_bench.stats.profile import profile

LENGTHS = (1, 2, 4, 8, 16, 32)
ABLE = {"adjacent": 0.95, "blind": 0.05}


@pytest.fixture
def rows(outcome):
    """Rows of a model whose memory has a half-life; each cluster is asked at two distances."""

    def build(half, *, clusters=60, seed=1, able=ABLE, langs=("en", "zh")):
        generator = np.random.default_rng(seed)
        asked = [("adjacent", 1, 0), ("blind", 0, None)]
        asked += [("main", t, d) for t in LENGTHS for d in (0, 1, 3, 6, 12, 24) if d < t]
        return [
            outcome(
                int(
                    generator.random()
                    < able.get(
                        condition, 0.05 + (able["adjacent"] - 0.05) * 2 ** (-(distance or 0) / half)
                    )
                ),
                cluster=f"mixed-{number:03d}",
                question=f"q{distance}",
                condition=condition,
                length=length,
                distance=distance,
                lang=lang,
            )
            for number in range(clusters)
            for lang in langs
            for condition, length, distance in asked
        ]

    return build


@pytest.fixture
def pairs(rows):
    def build(one, two, **changes):
        return list(zip(rows(one, **changes), rows(two, seed=2, **changes), strict=True))

    return build


def test_both_sides_are_the_profiles_of_the_two_runs(rows):
    base, candidate = rows(8), rows(3, seed=2)

    found = paired_retention(list(zip(base, candidate, strict=True)), Resampler(0, 200), fits=50)

    for side, one in ((found.base, base), (found.candidate, candidate)):
        assert side == profile(one, mode="generate", replicates=200, fits=50)


def test_the_change_has_an_interval_and_the_half_life_a_ratio(pairs):
    found = paired_retention(pairs(8, 3), Resampler(0, 300), fits=100)

    late = found.by_length[16]
    assert late.low < late.value < late.high < 0
    assert late.value == pytest.approx(
        found.candidate.by_length[16].value - found.base.by_length[16].value
    )
    assert 0.1 < found.half_life.low < found.half_life.value < found.half_life.high < 0.6
    assert found.base.half_life.low.at < found.base.half_life.decay.h
    assert set(found.by_distance) == set(found.base.by_distance)
    assert found.one_sided == ""


def test_without_fits_only_the_intervals_of_the_half_life_are_missing(pairs):
    data = pairs(8, 3)

    quick = paired_retention(data, Resampler(0, 200))
    full = paired_retention(data, Resampler(0, 200), fits=50)

    assert quick.base.half_life.decay == full.base.half_life.decay
    assert (quick.base.half_life.low, quick.half_life.value) == (None, None)
    assert (quick.half_life.direction, quick.half_life.note) == ("shorter", "interval not computed")
    assert quick.by_length == full.by_length
    assert quick.base.history == full.base.history


def test_every_language_has_its_own_retention(pairs):
    found = by_language(pairs(8, 3, clusters=20), Resampler(0, 100))

    assert list(found) == ["all", "en", "zh"]
    assert [item.base.lang for item in found.values()] == [None, "en", "zh"]
    assert found["en"].base.by_length[16].n * 2 == found["all"].base.by_length[16].n


def test_one_language_is_not_shown_twice(pairs):
    assert list(by_language(pairs(8, 3, langs=("zh",)), Resampler(0, 50))) == ["all"]


@pytest.mark.parametrize(
    ("swap", "words"),
    [(False, "measurable in the baseline only"), (True, "measurable in the candidate only")],
)
def test_a_model_that_alone_can_do_the_task_is_named_and_both_accuracies_are_kept(
    rows, swap, words
):
    able = rows(8)
    unable = rows(8, seed=2, able={"adjacent": 0.1, "blind": 0.05})
    sides = (unable, able) if swap else (able, unable)

    found = paired_retention(list(zip(*sides, strict=True)), Resampler(0, 100), fits=20)

    assert found.one_sided == words
    assert {shift.note for shift in found.by_length.values()} == {words}
    assert (found.half_life.value, found.half_life.note) == (None, words)
    worse = found.base if swap else found.candidate
    assert worse.adjacent < 0.2
    assert worse.by_length[16].accuracy > 0


@pytest.fixture
def document(rows, run):
    base = rows(8, clusters=30)
    pairing = pair(run(base), run(rows(3, clusters=30, seed=2), "candidate"))
    return compare_document([compare(pairing, primary="generate", fits=30)], 3)


def test_compare_json_holds_retention_under_the_documented_names(document):
    found = document["candidates"][0]["modes"]["generate"]["retention"]

    for side in (found["base"], found["candidate"]):
        assert {"ehl", "ehl_strict", "ehl_abs", "half_life", "falls_under_half"} <= set(side)
        assert {"blind", "adjacent", "recency", "primacy"} <= set(side)
        assert side["adjacent"] > 0.8
        assert side["blind"] < 0.2
        assert side["half_life"]["low"]["at"] < side["half_life"]["fit"]["h"]
    assert found["candidate"]["falls_under_half"]["state"] == "at"
    assert found["base"]["ehl"]["turns"] >= found["candidate"]["ehl"]["turns"]
    assert sum(found["base"]["ehl_shares"].values()) == pytest.approx(1)
    assert list(found["base"]["by_distance"]) == ["0", "1-3", "4-7", "8-15", "16-31"]
    assert set(found["change"]) == {
        *("one_sided", "half_life", "by_length", "by_distance", "by_load", "by_level"),
    }
    assert found["change"]["half_life"]["value"] < 1
    assert list(found["by_lang"]) == ["en", "zh"]
    assert set(found["by_lang"]["zh"]) == {"base", "candidate", "change"}


def test_compare_json_with_retention_is_plain_json(document):
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_compare_json_says_what_the_run_could_have_seen(document):
    mode = document["candidates"][0]["modes"]["generate"]

    assert mode["achieved"]["detectable"] == pytest.approx(
        2.801585 * mode["achieved"]["standard_error"], rel=1e-6
    )
    assert mode["achieved"]["design_effect"] > 0
    assert set(mode["languages"]) == {"n", "base", "candidate", "change"}
    assert mode["overall"]["effects"]["odds_ratio"] > 1
