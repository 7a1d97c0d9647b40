"""Lines under the table of a comparison."""

import pytest

from qwen_bench.report.retention_words import half_life_line, length_words
from qwen_bench.stats.decay import Decay
from qwen_bench.stats.half_life import HalfLife
from qwen_bench.stats.isotonic import Crossing
from qwen_bench.stats.profile import EffectiveLength

LONG = ("--suite", "core", "--limit", "1", "--mode", "generate")


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (EffectiveLength("before", 1), "less than 1 turn"),
        (EffectiveLength("at", 8), "8 turns"),
        (EffectiveLength("beyond", 32), "32 turns or more"),
        (None, "not measurable"),
    ],
)
def test_an_effective_length_is_said_in_words(length, words):
    assert length_words(length) == words


def half_life(h, *, low=None, high=None, deviance=0.0, place=None):
    decay = Decay(h, 0.9, 0.05, deviance, 4, 0.0, 4, shortest=1.0, longest=31.0)
    return HalfLife(decay, low, high, place, 0.0, "")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (half_life(12.04), "12.0 turns"),
        (
            half_life(12.04, low=Crossing("at", 9.96), high=Crossing("beyond", 31.0)),
            "12.0 turns (10.0 to beyond 31)",
        ),
        (half_life(200.0), "beyond 31 turns"),
        (half_life(0.5), "under 1 turns"),
        (
            half_life(9.6, deviance=409.1, place=Crossing("at", 11.0)),
            "11.0 turns (not exponential; fitted 9.6 turns)",
        ),
        (HalfLife(None, None, None, None, 0.0, "why"), "not measurable"),
    ],
)
def test_a_half_life_is_said_in_words(found, words):
    assert half_life_line(found) == words


def test_compare_prints_effective_length_and_half_life(call):
    for solver in ("oracle", "window-4"):
        call("run", "--model", f"mock:{solver}", *LONG, "--run-id", solver, "-q")

    out = call("compare", "oracle", "window-4").out.splitlines()

    kept = [line for line in out if line.startswith(" keeps 85 %")]
    kept_by = "base 32 turns or more, candidate 4 turns"
    assert kept == [f" keeps 85 % of its ability up to: {kept_by}"]
    (half,) = [line for line in out if line.startswith(" half-life: ")]
    assert half.startswith(" half-life: base beyond 31 turns, candidate ")
    assert half.endswith(" · candidate shorter")
    assert any(line.startswith(" flip rate ") and "decides nothing" in line for line in out)
    assert any(line.startswith(" Chinese minus English: base 0.0") for line in out)
    places = [out.index(line) for line in (kept[0], half)]
    falls = next(place for place, line in enumerate(out) if line.startswith(" falls under"))
    assert places == [falls + 1, falls + 2]


def test_a_selection_without_controls_says_why_retention_is_missing(call):
    for solver in ("oracle", "window-4"):
        chosen = (*LONG, "--condition", "main")
        call("run", "--model", f"mock:{solver}", *chosen, "--run-id", solver, "-q")

    out = call("compare", "oracle", "window-4").out

    assert (
        " effective history length and half-life: not measurable: no adjacent or blind rows" in out
    )
