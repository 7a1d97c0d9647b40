"""Token counts of the engine on the grid that is quoted; seconds are never a gate."""

import pytest

from benchmarks import grids, models, ours, peer_generate
from benchmarks.measuring import Asked


def asked(prepared, name, mode="generate"):
    return Asked(grids.load(name, prepared), prepared / "qwen3-tiny", mode, "single")


def measured(prepared, name, mode="generate"):
    what = asked(prepared, name, mode)
    found = ours.load(what)(what.grid)
    return {
        "grid": name,
        "counters": dict(found.counters),
        "answers": [list(ids) for ids in found.answers],
        "scores": found.scores,
    }


@pytest.fixture(scope="module")
def g140(prepared):
    return measured(prepared, "G140")


def test_the_quoted_grid_keeps_every_promise_about_tokens(prepared, g140):
    assert ours.gate(g140, prepared) == []
    assert g140["counters"]["forward_tokens"] == 4_313 + 140 * 7


@pytest.mark.parametrize("name", ["control-1", "control-0", "growth-32", "dialogues-3"])
def test_other_grids_keep_them_too(prepared, name):
    assert ours.gate(measured(prepared, name), prepared) == []


@pytest.mark.parametrize(
    ("counter", "value", "broken"),
    [
        ("forward_tokens", 5_500, "forward <= 1.02 * (tree + decoded)"),
        ("padding_tokens", 1, "no padding"),
        ("peak_kv_bytes", 1 << 30, "K/V <= 1.2 * longest + suffixes"),
        ("peak_kv_bytes", 0, "K/V <= 1.2 * longest + suffixes"),
    ],
)
def test_a_broken_promise_is_named(prepared, g140, counter, value, broken):
    worse = {**g140, "counters": {**g140["counters"], counter: value}}

    assert ours.gate(worse, prepared) == [broken]


def test_constant_answers_would_prove_nothing(prepared, g140):
    same = {**g140, "answers": [[1]] * 140}

    assert ours.gate(same, prepared) == ["at least half of the answers differ"]


def test_answers_are_those_of_generate(prepared, g140):
    what = asked(prepared, "G140")
    some = range(0, 140, 9)
    sample = grids.Grid("some", (tuple(what.grid.flat[p] for p in some),), (), (0,), 8)

    found = peer_generate.load(what)(sample)

    assert [g140["answers"][place] for place in some] == found.answers


def test_three_dialogues_hold_as_many_keys_and_values_as_thirty(prepared):
    few, many = (measured(prepared, f"dialogues-{count}")["counters"] for count in grids.MANY)

    assert few["peak_kv_bytes"] == many["peak_kv_bytes"]
    assert many["tree_tokens"] == 10 * few["tree_tokens"]


def test_scores_are_those_of_plain_forwards(prepared):
    import torch

    what = asked(prepared, "probes-1", "rank")
    found = ours.load(what)(what.grid)
    model = models.load(what.folder)

    for item, (own,) in zip(what.grid.scored[0], found.scores, strict=True):
        ids = item.context + item.candidates[0]
        with torch.inference_mode():
            logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        places = range(len(item.context) - 1, len(ids) - 1)
        plain = sum(float(logprobs[place, ids[place + 1]]) for place in places)
        assert own == pytest.approx(plain, abs=1e-4)
