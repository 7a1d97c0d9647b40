"""Verdicts mean what they say: a small form of `make calibrate`.

Demands are widened by 3.3 Monte-Carlo standard errors, about the 0.1 % limit.
"""

import re
from pathlib import Path

import pytest

from tools.calibration.__main__ import main
from tools.calibration.counting import Demand, Finding, Share
from tools.calibration.coverage import CLUSTERS, DEMANDS, JUDGED
from tools.calibration.page import page
from tools.calibration.pictures import pictures
from tools.calibration.results import by_name
from tools.calibration.sizes import FULL, SEED

DOCS = Path(__file__).resolve().parents[2] / "docs"


def rates(findings, ending):
    return {item.name: item.share.rate for item in findings if item.name.endswith(ending)}


def test_nothing_misses_its_demand(results):
    assert results.missed == ()


def test_every_part_says_that_it_begins(results, said):
    assert len(said) == 5
    assert results.findings


@pytest.mark.parametrize("what", ["verdict, margin 5", "verdict, margin 0", "sign-flip test"])
def test_equal_models_are_seldom_called_changed(results, what):
    found = rates(results.equal, what)

    assert len(found) == 5
    assert max(found.values()) <= 0.11


def test_a_test_over_single_probes_would_call_them_changed_far_too_often(results):
    found = rates(results.equal, "(not used)")

    assert min(found.values()) > 0.10
    assert all(
        item.share.rate < next(rate for name, rate in found.items() if name.startswith(design))
        for item in results.equal
        for design in [item.name.rpartition(": ")[0]]
        if item.name.endswith("margin 5")
    )


def test_every_interval_is_judged_at_sixty_clusters_and_shown_at_the_others(results):
    found = by_name(results.covered)

    assert set(found) == set(DEMANDS)
    for by_clusters in found.values():
        assert set(by_clusters) == set(CLUSTERS)
        assert [k for k, item in by_clusters.items() if item.demand is not None] == [JUDGED]


def test_the_planned_size_finds_the_drop(results):
    names = [item.name for item in results.planned]

    assert names[0] == "469 independent probes"
    assert names[1].startswith("169 clusters of 12 probes")
    assert names[3].startswith("core --limit 4, 4,608 probes")
    assert results.planned[0].share.rate == pytest.approx(0.80, abs=0.04)


def test_a_window_of_eight_turns_loses_exactly_what_the_specification_says(results):
    two, eight, whole = results.windows

    assert eight.difference == pytest.approx(-3755 / 8208, abs=1e-12)
    assert (eight.word, eight.history, eight.gained) == ("regressed", "8", 0)
    assert eight.half_life.startswith("not exponential")
    assert [eight.words[length] == "regressed" for length in (1, 2, 4, 8, 16, 32)] == [
        *[False] * 4,
        *[True] * 2,
    ]
    assert two.history == "2"
    assert float(two.half_life.removeprefix("< ")) <= 2
    assert (whole.difference, whole.history, whole.half_life) == (0.0, ">= 32", "> 31")


def test_memory_is_seldom_called_changed_where_it_did_not(results):
    found = rates(results.memory, "memory called changed")

    assert len(found) == 2
    assert max(item.share.rate for item in results.memory if item.demand.most) <= 0.13


def test_planted_forgetting_is_called_memory_and_planted_incompetence_ability(results):
    found = rates(results.memory, ("called memory", "called ability"))

    assert len(found) == 2
    assert min(found.values()) >= 0.95


def test_what_a_window_loses_is_memory_and_no_ability(results):
    for window in results.windows[1:]:
        assert window.ability == pytest.approx(0, abs=1e-12)
        assert window.memory == pytest.approx(window.difference, abs=1e-12)


def test_flat_curves_are_censored_and_floor_curves_not_measurable(results):
    found = {item.name: item.share.rate for item in results.curves}

    assert found["flat curve at 90 %, printed as > 63"] == 1
    assert found["floor curve at 5 %, not measurable"] == 1


def test_the_page_holds_every_line_and_the_seed(results):
    text = page(results)

    assert f"seed {SEED}" in text
    assert "demands are met.**" in text
    for item in (*results.planned, *results.memory, *results.curves):
        assert f"| {item.name} | {item.clusters:,} | {100 * item.share.rate:.1f} % |" in text
    for name in pictures(results):
        assert f"]({name})" in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 100


def test_pictures_stand_alone_in_light_and_dark(results):
    from xml.etree import ElementTree as ET

    for text in pictures(results).values():
        assert ET.fromstring(text).tag.endswith("svg")  # noqa: S314 - ours
        assert "prefers-color-scheme:dark" in text
        assert "<title" in text
        assert "light-dark" not in text


def test_a_missed_demand_is_named_and_counted(results):
    from dataclasses import replace

    bad = Finding("an interval", 60, Share(50, 100), Demand(least=0.93))

    found = replace(results, curves=(bad,))

    assert found.missed == ("an interval, 60 clusters: 50.0 %",)
    assert "Not met:\n\n- an interval, 60 clusters: 50.0 %" in page(found)
    assert "**50.0 %**" in page(found)


@pytest.mark.parametrize(
    ("share", "met"), [((93, 100), True), ((92, 100), False), ((98, 100), False), ((97, 100), True)]
)
def test_demands_hold_at_their_bounds(share, met):
    assert Demand(0.93, 0.97).met(Share(*share)) is met


def test_the_published_page_is_of_the_full_size_and_names_what_it_misses():
    text = (DOCS / "calibration.md").read_text(encoding="utf-8")

    assert f"seed {SEED}" in text
    assert f"{FULL.equal:,} comparisons a design" in " ".join(text.split())
    assert re.search(
        r"\*\*(All \d+ demands are met\.|\d+ of \d+ demands are met\.\*\* Not met:)", text
    )
    for name in ("calibration-equal.svg", "calibration-coverage.svg"):
        assert (DOCS / name).is_file()


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_a_full_calibration_writes_the_published_page_again(tmp_path, capsys):
    main(["--out", str(tmp_path)])

    capsys.readouterr()
    assert (tmp_path / "calibration.md").read_text() == (DOCS / "calibration.md").read_text()
